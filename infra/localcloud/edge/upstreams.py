"""Connections to replicas: one pool for all of the edge, newest idle connection first."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol, cast

from infra.localcloud.edge.routes import Upstream

IDLE_PER_UPSTREAM_MAX = 256
IDLE_S_MAX = 3.0  # below the 5 s after which uvicorn closes an idle connection, so that we rarely meet one just closed
CONNECT_TIMEOUT_S = 2.0
SUSPECT_S = 1.0  # an upstream that refused is tried last for this long


class Receiver(Protocol):
    """The exchange that a connection is lent to."""

    def upstream_data(self, data: bytes) -> None: ...
    def upstream_lost(self, exc: Exception | None) -> None: ...
    def upstream_full(self, is_full: bool) -> None: ...


class UpstreamConnection(asyncio.Protocol):
    """Lent to one exchange at a time; unasked-for bytes while idle end it."""

    __slots__ = ("_pool", "idle_since", "is_keepable", "is_paused", "is_reused", "receiver", "transport", "upstream")

    def __init__(self, pool: UpstreamPool, upstream: Upstream) -> None:
        self._pool = pool
        self.upstream = upstream
        self.receiver: Receiver | None = None
        self.transport: asyncio.Transport | None = None
        self.idle_since = 0.0
        self.is_paused = False
        self.is_reused = False  # it served an earlier exchange: it may have been closed just now
        self.is_keepable = False  # what the answer's head said

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass of it

    def data_received(self, data: bytes) -> None:
        if self.receiver is not None:
            self.receiver.upstream_data(data)
        else:
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._pool.forget(self)
        if self.receiver is not None:
            receiver, self.receiver = self.receiver, None
            receiver.upstream_lost(exc)

    def pause_writing(self) -> None:
        if self.receiver is not None:
            self.receiver.upstream_full(True)

    def resume_writing(self) -> None:
        if self.receiver is not None:
            self.receiver.upstream_full(False)

    def write(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)

    def pause(self, is_full: bool) -> None:
        """Stops and resumes reading for a client that does not keep up."""
        if self.transport is None or self.transport.is_closing() or is_full == self.is_paused:
            return
        self.is_paused = is_full
        (self.transport.pause_reading if is_full else self.transport.resume_reading)()

    def abort(self) -> None:
        self.receiver = None
        if self.transport is not None:
            self.transport.abort()


class UpstreamPool:
    """Idle connections by upstream, and which upstreams refused lately."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._idle: dict[Upstream, deque[UpstreamConnection]] = {}
        self._suspects: dict[Upstream, float] = {}

    def is_suspect(self, upstream: Upstream) -> bool:
        return bool(self._suspects) and self._suspects.get(upstream, 0.0) > self._loop.time()

    def take(self, upstream: Upstream) -> UpstreamConnection | None:
        """An idle connection that is still open, or None."""
        idle = self._idle.get(upstream)
        while idle:
            connection = idle.pop()
            if connection.transport is not None and not connection.transport.is_closing():
                connection.is_reused = True
                return connection
        return None

    async def connect(self, upstream: Upstream) -> UpstreamConnection:
        """A new connection. OSError or TimeoutError, and then the upstream is tried last for a while."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, connection = await self._loop.create_connection(lambda: UpstreamConnection(self, upstream), *upstream)
        except (OSError, TimeoutError):
            self._suspects[upstream] = self._loop.time() + SUSPECT_S
            raise
        self._suspects.pop(upstream, None)
        return connection

    def give_back(self, connection: UpstreamConnection) -> None:
        connection.receiver = None
        if connection.is_paused:
            connection.pause(False)  # its last client may still be reading; the next one must not wait for that
        idle = self._idle.setdefault(connection.upstream, deque())
        if len(idle) >= IDLE_PER_UPSTREAM_MAX:
            connection.abort()
            return
        connection.idle_since = self._loop.time()
        idle.append(connection)

    def forget(self, connection: UpstreamConnection) -> None:
        idle = self._idle.get(connection.upstream)
        if idle and connection in idle:
            idle.remove(connection)

    def sweep(self, wanted: frozenset[Upstream] | None = None) -> None:
        """Ends connections that idled too long, and those to upstreams that no route names any more."""
        oldest = self._loop.time() - IDLE_S_MAX
        for upstream, idle in list(self._idle.items()):
            is_gone = wanted is not None and upstream not in wanted
            for connection in [found for found in idle if is_gone or found.idle_since < oldest]:
                idle.remove(connection)
                connection.abort()
            if not idle:
                del self._idle[upstream]
        for upstream in [known for known, until in self._suspects.items() if until < self._loop.time()]:
            del self._suspects[upstream]
