"""Polling with a deadline: quick at first, then patient."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from infra.provider.definition import Call
from infra.provider.errors import ProviderError

T = TypeVar("T")

PAUSE_FIRST_S = 0.2
PAUSE_MAX_S = 5.0
PAUSE_GROWTH = 1.5
TOLD_AFTER_S = 3.0


class TimedOut(ProviderError):
    """What was waited for did not happen in time."""


async def until(call: Call[Any], look: Callable[[], Awaitable[T | None]], *, deadline_s: float, what: str) -> T:
    """The first answer of `look` that is not None. TimedOut after `deadline_s`, with `what` in the message.

    A wait that is no matter of moments is told to the user, with how long it has taken.
    """
    begun_at = call.clock()
    give_up_at = begun_at + deadline_s
    pause_s = PAUSE_FIRST_S
    while True:
        answer = await look()
        if answer is not None:
            return answer
        left_s = give_up_at - call.clock()
        if left_s <= 0:
            raise TimedOut(f"{what}: not within {deadline_s:g} s")
        if (waited_s := call.clock() - begun_at) >= TOLD_AFTER_S:
            await call.tell(f"waiting for {what}: {waited_s:.0f} s of {deadline_s:g} s")
        await call.sleep(min(pause_s, left_s))
        pause_s = min(pause_s * PAUSE_GROWTH, PAUSE_MAX_S)


async def pause(call: Call[Any], event: asyncio.Event, seconds: float) -> None:
    """Until `event` is set or `seconds` have passed; Stopped as soon as the engine asks us to stop."""
    waits = [asyncio.ensure_future(call.sleep(seconds)), asyncio.ensure_future(event.wait())]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        if waits[0].done():
            waits[0].result()
    finally:
        for each in waits:
            each.cancel()
        await asyncio.wait(waits)
