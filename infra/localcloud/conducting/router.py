"""Keeps the edges' tables equal to what the world says. Changes are coalesced; a failing edge is tried again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from infra.localcloud.conducting.keeper import Keeper
from infra.localcloud.conducting.overlap import Overlap
from infra.localcloud.plane.interface import Plane, PlaneError, Route
from infra.localcloud.world import owners
from infra.localcloud.world.model import Domain, Instance
from infra.localcloud.world.routing import routes_of

RETRY_FIRST_S = 0.5
RETRY_MAX_S = 30.0
_logger = logging.getLogger("localcloud")


class Router:
    def __init__(self, keeper: Keeper, plane: Plane, overlap: Overlap) -> None:
        self._keeper, self._plane, self.overlap = keeper, plane, overlap
        self._shown: dict[str, Sequence[Route]] = {}
        self._lock = asyncio.Lock()
        self._changed = asyncio.Event()

    def private_address(self, instance: Instance) -> str:
        """The stable address of a service in the first region it is placed in."""
        region = instance.settings.first_region
        return self._plane.allocate(region, owners.private(instance.id, region))

    def domain_address(self, domain: Domain, region: str) -> str:
        return self._plane.allocate(region, owners.domain(domain.id, region))

    def edge_address(self, region: str) -> str:
        """The address that the region's TCP proxies and custom domains share."""
        return self._plane.allocate(region, owners.edge(region))

    @property
    def shown(self) -> dict[str, Sequence[Route]]:
        return dict(self._shown)

    def touch(self) -> None:
        self._changed.set()

    async def settle(self) -> None:
        """Returns when every edge shows the present world. PlaneError."""
        async with self._lock:
            self._changed.clear()
            wanted = routes_of(
                self.overlap.as_routed(self._keeper.world), self.domain_address, self.private_address, self.edge_address
            )
            for region in {*self._shown, *wanted}:
                routes = wanted.get(region, [])
                if self._shown.get(region, []) != routes:
                    await self._plane.set_routes(region, routes)
                    self._shown[region] = routes

    async def follow(self) -> None:
        """Runs for ever: settles after every change."""
        pause_s = RETRY_FIRST_S
        while True:
            await self._changed.wait()
            try:
                await self.settle()
                pause_s = RETRY_FIRST_S
            except (PlaneError, OSError) as exc:
                _logger.warning("routes: %s; trying again in %.1f s", exc, pause_s)
                self._changed.set()
                await asyncio.sleep(pause_s)
                pause_s = min(RETRY_MAX_S, pause_s * 2)
