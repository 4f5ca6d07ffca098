"""What goes wrong in bench/revocation.py: one fault at a time at the far replica, and a standby that stops replaying."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable, Mapping

import asyncpg  # type: ignore[import-untyped]

from loadtests.bench.link import Link
from loadtests.bench.replica_stack import Replica
from loadtests.history import Fault

FAULT_S = (0.5, 4.0)
HEALTH_S = (3.0, 5.0)
START_S = 3.0
FLAP_S = (0.3, 1.0)


class Faults:
    """`replica()` is the far one as it is now; `restart` starts it anew after a kill and returns once it is ready."""

    def __init__(
        self,
        random_: random.Random,
        links: Mapping[str, Link],
        replica: Callable[[], Replica],
        restart: Callable[[], None],
    ) -> None:
        self._random = random_
        self._links = links
        self._replica = replica
        self._restart = restart
        self._waiting: list[Callable[[float], Awaitable[None]]] = []

    async def next_one(self, now: Callable[[], float]) -> Fault:
        """Health for a while, then the next fault, until it is over."""
        if not self._waiting:
            self._waiting = [self._cut, self._freeze, self._flap, self._cut_all, self._stop, self._kill]
            self._random.shuffle(self._waiting)
        await asyncio.sleep(self._random.uniform(*HEALTH_S))
        fault, began_at = self._waiting.pop(), now()
        await fault(self._random.uniform(*FAULT_S))
        return Fault(fault.__name__.strip("_"), "far", began_at, now())

    async def _cut(self, duration_s: float) -> None:
        self._links["database"].cut()
        await asyncio.sleep(duration_s)
        self._links["database"].mend()

    async def _cut_all(self, duration_s: float) -> None:
        for link in self._links.values():
            link.cut()
        await asyncio.sleep(duration_s)
        for link in self._links.values():
            link.mend()

    async def _freeze(self, duration_s: float) -> None:
        self._links["database"].freeze()
        await asyncio.sleep(duration_s)
        self._links["database"].mend()

    async def _flap(self, duration_s: float) -> None:
        """Frozen, up for long enough to let an old answer through, and frozen again."""
        await self._freeze(self._random.uniform(*FLAP_S))
        await asyncio.sleep(self._random.uniform(0.005, 0.1))
        await self._freeze(duration_s)

    async def _stop(self, duration_s: float) -> None:
        process = self._replica().program.process
        process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(duration_s)
        process.send_signal(signal.SIGCONT)

    async def _kill(self, _duration_s: float) -> None:
        process = self._replica().program.process
        process.kill()
        await asyncio.to_thread(process.wait, 10)
        await asyncio.to_thread(self._restart)
        await asyncio.sleep(START_S)


async def lag(standby_url: str, random_: random.Random, is_over: Callable[[], bool]) -> None:
    """Stops the standby's replay and lets it go on, again and again. No fault in the history: the promises are the same."""
    connection = await asyncpg.connect(standby_url)
    try:
        while not is_over():
            await connection.execute("SELECT pg_wal_replay_pause()")
            await asyncio.sleep(random_.uniform(0.5, 6.0))
            await connection.execute("SELECT pg_wal_replay_resume()")
            await asyncio.sleep(random_.uniform(0.1, 2.0))
    finally:
        connection.terminate()
