"""What all connections of one edge share."""

from __future__ import annotations

import asyncio
import os
import random
from typing import Protocol

from infra.localcloud.edge.access_log import AccessLog
from infra.localcloud.edge.routes import EdgeRoute, Upstream
from infra.localcloud.edge.upstreams import UpstreamPool


class Client(Protocol):
    """A client's connection, as the server knows it."""

    def sweep(self, now: float) -> None: ...
    def drain(self) -> bool: ...
    def abort(self) -> None: ...


class Listening:
    """The route behind one listening address, or those that share it by host name; replaced by a swap, read per request."""

    __slots__ = ("by_host", "route")

    def __init__(self, route: EdgeRoute | None) -> None:
        self.route = route
        self.by_host: dict[bytes, EdgeRoute] = {}

    def set(self, routes: list[EdgeRoute]) -> None:
        """None of them: closing. A route that is not by host has its address to itself."""
        self.route = routes[0] if routes else None
        self.by_host = {route.domain.encode("ascii"): route for route in routes if route.is_by_host}

    def route_for(self, host: bytes) -> EdgeRoute | None:
        if not self.by_host:
            return self.route
        name = host.partition(b":")[0].lower().rstrip(b".")
        return self.by_host.get(name) or self.by_host.get(b"*." + name.partition(b".")[2])


class Shared:
    def __init__(self, region: str) -> None:
        self.loop = asyncio.get_running_loop()
        self.edge_name = f"railway/{region}".encode("ascii")
        self.pool = UpstreamPool()
        self.access_log = AccessLog()
        self.clients: set[Client] = set()
        self.known: frozenset[Upstream] = frozenset()  # what a route still names: connections to others are not kept
        self.is_draining = False
        self._random = random.Random()  # noqa: S311 - picks a replica
        self._id_prefix = os.urandom(8).hex().encode("ascii")
        self._id_count = 0

    def next_request_id(self) -> bytes:
        """Unique over edges and restarts: a random prefix of this process and a count."""
        self._id_count += 1
        return b"%b%012x" % (self._id_prefix, self._id_count)

    def random_index(self, size: int) -> int:
        return int(self._random.random() * size)
