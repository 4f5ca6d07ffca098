"""A client's connection: cuts its bytes into requests, one exchange after the other, and writes the answers."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import cast

from infra.localcloud.edge.exchange import Exchange
from infra.localcloud.edge.forwarding import error_bytes, peer_bytes
from infra.localcloud.edge.heads import HEAD_BYTES_MAX, HeadError, RequestHead
from infra.localcloud.edge.remembered import read_request
from infra.localcloud.edge.shared import Listening, Shared
from infra.localcloud.plane.resets import reset

IDLE_TIMEOUT_S = 75.0
HEAD_TIMEOUT_S = 15.0
LINGER_S = 1.0
CLIENTS_MAX = 10_000
KEPT_BYTES_MAX = 64 * 1024  # pipelined bytes; then reading stops until the exchange under way has ended
_EMPTY_LINES = re.compile(rb"\A(?:\r\n)++")


class ClientConnection(asyncio.Protocol):
    """Requests of one connection are answered in order; a second one waits until the first is done."""

    __slots__ = ("_buffer", "_deadline", "_exchange", "_is_in_loop", "_is_lingering", "_is_paused", "_listening", "_transport",
                 "from_peer", "is_closing_after", "peer", "shared")  # fmt: skip

    def __init__(self, shared: Shared, listening: Listening) -> None:
        self.shared, self._listening = shared, listening
        self._buffer = b""
        self._exchange: Exchange | None = None
        self._transport: asyncio.Transport | None = None
        self._is_paused = False
        self._is_in_loop = False
        self._is_lingering = False
        self._deadline = 0.0
        self.is_closing_after = False
        self.peer = self.from_peer = b""

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass of it
        peer = self._transport.get_extra_info("peername")
        self.peer = str(peer[0]).encode("ascii") if peer else b"unknown"
        self.from_peer = peer_bytes(self.peer, self.shared.edge_name)
        self._deadline = self.shared.loop.time() + HEAD_TIMEOUT_S
        self.shared.clients.add(self)
        if len(self.shared.clients) > CLIENTS_MAX:
            self._refuse(HeadError(503, "too many connections"))

    def data_received(self, data: bytes) -> None:
        if self._exchange is not None:
            self._exchange.client_data(data)
            return
        if self._is_lingering:
            return
        is_begun = bool(self._buffer)
        self._buffer = self._buffer + data if is_begun else data
        self._serve()
        if self._buffer and not is_begun:
            self._deadline = self.shared.loop.time() + HEAD_TIMEOUT_S

    def eof_received(self) -> bool:
        """The end of a client's sending is taken as its leaving, as nginx does: a process that died looks the same."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.shared.clients.discard(self)
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.client_lost()

    def pause_writing(self) -> None:
        if self._exchange is not None:
            self._exchange.client_full(True)

    def resume_writing(self) -> None:
        if self._exchange is not None:
            self._exchange.client_full(False)

    # what the exchange asks for

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def pause(self, is_full: bool) -> None:
        if self._transport is None or self._transport.is_closing() or is_full == self._is_paused:
            return
        self._is_paused = is_full
        (self._transport.pause_reading if is_full else self._transport.resume_reading)()

    def keep_for_next(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) > KEPT_BYTES_MAX:
            self.pause(True)

    def take_kept(self) -> bytes:
        kept, self._buffer = self._buffer, b""
        return kept

    def is_last(self, head: RequestHead) -> bool:
        return not head.is_keep_alive or self.shared.is_draining or self._listening.route is None

    def exchange_ended(self) -> None:
        self._exchange = None
        if self.is_closing_after:
            self._linger()
            return
        self._deadline = self.shared.loop.time() + IDLE_TIMEOUT_S
        if self._is_paused:
            self.pause(False)
        if self._buffer and not self._is_in_loop:
            self._serve()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """A reset: what was sent so far must not look like a whole answer."""
        if self._transport is not None:
            reset(self._transport)

    # what the server asks for

    def sweep(self, now: float) -> None:
        if self._exchange is not None:
            if now > self._exchange.deadline:
                self._exchange.time_out()
        elif now > self._deadline:
            if self._buffer and not self._is_lingering:
                self._refuse(HeadError(408, "request head took too long"))
            else:
                self.close()

    def drain(self) -> bool:
        """Ends an idle connection now, a busy one after its exchange; whether it is gone."""
        self.is_closing_after = True
        if self._exchange is None:
            self.close()
        return self._exchange is None

    def _serve(self) -> None:
        """Starts requests from the buffer while one after the other ends at once; no recursion for pipelined ones."""
        self._is_in_loop = True
        try:
            while self._exchange is None and self._buffer and not self.is_closing_after:
                if not self._start_request():
                    return
        finally:
            self._is_in_loop = False

    def _start_request(self) -> bool:
        buffer = self._buffer
        if buffer.startswith(b"\r\n"):  # empty lines before a request are to be ignored (RFC 9112 section 2.2), all at once
            buffer = self._buffer = _EMPTY_LINES.sub(b"", buffer, 1)
        end = buffer.find(b"\r\n\r\n") + 4
        if end < 4 or end > HEAD_BYTES_MAX:
            if len(buffer) > HEAD_BYTES_MAX:
                self._refuse(HeadError(431, "request head too large"))
            return False
        try:
            head, lines = read_request(buffer[:end])
        except HeadError as exc:
            self._refuse(exc)
            return False
        rest = buffer[end:]
        self._buffer = b""
        exchange = self._exchange = Exchange(self, head, lines, self._listening.route_for(head.host))
        if rest:
            exchange.client_data(rest)
        if self._exchange is exchange:
            exchange.start()
        return True

    def _linger(self) -> None:
        """Says that nothing more comes and reads on for a moment: closing with bytes unread would reset the connection, and
        the client might lose the answer it has not read yet (RFC 9112 section 9.6)."""
        self._is_lingering = True
        self._buffer = b""
        if self._transport is None or self._transport.is_closing():
            return
        self.pause(False)
        with contextlib.suppress(OSError):
            self._transport.write_eof()
        self._deadline = self.shared.loop.time() + LINGER_S

    def _refuse(self, error: HeadError) -> None:
        """Answers a head we do not understand and ends the connection: where the next request begins is unknown."""
        self._buffer = b""
        self.is_closing_after = True
        self.write(
            error_bytes(
                error.status, self.shared.edge_name, self.shared.next_request_id(), str(error), is_closing=True, is_head=False
            )
        )
        self._linger()
