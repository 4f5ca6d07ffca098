"""HTTP/1.1 to one server, for short questions with whole answers: a request out, a bounded answer in, connections kept.

Theory of operation. Each connection carries one exchange at a time and goes back to the idle ones after an answer that was whole
and may be followed by another (RFC 9112 section 9.3). One that the server closes while it is idle takes itself out, and one on
which something has come, read or not, is not used again: an answer in advance would be somebody else's. Nothing is sent twice:
nobody knows what a request that was not answered has done. Whoever gives up (a deadline, a caller who is gone) cancels, and the
connection ends with its exchange. There is no limit of connections here: each is held by an exchange or idle, and whoever asks
bounds the exchanges (auth_api.py).

It is here for what it leaves out. httpx, which streams and follows and proxies, takes ten times the processor time for each
exchange, 3 ms of it on a busy machine, in which no hit is answered.

Errors: ExchangeFailed: no answer, none that is whole, or one beyond the bounds; ConnectFailed (a kind of it): nothing was sent.
"""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ssl import SSLContext
from typing import cast
from urllib.parse import urlsplit

import httptools

from service.upstream.tls import context_for

CONNECT_TIMEOUT_S = 2.0
ADDRESSES_MAX = 4
IDLE_S_MAX = 30.0
HEAD_BYTES_MAX = 65_536
BODY_BYTES_MAX = 4_194_304
_NO_BODY = frozenset({204, 304})
_BREAKS = ("\r", "\n", "\0")


class ExchangeFailed(Exception):
    """The message names what was wrong, nothing of the request."""


class ConnectFailed(ExchangeFailed):
    """There is no connection."""


@dataclass(frozen=True, slots=True)
class Received:
    """A whole answer. Names of headers in lower case; of one that comes twice, the last."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Server:
    """Where requests go. `url`: scheme, host and port count, what follows does not. Use inside one running loop."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._tls: SSLContext | None = context_for(url) if parts.scheme == "https" else None
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if self._tls else 80)
        self._authority = parts.netloc.rpartition("@")[2]
        self._idle: list[_Connection] = []
        self._is_closed = False

    async def exchange(self, method: str, target: str, headers: Mapping[str, str], body: bytes | None = None) -> Received:
        """One request and its answer. ExchangeFailed, ConnectFailed; cancelled, it ends the connection."""
        request = _rendered(method, target, {"host": self._authority, **headers}, body)
        connection = self._kept() or await self._connected()
        is_reusable = False
        try:
            received = await connection.exchange(request)
            is_reusable = connection.is_reusable
            return received
        finally:
            if is_reusable and not self._is_closed:
                self._keep(connection)
            else:
                connection.abort()

    async def close(self) -> None:
        """Ends idle connections; those under way end with their exchange."""
        self._is_closed = True
        for connection in self._idle:
            connection.abort()
        self._idle.clear()

    def _kept(self) -> _Connection | None:
        """The one that was used last, so that those which are too many grow old."""
        self._drop_old()
        while self._idle:
            connection = self._idle.pop()
            if connection.is_silent:
                return connection
            connection.abort()
        return None

    def _keep(self, connection: _Connection) -> None:
        connection.idle_since = asyncio.get_running_loop().time()
        connection.on_lost = lambda: self._forget(connection)
        self._idle.append(connection)
        self._drop_old()

    def _drop_old(self) -> None:
        oldest = asyncio.get_running_loop().time() - IDLE_S_MAX
        while self._idle and self._idle[0].idle_since < oldest:
            self._idle.pop(0).abort()

    def _forget(self, connection: _Connection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)

    async def _connected(self) -> _Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
                addresses = [str(info[4][0]) for info in found[:ADDRESSES_MAX]]
                for number, address in enumerate(addresses, 1):
                    try:
                        # A family that leads nowhere may swallow packets: it gets its part of the time and no more.
                        async with asyncio.timeout(CONNECT_TIMEOUT_S / len(addresses)):
                            return await self._opened(address)
                    except (OSError, TimeoutError):
                        if number == len(addresses):
                            raise
        except (OSError, TimeoutError) as exc:
            raise ConnectFailed(f"cannot connect: {type(exc).__name__}") from exc
        raise ConnectFailed("the name has no address")

    async def _opened(self, address: str) -> _Connection:
        name = self._host if self._tls else None
        _, connection = await asyncio.get_running_loop().create_connection(
            _Connection, address, self._port, ssl=self._tls, server_hostname=name
        )
        return connection


class _Connection(asyncio.Protocol):
    """One connection, one exchange at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Received] | None = None
        self._is_lost = False
        self.idle_since = 0.0
        self.is_reusable = False
        self.on_lost: Callable[[], None] = _nothing
        self._begin()

    def _begin(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._head_bytes = self._body_bytes = 0
        self._has_head = False

    @property
    def is_silent(self) -> bool:
        """It is open, and nothing has come that the loop has not read yet: its end, or an answer that nobody asked for."""
        if self._transport is None or self._is_lost or self._transport.is_closing():
            return False
        arrived = select.poll()
        arrived.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not arrived.poll(0)

    async def exchange(self, request: bytes) -> Received:
        self.is_reusable = False
        self._begin()
        if self._transport is None or self._is_lost:
            raise ConnectFailed("the server closed the connection before it was used")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def abort(self) -> None:
        self.on_lost = _nothing
        if self._transport is not None:
            self._transport.abort()

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass of it

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            self._close_unasked()
            return
        self._head_bytes += 0 if self._has_head else len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as exc:
            self._fail(f"not HTTP: {type(exc).__name__}")
            return
        if not self._has_head and self._head_bytes > HEAD_BYTES_MAX:
            self._fail("the head is too long")

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_lost = True
        if self._answer is not None and not self._answer.done():
            if exc is None and self._has_head and not {"content-length", "transfer-encoding"} & self._headers.keys():
                self._finish(is_reusable=False)  # RFC 9112 section 6.3: then the connection's end is the body's
            else:
                self._fail("the connection broke off")
        self.on_lost()

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self._answer is not None and self._answer.done():
            self._close_unasked()

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._has_head:  # trailers say nothing that anybody here would want
            self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._parser.get_status_code() < 200:  # more is to come (RFC 9110 section 15.2)
            self._headers.clear()
            return
        self._has_head = True
        if self._headers.get("content-encoding", "identity") != "identity":
            self._fail("the body is encoded, which was not asked for")

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes > BODY_BYTES_MAX:
            self._fail("the body is too long")
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        if self._has_head:
            self._finish(is_reusable=self._parser.should_keep_alive())

    def _finish(self, *, is_reusable: bool) -> None:
        if self._answer is None or self._answer.done():
            self._close_unasked()
            return
        status = self._parser.get_status_code()
        self.is_reusable = is_reusable
        self._answer.set_result(Received(status, self._headers, b"" if status in _NO_BODY else b"".join(self._body)))

    def _close_unasked(self) -> None:
        """Something came that nobody asked for: the next answer would be taken for another one."""
        self.is_reusable = False
        if self._transport is not None:
            self._transport.abort()

    def _fail(self, reason: str) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ExchangeFailed(reason))
        self._close_unasked()


def _nothing() -> None: ...


def _rendered(method: str, target: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
    """The request's bytes. ExchangeFailed where a value would end its line, and so be read as another."""
    fields = dict(headers)
    if body is not None or method == "POST":
        fields["content-length"] = str(len(body or b""))
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    if " " in target or any(mark in line for line in lines for mark in _BREAKS):
        raise ExchangeFailed("a value of the request cannot be sent")
    try:
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")
    except UnicodeEncodeError as exc:
        raise ExchangeFailed("a value of the request cannot be sent") from exc
