"""Single flight: callers who want the same thing at the same time share one piece of work.

The work is a task of its own, so a caller who hangs up does not take the others' answer away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from service.errors import Unavailable

Result = TypeVar("Result")


class Flights(Generic[Result]):
    """At most `flights_max` different pieces of work at a time; more are shed with Unavailable."""

    def __init__(self, flights_max: int, deadline_s: float) -> None:
        self._flights_max = flights_max
        self._deadline_s = deadline_s
        self._under_way: dict[Hashable, asyncio.Task[Result]] = {}

    def __len__(self) -> int:
        return len(self._under_way)

    async def run(self, key: Hashable, work: Callable[[], Awaitable[Result]]) -> Result:
        """`work()`'s result or error, started at most once per key at a time; Unavailable past the deadline."""
        task = self._under_way.get(key)
        if task is None:
            if len(self._under_way) >= self._flights_max:
                raise Unavailable("flights", "too many verifications are under way")
            task = asyncio.create_task(self._bounded(work))
            self._under_way[key] = task
            task.add_done_callback(lambda done: self._landed(key, done))
        return await asyncio.shield(task)

    async def close(self) -> None:
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _bounded(self, work: Callable[[], Awaitable[Result]]) -> Result:
        try:
            async with asyncio.timeout(self._deadline_s):
                return await work()
        except TimeoutError as exc:
            raise Unavailable("flights", "verification took too long") from exc

    def _landed(self, key: Hashable, task: asyncio.Task[Result]) -> None:
        del self._under_way[key]
        if not task.cancelled():
            task.exception()  # marks it as seen: every waiter may have hung up
