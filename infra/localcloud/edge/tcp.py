"""A raw connection at the edge: bytes to a replica and back, without a look at them. Whoever reads too slowly is waited for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from functools import partial
from typing import cast

from infra.localcloud.edge.routes import Candidate, candidates
from infra.localcloud.edge.shared import Listening, Shared
from infra.localcloud.edge.upstreams import CONNECT_TIMEOUT_S
from infra.localcloud.plane.resets import reset

CLIENTS_MAX = 10_000
EARLY_BYTES_MAX = 64 * 1024  # from a client, kept while we connect


class _End(asyncio.Protocol):
    """One side of a relayed connection; `other` is None until it is chosen, and again when it is gone."""

    def __init__(self, other: _End | None = None) -> None:
        self.transport: asyncio.Transport | None = None
        self.other = other

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass of it

    def data_received(self, data: bytes) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.write(data)

    def eof_received(self) -> bool:
        """A half-closed connection stays open the other way: protocols that say so rely on it."""
        other = self.other.transport if self.other else None
        if other is not None and other.can_write_eof():
            with contextlib.suppress(OSError):
                other.write_eof()
        return other is not None

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        other, self.other = self.other, None
        if other is not None and other.transport is not None:
            if exc is None:
                other.transport.close()
            else:
                reset(other.transport)

    def pause_writing(self) -> None:
        self._read_of_other(is_paused=True)

    def resume_writing(self) -> None:
        self._read_of_other(is_paused=False)

    def _read_of_other(self, *, is_paused: bool) -> None:
        transport = self.other.transport if self.other else None
        if transport is not None and not transport.is_closing():
            (transport.pause_reading if is_paused else transport.resume_reading)()


def _itself(end: _End) -> _End:
    return end


class TcpClient(_End):
    """A client of a TCP proxy: the nearest region's replica that accepts, or a reset."""

    def __init__(self, shared: Shared, listening: Listening) -> None:
        super().__init__()
        self._shared, self._listening = shared, listening
        self._connecting: asyncio.Task[None] | None = None
        self._early = bytearray()
        self._has_ended_early = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        route = self._listening.route
        self._shared.clients.add(self)
        if route is None or len(self._shared.clients) > CLIENTS_MAX:
            self.abort()
            return
        # Reading is not paused meanwhile: uvloop never reads again from what was paused while the connection was made.
        order = candidates(route, self._shared.random_index, self._shared.pool.is_suspect)
        self._connecting = self._shared.loop.create_task(self._connect(order))

    async def _connect(self, order: Iterator[Candidate]) -> None:
        for candidate in order:
            far = _End(self)  # who serves may speak first, before we hear that we are connected
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    await self._shared.loop.create_connection(partial(_itself, far), *candidate.upstream)
            except (OSError, TimeoutError):
                continue
            if self.transport is None:  # the client left meanwhile
                if far.transport is not None:
                    far.transport.abort()
                return
            self._join(far)
            return
        self.abort()

    def _join(self, far: _End) -> None:
        self.other = far
        assert self.transport is not None
        assert far.transport is not None
        if self._early:
            far.transport.write(bytes(self._early))
            if len(self._early) > EARLY_BYTES_MAX:
                self.transport.resume_reading()
            self._early.clear()
        if self._has_ended_early:
            far.transport.write_eof()

    def data_received(self, data: bytes) -> None:
        if self.other is not None or self._connecting is None:
            super().data_received(data)
            return
        was_full = len(self._early) > EARLY_BYTES_MAX
        self._early += data
        if not was_full and len(self._early) > EARLY_BYTES_MAX and self.transport is not None:
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        if self.other is None and self._connecting is not None and not self._connecting.done():
            self._has_ended_early = True
            return True
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._shared.clients.discard(self)
        super().connection_lost(exc)

    # what the server asks for

    def sweep(self, now: float) -> None:
        """No limit of time, a database connection may idle for days; but none outlives its proxy."""
        if self._listening.route is None:
            self.abort()

    def drain(self) -> bool:
        """A raw connection has no end of a request to wait for."""
        self.abort()
        return True

    def abort(self) -> None:
        if self._connecting is not None and self.transport is not None and self.other is None:
            self._connecting.cancel()
        if self.transport is not None:
            reset(self.transport)
