"""Listeners that follow the plane's table, and the end of an edge: swap, sweep, drain."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address

from infra.localcloud.edge.client import ClientConnection
from infra.localcloud.edge.routes import EdgeRoute
from infra.localcloud.edge.shared import Listening, Shared
from infra.localcloud.edge.tcp import TcpClient

SWEEP_S = 1.0
DRAIN_S = 10.0
BACKLOG = 2048
Where = tuple[str, int, bool]
"""Address, port, and whether bytes are passed on as they are."""


class EdgeServer:
    """One region's edge."""

    def __init__(self, region: str) -> None:
        self._shared = Shared(region)
        self._open: dict[Where, tuple[asyncio.Server, Listening]] = {}
        self._sweeper = self._shared.loop.call_later(SWEEP_S, self._sweep)

    async def follow(self, table: list[EdgeRoute]) -> list[str]:
        """Swaps the whole table; requests under way keep the route they began with. Errors of failed listeners."""
        wanted: dict[Where, list[EdgeRoute]] = {}
        for route in table:
            wanted.setdefault((route.address, route.port, route.is_tcp), []).append(route)
        self._shared.known = frozenset(upstream for route in table for group in route.groups for upstream in group.upstreams)
        for where in [known for known in self._open if known not in wanted]:
            server, listening = self._open.pop(where)
            listening.set([])
            server.close()
        errors = []
        for where, routes in wanted.items():
            if where in self._open:
                self._open[where][1].set(routes)
                continue
            try:
                self._open[where] = await self._listen(where, routes)
            except OSError as exc:
                errors.append(f"{where[0]}:{where[1]} for {routes[0].domain}: {exc.strerror or exc}")
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
        await asyncio.sleep(0)  # they tell the log of their end
        while not self._shared.access_log.close() and self._shared.loop.time() < deadline:  # noqa: ASYNC110 - the same
            await asyncio.sleep(0.02)

    def _busy_clients(self) -> int:
        return sum(not client.drain() for client in list(self._shared.clients))

    async def _listen(self, where: Where, routes: list[EdgeRoute]) -> tuple[asyncio.Server, Listening]:
        listening = Listening(None)
        listening.set(routes)
        host, port, is_tcp = where
        if not ip_address(host).is_loopback:  # whatever the table says: nobody on the network has business with this cloud
            raise OSError("expected a loopback address")
        kind = TcpClient if is_tcp else ClientConnection
        server = await self._shared.loop.create_server(lambda: kind(self._shared, listening), host, port, backlog=BACKLOG)
        return server, listening

    def _sweep(self) -> None:
        """Time limits of all connections at once: a timer per request would cost more than most requests do."""
        now = self._shared.loop.time()
        for client in list(self._shared.clients):
            client.sweep(now)
        self._shared.pool.sweep()
        self._sweeper = self._shared.loop.call_later(SWEEP_S, self._sweep)
