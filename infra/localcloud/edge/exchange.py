"""One request and its answer: picks a replica, passes both bodies on, and decides what a failure becomes.

Nothing waits here but the connecting: bytes are pushed from one transport to the other as they come, and whoever reads
faster than the other side writes is paused. A request is given to another replica only while no byte of it can have been
acted on: when connecting failed, or when a kept-alive connection turned out to be closed before any byte of an answer and
the method is idempotent without a body (RFC 9110 section 9.2.2).
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

from infra.localcloud.edge import forwarding
from infra.localcloud.edge.access_log import AccessLine
from infra.localcloud.edge.bodies import Body, BodyError, ChunkedBody, LengthBody, UntilCloseBody
from infra.localcloud.edge.heads import HEAD_BYTES_MAX, HeadError, RequestHead, ResponseHead, parse_response
from infra.localcloud.edge.routes import Candidate, EdgeRoute, candidates
from infra.localcloud.edge.shared import Shared
from infra.localcloud.edge.upstreams import UpstreamConnection

IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})
RESPONSE_TIMEOUT_S = 300.0  # Railway's limit for a whole request (its help station: 5 minutes)
REQUEST_BODY_BYTES_MAX = 100 * 1024 * 1024
EARLY_BYTES_MAX = 64 * 1024  # of a request body, kept while we connect


def _request_body(head: RequestHead) -> Body | None:
    if head.is_chunked:
        return ChunkedBody()
    return LengthBody(head.body_bytes) if head.body_bytes else None


class Client(Protocol):
    """What an exchange asks of the connection that owns it."""

    shared: Shared
    peer: bytes
    is_closing_after: bool

    def write(self, data: bytes) -> None: ...
    def pause(self, is_full: bool) -> None: ...
    def keep_for_next(self, data: bytes) -> None: ...
    def take_kept(self) -> bytes: ...
    def is_last(self, head: RequestHead) -> bool: ...
    def exchange_ended(self) -> None: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...


class Exchange:
    """Owned by its client connection; talks to at most one upstream connection at a time."""

    __slots__ = (
        "_body_bytes", "_candidates", "_client", "_connecting", "_early", "_has_answer_begun", "_head", "_is_request_complete",
        "_is_tunnel", "_request_body", "_response_body", "_response_buffer", "_route", "_shared", "_started_ns", "_status",
        "_tried", "_upstream", "deadline", "request_id",
    )  # fmt: skip

    def __init__(self, client: Client, head: RequestHead, route: EdgeRoute | None) -> None:
        self._client, self._head, self._route = client, head, route
        self._shared = client.shared
        self._request_body = _request_body(head)
        self._is_request_complete = self._request_body is None
        self._body_bytes = 0
        self._early: list[bytes] = []
        self._response_body: Body | None = None
        self._response_buffer = b""
        self._has_answer_begun = False
        self._is_tunnel = False
        self._candidates: list[Candidate] = []
        self._tried: Candidate | None = None
        self._upstream: UpstreamConnection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._status = 0
        self._started_ns = time.perf_counter_ns()
        self.deadline = self._shared.loop.time() + RESPONSE_TIMEOUT_S
        self.request_id = self._shared.next_request_id()

    def start(self) -> None:
        if self._route is None or not self._route.is_deployed:
            self._fail(404)
        elif self._head.body_bytes > REQUEST_BODY_BYTES_MAX:
            self._fail(413)
        else:
            self._candidates = candidates(self._route, self._shared.random_index, self._shared.pool.is_suspect)
            self._next_candidate()

    def client_data(self, data: bytes) -> None:
        """Bytes of the request's body, or of the tunnel; what follows the body goes back to the client connection."""
        if self._is_tunnel:
            if self._upstream is not None:
                self._upstream.write(data)
            return
        if self._request_body is None:
            self._client.keep_for_next(data)
            return
        try:
            out, rest = self._request_body.feed(data)
        except BodyError as exc:
            self._fail(400, str(exc))
            return
        self._body_bytes += len(out)
        if self._body_bytes > REQUEST_BODY_BYTES_MAX:
            self._fail(413)
            return
        if out:
            self._send_body(out)
        if rest is not None:
            self._request_body, self._is_request_complete = None, True
            if rest:
                self._client.keep_for_next(rest)

    def client_lost(self) -> None:
        """The client is gone: so is the reason to go on."""
        self._drop_upstream()
        self._log(self._status or 499)

    def client_full(self, is_full: bool) -> None:
        if self._upstream is not None:
            self._upstream.pause(is_full)

    def upstream_full(self, is_full: bool) -> None:
        self._client.pause(is_full)

    def time_out(self) -> None:
        self._drop_upstream()
        if self._has_answer_begun:
            self._client.abort()
        else:
            self._fail(504)

    # towards the replica

    def _next_candidate(self) -> None:
        if not self._candidates:
            self._fail(502)
            return
        self._tried = self._candidates.pop(0)
        connection = self._shared.pool.take(self._tried.upstream)
        if connection is not None:
            self._send(connection)
        else:
            self._connecting = self._shared.loop.create_task(self._connect(self._tried))

    async def _connect(self, candidate: Candidate) -> None:
        try:
            connection = await self._shared.pool.connect(candidate.upstream)
        except (OSError, TimeoutError):
            self._connecting = None
            self._next_candidate()
            return
        self._connecting = None
        self._send(connection)

    def _send(self, connection: UpstreamConnection) -> None:
        self._upstream = connection
        connection.receiver = self
        head = forwarding.request_bytes(
            self._head, self._client.peer, self._shared.edge_name, self.request_id, int(time.time() * 1000)
        )
        connection.write(b"".join((head, *self._early)) if self._early else head)
        self._early.clear()
        if not self._is_request_complete:
            if self._head.is_expecting and not self._body_bytes:
                self._client.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._client.pause(False)

    def _send_body(self, out: bytes) -> None:
        if self._upstream is not None:
            self._upstream.write(out)
            return
        self._early.append(out)
        if self._body_bytes > EARLY_BYTES_MAX:
            self._client.pause(True)

    # from the replica

    def upstream_data(self, data: bytes) -> None:
        if self._is_tunnel:
            self._client.write(data)
        elif self._response_body is not None:
            self._pass_on(b"", data)
        else:
            self._read_head(self._response_buffer + data)

    def _read_head(self, buffer: bytes) -> None:
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            self._response_buffer = buffer
            if len(buffer) > HEAD_BYTES_MAX:
                self._broken()
            return
        try:
            head = parse_response(buffer[: end + 4], self._head.method)
        except HeadError:
            self._broken()
            return
        self._response_buffer = b""
        rest = buffer[end + 4 :]
        if head.status == 101 and self._head.upgrade is not None:
            self._become_tunnel(head, rest)
        elif head.status == 101:
            self._broken()  # nobody asked for it
        elif head.status < 200:  # interim answers end here: we gave our own 100 already (RFC 9110 section 15.2)
            if rest:
                self._read_head(rest)
        else:
            self._begin_answer(head, rest)

    def _begin_answer(self, head: ResponseHead, rest: bytes) -> None:
        assert self._tried is not None
        is_http11 = self._head.is_http11
        has_length = head.body_bytes is not None
        is_closing = self._client.is_last(self._head) or not self._is_request_complete or not (has_length or is_http11)
        zone = f"railway/{self._tried.region}".encode() if b"x-railway-debug" in self._head.special else None
        out = forwarding.response_bytes(
            head, self._shared.edge_name, self.request_id, is_http11=is_http11, is_closing=is_closing, upstream_zone=zone
        )
        self._has_answer_begun = True
        self._status = head.status
        self._client.is_closing_after = is_closing
        if self._upstream is not None:
            self._upstream.is_keepable = head.is_keep_alive
        if has_length and not head.body_bytes:
            self._client.write(out)
            self._complete(is_clean=not rest)
            return
        if head.body_bytes is not None:
            self._response_body = LengthBody(head.body_bytes)
        else:
            self._response_body = ChunkedBody(is_http11) if head.is_chunked else UntilCloseBody(is_http11)
        self._pass_on(out, rest)

    def _pass_on(self, head: bytes, data: bytes) -> None:
        assert self._response_body is not None
        try:
            out, rest = self._response_body.feed(data) if data else (b"", None)
        except BodyError:
            self._drop_upstream()
            self._client.abort()
            return
        if head or out:
            self._client.write(head + out)
        if rest is not None:
            self._complete(is_clean=not rest)

    def upstream_lost(self, exc: Exception | None) -> None:
        connection, self._upstream = self._upstream, None
        if self._is_tunnel:
            self._client.close()
        elif isinstance(self._response_body, UntilCloseBody) and exc is None:
            self._client.write(self._response_body.end())
            self._complete(is_clean=False)
        elif self._has_answer_begun:
            self._client.abort()  # a cut answer must not look like a whole one
        elif self._may_retry(connection):
            self._response_buffer = b""
            if self._tried is not None:
                self._candidates.insert(0, self._tried)  # its process may well be fine: only this connection was old
            self._next_candidate()
        else:
            self._fail(502)

    def _may_retry(self, connection: UpstreamConnection | None) -> bool:
        has_body = bool(self._head.body_bytes or self._head.is_chunked)
        is_silent = not self._response_buffer
        return connection is not None and connection.is_reused and is_silent and not has_body and self._head.method in IDEMPOTENT

    # ends

    def _become_tunnel(self, head: ResponseHead, rest: bytes) -> None:
        out = forwarding.response_bytes(
            head, self._shared.edge_name, self.request_id, is_http11=True, is_closing=False, upstream_zone=None
        )
        self._is_tunnel = self._has_answer_begun = True
        self._status = 101
        self.deadline = float("inf")
        self._client.write(out + rest)
        self._client.pause(False)
        early = self._client.take_kept()
        if early and self._upstream is not None:
            self._upstream.write(early)

    def _broken(self) -> None:
        self._drop_upstream()
        self._fail(502)

    def _complete(self, is_clean: bool) -> None:
        connection, self._upstream = self._upstream, None
        if connection is not None:
            if is_clean and self._is_request_complete and connection.is_keepable and self._shared.is_known(connection.upstream):
                self._shared.pool.give_back(connection)
            else:
                connection.abort()
        self._log(self._status)
        self._client.exchange_ended()

    def _fail(self, status: int, message: str | None = None) -> None:
        """The edge's own answer; a request whose body is still coming ends its connection."""
        self._drop_upstream()
        if self._has_answer_begun:
            self._client.abort()
            return
        self._status = status
        self._has_answer_begun = True
        is_closing = self._client.is_last(self._head) or not self._is_request_complete or status in (400, 413)
        self._client.is_closing_after = is_closing
        self._client.write(
            forwarding.error_bytes(
                status,
                self._shared.edge_name,
                self.request_id,
                message,
                is_closing=is_closing,
                is_head=self._head.method == b"HEAD",
            )
        )
        self._log(status)
        self._client.exchange_ended()

    def _drop_upstream(self) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None
        connection, self._upstream = self._upstream, None
        if connection is not None:
            connection.abort()

    def _log(self, status: int) -> None:
        log = self._shared.access_log
        if not log.is_wanted(status):
            return
        tried = self._tried
        line = AccessLine(
            time_ms=int(time.time() * 1000),
            request_id=self.request_id.decode("ascii"),
            method=self._head.method.decode("ascii"),
            host=self._head.host.decode("ascii"),
            path=self._head.target.partition(b"?")[0].decode("ascii"),  # a query may carry a token
            status=status,
            duration_ms=(time.perf_counter_ns() - self._started_ns) // 1000 / 1000,
            upstream=f"{tried.upstream[0]}:{tried.upstream[1]}" if tried else "",
            upstream_region=tried.region if tried else "",
            client=self._client.peer.decode("ascii"),
            skipped=0,
        )
        log.write(line)
