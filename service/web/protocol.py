"""uvicorn's HTTP/1.1 protocol with five things of our own: bounded headers, deadlines for a request's head and for reading the
answer, a bounded queue of pipelined requests, an orderly end of kept connections, and a shortcut for the requests that are hot.

The shortcut: a plain hot request that arrives whole, in one chunk, and whose answer is in memory (web/shortcut.py) is answered at
once, without a task, a scope, an event or a timer. It is taken only where nothing else can be going on: the connection is between
two requests, no answer is on its way, nothing waits to be written. Everything else takes uvicorn's way to the same Front.

The keep-alive timer of the last long way is left running meanwhile. Where it fires, requests since count as a sign of life, so an
idle connection lives for one to two times KEEP_ALIVE_S.

The deadline: whoever sends a head byte by byte, or none at all, would hold a place among CONNECTIONS_MAX for ever, because
uvicorn stops its keep-alive timer at the first byte. One sweep over all connections looks for those that neither idle between
requests nor have one under way; a timer for each head would be paid for on the hot path.

The end: uvicorn closes an idle connection at once when it is told to shut down, though a request may be on its way over it or
half read; whoever sent it cannot know whether it was done. Here such a connection takes one more request for LINGER_S, or
finishes the head that it has begun, says `Connection: close` in the answer, and closes then (RFC 9112 section 9.6).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service.web.front import Front

HEADER_BYTES_MAX = 32_768
HEADERS_MAX = 100
TARGET_BYTES_MAX = 8_192
HEAD_TIMEOUT_S = 15.0
STALL_TIMEOUT_S = 30.0
PIPELINE_MAX = 64
SWEEP_S = 1.0
SWEPT_AT_ONCE = 250
LINGER_S = 0.25
CONNECTIONS_MAX = 10_000

_FULL = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class HeadersTooLarge(Exception):
    """The caller's mistake, found while parsing; uvicorn answers 400."""


class PipelineTooLong(Exception):
    """The caller's mistake likewise."""


class Protocol(HttpToolsProtocol):
    """One connection."""

    _header_bytes = 0
    _at_once: Callable[[bytes, list[tuple[bytes, bytes]]], bytes | None]
    _is_between = True  # two requests: whatever comes next begins one
    _is_ending = False
    _is_quiet: bool  # nothing else is going on
    _is_head_open = False
    _heads: int  # that were complete
    _heads_swept = -1
    _heads_timed = 0
    _waiting_since = 0.0
    _running: RequestResponseCycle | None = None
    _unsent_swept = 0
    _stalled_since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        is_too_many = len(self.connections) > CONNECTIONS_MAX
        if is_too_many:
            transport.write(_FULL)
            transport.close()

        front = self.app
        # Anything else behind us (a middleware, a test's application) has no answers ready.
        self._at_once = (front.at_once if isinstance(front, Front) else None) or _never
        self._write = transport.write
        # On the instance, where CPython 3.11 finds them at once; a default of the class is looked for anew each time.
        self._is_quiet = not is_too_many
        self._heads = 0

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.pipeline.clear()
        if self._running is not None:  # uvicorn tells the last request that came, which may be another
            self._running.disconnected = not self._running.response_complete
            self._running.message_event.set()

    def data_received(self, data: bytes) -> None:
        if self._is_quiet:
            at_once, write = self._at_once, self._write
            answer = at_once(data, self.server_state.default_headers)
            if answer is not None:
                write(answer)
                self._heads += 1
                if self.timeout_keep_alive_task is None:
                    self._time_idleness()
                return
        super().data_received(data)

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= PIPELINE_MAX:
            raise PipelineTooLong
        self._is_between = self._is_quiet = False
        self._is_head_open = True
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
        self._is_head_open = False
        super().on_headers_complete()
        if self._is_ending:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        self._is_between = True
        super().on_message_complete()
        self._look_around()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.pipeline and not self.transport.is_closing():
            self.flow.pause_reading()
        self._look_around()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._look_around()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._look_around()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def timeout_keep_alive_handler(self) -> None:
        if self._heads == self._heads_timed:
            super().timeout_keep_alive_handler()
            return
        self._time_idleness()

    def shutdown(self) -> None:
        """No request after the one that is under way or may be on its way right now."""
        if self.cycle is not None and not self.cycle.response_complete:
            super().shutdown()
            return
        self._is_ending = True
        self._look_around()
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

    def close_if_stalled(self, now: float, timeout_s: float) -> None:
        """Ends the connection where something waits to be read and nothing of it was, for `timeout_s`. Call again and again."""
        unsent = self.transport.get_write_buffer_size()
        if unsent == 0 or unsent != self._unsent_swept:
            self._unsent_swept, self._stalled_since = unsent, now
        elif now - self._stalled_since >= timeout_s:
            self.transport.abort()

    def _close_if_idle(self) -> None:
        is_under_way = self.cycle is not None and not self.cycle.response_complete
        if not self._is_head_open and not is_under_way:
            self.transport.close()

    def _look_around(self) -> None:
        """Whether the next chunk may be answered at once: asked where something changes, not for each request."""
        is_under_way = self.cycle is not None and not self.cycle.response_complete
        is_held_up = is_under_way or self.flow.write_paused or self._is_ending or self.transport.is_closing()
        self._is_quiet = self._is_between and not is_held_up

    def _time_idleness(self) -> None:
        self._heads_timed = self._heads
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)


def _never(_data: bytes, _server_headers: object) -> bytes | None:
    return None


async def sweep(
    connections: Collection[Any],
    timeout_s: float = HEAD_TIMEOUT_S,
    every_s: float = SWEEP_S,
    stall_timeout_s: float = STALL_TIMEOUT_S,
) -> None:
    """Closes connections whose next head takes longer than `timeout_s`, or whose caller reads nothing for `stall_timeout_s`;
    until cancelled. `connections`: uvicorn's own, live."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(every_s)
        for number, connection in enumerate(list(connections), start=1):
            now = loop.time()
            connection.close_if_slow(now, timeout_s)
            connection.close_if_stalled(now, stall_timeout_s)
            if number % SWEPT_AT_ONCE == 0:
                await asyncio.sleep(0)  # all of CONNECTIONS_MAX at once would hold up every request for 3 ms
