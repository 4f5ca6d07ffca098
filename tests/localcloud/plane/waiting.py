"""How long the tests of the plane wait, and for what."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

DEADLINE_S = 20.0


async def eventually(question: Callable[[], object], timeout_s: float = DEADLINE_S) -> None:
    """Waits until `question()` is true."""
    async with asyncio.timeout(timeout_s):
        while not question():  # noqa: ASYNC110 - what happens is outside this process
            await asyncio.sleep(0.01)
