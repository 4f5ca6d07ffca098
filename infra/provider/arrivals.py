"""When the engine last asked for something: whoever waits for the rest of a wave waits until it has nothing more to say."""

from __future__ import annotations

from collections.abc import Awaitable, Callable


class Arrivals:
    """One per provider process."""

    def __init__(self) -> None:
        self._count = 0

    def note(self) -> None:
        self._count += 1

    async def lull(self, sleep: Callable[[float], Awaitable[None]], quiet_s: float, most_s: float) -> None:
        """Returns when nothing has arrived for `quiet_s`; after `most_s` in any case."""
        for _ in range(max(1, round(most_s / quiet_s))):
            before = self._count
            await sleep(quiet_s)
            if self._count == before:
                return
