"""uvicorn's HTTP/1.1 protocol with two things of our own: bounded headers, and a shortcut for the one request that is hot.

The shortcut: a plain GET /api/v1/auth/verify whose token is in L1 is answered while its headers are being parsed, without a
task, a scope or an event. It is taken only where nothing else can be going on: HTTP/1.1 kept alive, no earlier request of
this connection unanswered (answers must keep their order), nothing waiting to be written. Everything else takes uvicorn's
way to the same Front; tests/service/test_story.py holds the two answers side by side.
"""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from service.web.front import VERIFY, Front

HEADER_BYTES_MAX = 32_768
HEADERS_MAX = 100
TARGET_BYTES_MAX = 8_192

_VERIFY_TARGET = VERIFY.encode()
_STATUS_200 = STATUS_LINE[200]


class HeadersTooLarge(Exception):
    """The caller's mistake, found while parsing; uvicorn answers 400."""


class Protocol(HttpToolsProtocol):
    """One connection."""

    _header_bytes = 0
    _is_answered = False

    def on_message_begin(self) -> None:
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
        if self.url == _VERIFY_TARGET and self._answer_at_once():
            self._is_answered = True
        else:
            super().on_headers_complete()

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

    def _answer_at_once(self) -> bool:
        parser, cycle, front = self.parser, self.cycle, self.app
        if (
            (cycle is not None and not cycle.response_complete)
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
