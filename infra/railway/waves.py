"""Who may change an environment when: one at a time, and changes that can go together go together. Knows nothing of Railway.

Whoever is first to hand a change over leads: he gathers, which means that he waits for all who have announced a change and are
still on their way to it, takes along whatever was handed over by then, and the others find theirs done. While he gathers the
environment is free: those on their way may have to change it first. A leader who is cancelled in the middle leaves what is not
done to the next, who looks afresh at what there is by then; the change of somebody who has been cancelled himself is made by
nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
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
    """One environment. `lead` is held by who gathers and leads, `lock` by who changes."""

    lead: asyncio.Lock = field(default_factory=asyncio.Lock)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: list[Change] = field(default_factory=list)
    announced: set[object] = field(default_factory=set)
    all_here: asyncio.Event = field(default_factory=asyncio.Event)

    def arrived(self, ticket: object) -> None:
        self.announced.discard(ticket)
        if not self.announced:
            self.all_here.set()


class Waves:
    """One per client: what is under way in each environment."""

    def __init__(self) -> None:
        self._places: dict[str, Place] = {}

    def _place(self, environment_id: str) -> Place:
        return self._places.setdefault(environment_id, Place())

    @contextlib.asynccontextmanager
    async def alone(self, environment_id: str) -> AsyncIterator[None]:
        """For changes that go by themselves: none of a group is half way in the meantime."""
        async with self._place(environment_id).lock:
            yield

    @contextlib.contextmanager
    def announced(self, environment_id: str, ticket: object) -> Iterator[None]:
        """For who will hand a change over, or find that there is none, and has calls to make before."""
        place = self._place(environment_id)
        place.announced.add(ticket)
        place.all_here.clear()
        try:
            yield
        finally:
            place.arrived(ticket)

    async def join(
        self,
        environment_id: str,
        ticket: object,
        change: Change,
        gathered: Callable[[asyncio.Event], Awaitable[None]],
        lead: Callable[[Sequence[Change]], Awaitable[None]],
    ) -> None:
        """Returns when `change` is done, by our own `lead` or by another's. Raises what stood in its way.

        `gathered` returns when the others have had their time; its event is set when all who were announced are here. `lead`
        ends each change that it gets.
        """
        place = self._place(environment_id)
        place.waiting.append(change)
        place.arrived(ticket)
        try:
            async with place.lead:
                if not change.is_done:
                    await gathered(place.all_here)
                    await self._led(place, change, lead)
        finally:
            change.is_left = True
            if change in place.waiting:
                place.waiting.remove(change)
        if change.error is not None:
            raise change.error

    async def _led(self, place: Place, own: Change, lead: Callable[[Sequence[Change]], Awaitable[None]]) -> None:
        async with place.lock:
            group, place.waiting = place.waiting, []
            try:
                await lead(group)
            finally:
                place.waiting[:0] = [each for each in group if not (each.is_done or each.is_left or each is own)]
