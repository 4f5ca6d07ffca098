"""Who may change an environment when: one at a time, and changes that wait together go together. Knows nothing of Railway.

Whoever gets an environment's lock first leads: he waits a moment for the rest of his wave, takes along whatever was handed over
by then, and the others find theirs done. A leader who is cancelled in the middle leaves what is not done to the next, who looks
afresh at what there is by then; the change of somebody who has been cancelled himself is made by nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(eq=False, slots=True)
class Change:
    """One resource's part. `decide` looks at what there is and returns the patch that is missing; empty: nothing is.

    It is called while nobody else of this process changes the environment, and may refuse.
    """

    what: str
    decide: Callable[[], Awaitable[dict[str, Any]]]
    error: BaseException | None = None
    is_done: bool = False
    is_left: bool = False
    """Nobody waits for it any more."""

    def end(self, error: BaseException | None = None) -> None:
        self.error, self.is_done = error, True


@dataclass(eq=False, slots=True)
class Place:
    """One environment."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: list[Change] = field(default_factory=list)


class Waves:
    """One per client: what is under way in each environment."""

    def __init__(self) -> None:
        self._places: dict[str, Place] = {}

    def _place(self, environment_id: str) -> Place:
        return self._places.setdefault(environment_id, Place())

    @contextlib.asynccontextmanager
    async def alone(self, environment_id: str) -> AsyncIterator[None]:
        """For changes that go by themselves: no wave is half way in the meantime."""
        async with self._place(environment_id).lock:
            yield

    async def join(
        self,
        environment_id: str,
        change: Change,
        gathered: Callable[[], Awaitable[None]],
        lead: Callable[[Sequence[Change]], Awaitable[None]],
    ) -> None:
        """Returns when `change` is done, by our own `lead` or by another's. Raises what stood in its way.

        `gathered` returns when the rest of the wave has had its time; `lead` ends each change that it gets.
        """
        place = self._place(environment_id)
        place.waiting.append(change)
        try:
            async with place.lock:
                if not change.is_done:
                    await gathered()
                    group, place.waiting = place.waiting, []
                    try:
                        await lead(group)
                    finally:
                        place.waiting[:0] = [each for each in group if not (each.is_done or each.is_left or each is change)]
        finally:
            change.is_left = True
            if change in place.waiting:
                place.waiting.remove(change)
        if change.error is not None:
            raise change.error
