"""Listeners that follow the plane's table, and the end of an edge: swap, sweep, drain."""

from __future__ import annotations

import asyncio

from infra.localcloud.edge.client import ClientConnection
from infra.localcloud.edge.routes import EdgeRoute
from infra.localcloud.edge.shared import Listening, Shared

SWEEP_S = 1.0
DRAIN_S = 10.0
BACKLOG = 2048


class EdgeServer:
    """One region's edge."""

    def __init__(self, region: str) -> None:
        self._shared = Shared(region)
        self._open: dict[tuple[str, int], tuple[asyncio.Server, Listening]] = {}
        self._sweeper = self._shared.loop.call_later(SWEEP_S, self._sweep)

    async def follow(self, table: list[EdgeRoute]) -> list[str]:
        """Swaps the whole table; requests under way keep the route they began with. Errors of failed listeners."""
        wanted = {(route.address, route.port): route for route in table}
        self._shared.known = frozenset(upstream for route in table for group in route.groups for upstream in group.upstreams)
        for where in [known for known in self._open if known not in wanted]:
            server, listening = self._open.pop(where)
            listening.route = None
            server.close()
        errors = []
        for where, route in wanted.items():
            if where in self._open:
                self._open[where][1].route = route
                continue
            try:
                self._open[where] = await self._listen(where, route)
            except OSError as exc:
                errors.append(f"{where[0]}:{where[1]} for {route.domain}: {exc.strerror}")
        self._shared.pool.sweep(self._shared.known)
        return errors

    async def drain(self) -> None:
        """Accepts no more, lets requests under way end for up to DRAIN_S seconds."""
        self._sweeper.cancel()
        self._shared.is_draining = True
        for server, _ in self._open.values():
            server.close()
        deadline = self._shared.loop.time() + DRAIN_S
        while self._busy_clients() and self._shared.loop.time() < deadline:  # noqa: ASYNC110 - a drain is rare and short
            await asyncio.sleep(0.02)
        for client in list(self._shared.clients):
            client.abort()
        self._shared.access_log.flush()

    def _busy_clients(self) -> int:
        return sum(not client.drain() for client in list(self._shared.clients))

    async def _listen(self, where: tuple[str, int], route: EdgeRoute) -> tuple[asyncio.Server, Listening]:
        listening = Listening(route)
        server = await self._shared.loop.create_server(lambda: ClientConnection(self._shared, listening), *where, backlog=BACKLOG)
        return server, listening

    def _sweep(self) -> None:
        """Time limits of all connections at once: a timer per request would cost more than most requests do."""
        now = self._shared.loop.time()
        for client in list(self._shared.clients):
            client.sweep(now)
        self._shared.pool.sweep()
        self._sweeper = self._shared.loop.call_later(SWEEP_S, self._sweep)
