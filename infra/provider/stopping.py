"""Cooperative cancellation: a request under way is finished, a wait is cut short, nothing new is started.

Cancelling the task instead would cut a change between our request and its answer, and so orphan what was just made.
"""

from __future__ import annotations

import asyncio
import time

from infra.provider.errors import Stopped


class Stopper:
    """One per provider process."""

    def __init__(self) -> None:
        self._stopped = asyncio.Event()

    @property
    def is_stopped(self) -> bool:
        return self._stopped.is_set()

    def stop(self) -> None:
        self._stopped.set()

    def check(self) -> None:
        """Raises Stopped once the engine has asked us to stop."""
        if self.is_stopped:
            raise Stopped("cancelled")

    def clock(self) -> float:
        """Goes forward as `sleep` waits."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Waits; raises Stopped as soon as the engine asks us to stop."""
        try:
            async with asyncio.timeout(seconds):
                await self._stopped.wait()
        except TimeoutError:
            return
        raise Stopped("cancelled")
