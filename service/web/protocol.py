"""uvicorn's HTTP/1.1 protocol with four things of our own: bounded headers, a deadline for a request's head, an orderly end of
kept connections, and a shortcut for the one request that is hot.

The shortcut: a plain GET /api/v1/auth/verify whose token is in L1 is answered while its headers are being parsed, without a
task, a scope or an event. It is taken only where nothing else can be going on: HTTP/1.1 kept alive, no earlier request of
this connection unanswered (answers must keep their order), nothing waiting to be written. Everything else takes uvicorn's
way to the same Front; tests/service/test_story.py holds the two answers side by side.

The deadline: whoever sends a head byte by byte, or none at all, would hold a place among CONNECTIONS_MAX for ever, because
uvicorn stops its keep-alive timer at the first byte. One sweep over all connections looks for those that neither idle between
requests nor have one under way; a timer for each head would be paid for on the hot path.

The end: uvicorn closes an idle connection at once when it is told to shut down, though a request may be on its way over it or
half read; whoever sent it cannot know whether it was done. Here such a connection takes one more request for LINGER_S, or
finishes the head that it has begun, says `Connection: close` in the answer, and closes then (RFC 9112 section 9.6).
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from service.web.front import VERIFY, Front

HEADER_BYTES_MAX = 32_768
HEADERS_MAX = 100
TARGET_BYTES_MAX = 8_192
HEAD_TIMEOUT_S = 15.0
SWEEP_S = 1.0
LINGER_S = 0.25
CONNECTIONS_MAX = 10_000

_VERIFY_TARGET = VERIFY.encode()
_STATUS_200 = STATUS_LINE[200]
_FULL = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class HeadersTooLarge(Exception):
    """The caller's mistake, found while parsing; uvicorn answers 400."""


class Protocol(HttpToolsProtocol):
    """One connection."""

    _header_bytes = 0
    _is_answered = False
    _is_ending = False
    _heads_begun = 0
    _heads = 0  # that were complete
    _heads_swept = -1
    _waiting_since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS_MAX:
            transport.write(_FULL)
            transport.close()

    def on_message_begin(self) -> None:
        self._heads_begun += 1
        self._header_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > TARGET_BYTES_MAX:
            raise HeadersTooLarge

    def on_header(self, name: bytes, value: bytes) -> None:
        # llhttp itself sets no bound; without one a single connection could fill our memory.
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > HEADER_BYTES_MAX or len(self.headers) >= HEADERS_MAX:
            raise HeadersTooLarge
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._heads += 1
        if self.url == _VERIFY_TARGET and self._answer_at_once():
            self._is_answered = True
        else:
            super().on_headers_complete()
            if self._is_ending:
                self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        if not self._is_answered:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._is_answered:
            super().on_message_complete()
            return
        self._is_answered = False
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def shutdown(self) -> None:
        """No request after the one that is under way or may be on its way right now."""
        if self.cycle is not None and not self.cycle.response_complete:
            super().shutdown()
            return
        self._is_ending = True
        self.loop.call_later(LINGER_S, self._close_if_idle)

    def close_if_slow(self, now: float, timeout_s: float) -> None:
        """Ends the connection where no head was completed for `timeout_s`, though one was due. Call again and again.

        now: the loop's time. An answer on its way counts as progress, and so does a keep-alive timer that runs.
        """
        is_under_way = self.cycle is not None and not self.cycle.response_complete
        if is_under_way or self.timeout_keep_alive_task is not None or self._heads != self._heads_swept:
            self._heads_swept, self._waiting_since = self._heads, now
        elif now - self._waiting_since >= timeout_s:
            self.transport.abort()  # close() would first wait for a reader who may never read

    def _close_if_idle(self) -> None:
        is_under_way = self.cycle is not None and not self.cycle.response_complete
        if self._heads_begun == self._heads and not is_under_way:
            self.transport.close()

    def _answer_at_once(self) -> bool:
        parser, cycle, front = self.parser, self.cycle, self.app
        if (
            (cycle is not None and not cycle.response_complete)
            or self._is_ending
            or self.expect_100_continue
            or self.flow.write_paused
            or self.transport.is_closing()
            or parser.get_method() != b"GET"
            or parser.get_http_version() != "1.1"
            or not parser.should_keep_alive()
            or parser.should_upgrade()
            or not isinstance(front, Front)
        ):
            return False
        headers = front.shortcut(self.headers)
        if headers is None:
            return False
        lines = [_STATUS_200]
        for name, value in (*self.server_state.default_headers, *headers):
            lines += (name, b": ", value, b"\r\n")
        lines.append(b"\r\n")
        self.transport.write(b"".join(lines))
        return True


async def sweep(connections: Collection[Any], timeout_s: float = HEAD_TIMEOUT_S, every_s: float = SWEEP_S) -> None:
    """Closes connections whose next head takes longer than `timeout_s`; until cancelled. `connections`: uvicorn's own, live."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(every_s)
        now = loop.time()
        for connection in list(connections):
            connection.close_if_slow(now, timeout_s)
