"""What replicas use, sampled for the last hour: kept in memory, so a restart of the local cloud begins anew."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from infra.localcloud.conducting.keeper import Keeper
from infra.localcloud.plane.interface import Plane
from infra.localcloud.world.model import ReplicaStatus

SAMPLE_S = 5.0
KEPT_S = 3600.0


@dataclass(frozen=True, slots=True)
class Sample:
    """`at` in seconds since the epoch, the same for all replicas sampled together; `cpus` is the mean since the one before."""

    at: int
    cpus: float
    memory_bytes: int


class Metrics:
    def __init__(self, keeper: Keeper, plane: Plane) -> None:
        self._keeper, self._plane = keeper, plane
        self._samples: dict[str, deque[Sample]] = {}
        self._before: dict[str, tuple[int | None, float, float]] = {}  # pid, seconds since the epoch, processor seconds

    def of(self, key: str) -> list[Sample]:
        """Of one replica, oldest first."""
        return list(self._samples.get(key, ()))

    def sample(self, now: float) -> None:
        """`now` in seconds since the epoch."""
        known = {found.key for one in self._keeper.world.deployments.values() for found in one.replicas}
        for table in (self._samples, self._before):
            for key in table.keys() - known:
                del table[key]
        running = {
            found.key
            for one in self._keeper.world.deployments.values()
            for found in one.replicas
            if found.status is not ReplicaStatus.REMOVED
        }
        for found in self._plane.status():
            if found.key not in running or found.memory_bytes is None or found.cpu_s is None:
                continue
            pid, at, cpu_s = self._before.get(found.key, (None, now, found.cpu_s))
            self._before[found.key] = (found.pid, now, found.cpu_s)
            if pid != found.pid or now <= at:
                continue  # the first look at this process: there is nothing to compare with yet
            cpus = max(0.0, found.cpu_s - cpu_s) / (now - at)
            samples = self._samples.setdefault(found.key, deque(maxlen=int(KEPT_S / SAMPLE_S)))
            samples.append(Sample(int(now), cpus, found.memory_bytes))

    async def follow(self) -> None:
        """Runs for ever."""
        while True:
            self.sample(self._keeper.clock.seconds())
            await asyncio.sleep(SAMPLE_S)
