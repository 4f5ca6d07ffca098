"""Deletions whose grace has passed, by the cloud's clock; and how much longer than it must what is deleted stays to be seen."""

from __future__ import annotations

import logging
from datetime import datetime

from msgspec import Struct

from infra.localcloud.conducting.clock import new_stamp
from infra.localcloud.conducting.keeper import Keeper
from infra.localcloud.conducting.store import StoreError
from infra.localcloud.world.departures import projects_to_come, volumes_to_come
from infra.localcloud.world.errors import WorldError
from infra.localcloud.world.places import DeleteVolume
from infra.localcloud.world.projects import DeleteProject

LOOK_S = 30.0
_logger = logging.getLogger("localcloud")


class Deletions:
    """`linger_s`: every ending takes at least this long, on the cloud's clock. 0: as long as it really takes."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self.linger_s = 0.0

    async def follow(self) -> None:
        """Runs for ever."""
        while True:
            await self._look()
            await self._keeper.clock.sleep(self._pause_s())

    async def _look(self) -> None:
        world, now = self._keeper.world, self._keeper.clock.timestamp()
        due: list[Struct] = [
            DeleteProject(new_stamp(), key, due_at=at) for key, at in projects_to_come(world).items() if at <= now
        ]
        due += [DeleteVolume(new_stamp(), key, due_at=at) for key, at in volumes_to_come(world).items() if at <= now]
        for command in due:
            try:
                await self._keeper.apply(command)
            except (WorldError, StoreError) as exc:  # a volume goes with its project; a full disk is looked at again
                _logger.info("deletion: %s", exc)

    def _pause_s(self) -> float:
        """Until the next one is due. What is deleted while this waits has a grace that is longer than LOOK_S."""
        now, world = self._keeper.clock.now(), self._keeper.world
        moments = [*projects_to_come(world).values(), *volumes_to_come(world).values()]
        left = [(datetime.fromisoformat(at) - now).total_seconds() for at in moments]
        return max(1.0, min([LOOK_S, *left]))

    async def linger(self, since: float) -> None:
        """Until `linger_s` after `since`, a reading of the cloud's monotonic clock."""
        await self._keeper.clock.sleep(since + self.linger_s - self._keeper.clock.monotonic())
