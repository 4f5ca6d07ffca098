"""Deleting, the same way for every resource."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from infra.provider.definition import Call
from infra.provider.errors import NotFound
from infra.provider.waiting import TimedOut, until
from infra.railway.client import Data, RailwayClient
from infra.railway.operations import Operation

DEADLINE_S = 120.0


async def remove(
    call: Call[RailwayClient], operation: Operation, variables: Data, gone: Callable[[], Awaitable[Data | None]], what: str
) -> None:
    """Asks for a deletion and waits until `gone` no longer answers None. What is not there any more is no error."""
    try:
        await call.client.mutate(operation, variables, gone)
    except NotFound:
        return
    await until_gone(call, gone, what)


async def until_gone(call: Call[RailwayClient], gone: Callable[[], Awaitable[Data | None]], what: str) -> None:
    """Railway's deletions may finish later than they are answered. TimedOut, with what to do, when one takes too long."""
    try:
        await until(call, gone, deadline_s=call.timeout_s or DEADLINE_S, what=f"deletion of {what}")
    except TimedOut as error:
        raise TimedOut(f"{error}; Railway may finish it by itself: run it again, or raise custom_timeouts") from error
