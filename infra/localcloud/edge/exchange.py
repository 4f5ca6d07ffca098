"""One request and its answer: picks a replica, passes both bodies on, and decides what a failure becomes.

Nothing waits here but the connecting: bytes are pushed from one transport to the other as they come, and whoever reads
faster than the other side writes is paused. A request is given to another replica only while no byte of it can have been
acted on: when connecting failed, or when a kept-alive connection turned out to be closed before any byte of an answer and
the method is idempotent without a body (RFC 9110 section 9.2.2).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Protocol

from infra.localcloud.edge import forwarding
from infra.localcloud.edge.access_log import Access
from infra.localcloud.edge.bodies import Body, BodyError, ChunkedBody, LengthBody, UntilCloseBody
from infra.localcloud.edge.heads import HEAD_BYTES_MAX, HeadError, RequestHead, ResponseHead
from infra.localcloud.edge.remembered import read_response
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
    from_peer: bytes
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

    # What most exchanges never change stands on the class: each assignment in __init__ would be paid for by every request.
    _body_bytes = 0
    _candidates: Iterator[Candidate] = iter(())
    _connecting: asyncio.Task[None] | None = None
    _early: bytearray | None = None
    _has_answer_begun = False
    _is_tunnel = False
    _response_body: Body | None = None
    _response_buffer = b""
    _upstream: UpstreamConnection | None = None

    def __init__(self, client: Client, head: RequestHead, lines: bytes, route: EdgeRoute | None) -> None:
        """`lines` is what a replica is sent of the head."""
        shared = self._shared = client.shared
        self._client, self._head, self._lines, self._route = client, head, lines, route
        self._request_body = _request_body(head)
        self._is_request_complete = self._request_body is None
        self._began_s = time.perf_counter()
        self.deadline = shared.loop.time() + RESPONSE_TIMEOUT_S
        self._access = Access(shared.next_request_id(), head, client.peer, time.time())

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
        if not self._access.status:
            self._access.status = 499
        self._log()

    def client_full(self, is_full: bool) -> None:
        if self._upstream is not None:
            self._upstream.pause(is_full)

    def upstream_full(self, is_full: bool) -> None:
        self._client.pause(is_full)

    def time_out(self) -> None:
        self._access.upstream_error = "response timeout"
        self._drop_upstream()
        if self._has_answer_begun:
            self._client.abort()
        else:
            self._fail(504)

    # towards the replica

    def _next_candidate(self) -> None:
        candidate = next(self._candidates, None)
        if candidate is None:
            self._fail(502)
        else:
            self._try(candidate)

    def _try(self, candidate: Candidate) -> None:
        self._access.tried = candidate
        connection = self._shared.pool.take(candidate.upstream)
        if connection is not None:
            self._send(connection)
        else:
            self._connecting = self._shared.loop.create_task(self._connect(candidate))

    async def _connect(self, candidate: Candidate) -> None:
        try:
            connection = await self._shared.pool.connect(candidate.upstream)
        except (OSError, TimeoutError) as exc:
            self._access.upstream_error = "connection timeout" if isinstance(exc, TimeoutError) else "connection failure"
            self._connecting = None
            self._next_candidate()
            return
        self._connecting = None
        self._send(connection)

    def _send(self, connection: UpstreamConnection) -> None:
        self._upstream = connection
        connection.receiver = self
        client = self._client
        head = forwarding.request_bytes(
            self._lines, client.from_peer, self._access.request_id, int(self._access.began_at_s * 1000)
        )
        connection.write(head if self._early is None else head + self._early)
        if self._is_request_complete:
            return
        self._early = None
        if self._head.is_expecting and not self._body_bytes:
            client.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        client.pause(False)

    def _send_body(self, out: bytes) -> None:
        if self._upstream is not None:
            self._upstream.write(out)
            return
        if self._early is None:
            self._early = bytearray()
        self._early += out
        if self._body_bytes > EARLY_BYTES_MAX:
            self._client.pause(True)

    # from the replica

    def upstream_data(self, data: bytes) -> None:
        if self._is_tunnel:
            self._write(data)
        elif self._response_body is not None:
            self._pass_on(b"", data)
        else:
            self._read_head(self._response_buffer + data if self._response_buffer else data)

    def _read_head(self, buffer: bytes) -> None:
        begins = 0  # interim answers end here: we gave our own 100 already (RFC 9110 section 15.2)
        while (end := buffer.find(b"\r\n\r\n", begins) + 4) >= 4:
            try:
                head, lines = read_response(buffer[begins:end], self._head.method, self._head.is_http11)
            except HeadError:
                self._broken()
                return
            if head.status >= 200:
                self._response_buffer = b""
                self._begin_answer(head, lines, buffer[end:])
                return
            if head.status == 101:
                self._response_buffer = b""
                if self._head.upgrade is None:
                    self._broken()  # nobody asked for it
                else:
                    self._become_tunnel(lines, buffer[end:])
                return
            begins = end
        self._response_buffer = buffer[begins:]
        if len(self._response_buffer) > HEAD_BYTES_MAX:
            self._broken()

    def _begin_answer(self, head: ResponseHead, lines: bytes, rest: bytes) -> None:
        self._access.answered_s = time.perf_counter() - self._began_s
        self._has_answer_begun = True
        self._access.status = head.status
        body_bytes, is_http11 = head.body_bytes, self._head.is_http11
        is_endless = body_bytes is None and not is_http11
        is_closing = is_endless or not self._is_request_complete or self._client.is_last(self._head)
        self._client.is_closing_after = is_closing
        if self._upstream is not None:
            self._upstream.is_keepable = head.is_keep_alive
        more = b"" if is_http11 and not is_closing and not self._head.is_debugging else self._more_lines(is_closing)
        out = forwarding.response_bytes(lines, self._shared.edge_name, self._access.request_id, more)
        if body_bytes == len(rest):  # all of it is here: most answers
            self._write(out + rest)
            self._complete(is_clean=True)
        elif body_bytes == 0:
            self._write(out)
            self._complete(is_clean=False)
        else:
            if body_bytes is not None:
                self._response_body = LengthBody(body_bytes)
            else:
                self._response_body = ChunkedBody(is_http11) if head.is_chunked else UntilCloseBody(is_http11)
            self._pass_on(out, rest)

    def _more_lines(self, is_closing: bool) -> bytes:
        more = forwarding.CLOSING if is_closing else b"" if self._head.is_http11 else forwarding.STAYING
        if self._head.is_debugging and self._access.tried is not None:
            more += b"\r\nx-railway-upstream-zone: railway/" + self._access.tried.region.encode("ascii")
        return more

    def _pass_on(self, head: bytes, data: bytes) -> None:
        assert self._response_body is not None
        try:
            out, rest = self._response_body.feed(data) if data else (b"", None)
        except BodyError:
            self._access.upstream_error = "protocol error"
            self._drop_upstream()
            self._client.abort()
            return
        if head or out:
            self._write(head + out)
        if rest is not None:
            self._complete(is_clean=not rest)

    def _write(self, data: bytes) -> None:
        self._access.sent_bytes += len(data)
        self._client.write(data)

    def upstream_lost(self, exc: Exception | None) -> None:
        connection, self._upstream = self._upstream, None
        if self._is_tunnel:
            self._client.close()
        elif isinstance(self._response_body, UntilCloseBody) and exc is None:
            self._write(self._response_body.end())
            self._complete(is_clean=False)
        elif self._has_answer_begun:
            self._access.upstream_error = "connection termination"
            self._client.abort()  # a cut answer must not look like a whole one
        elif self._may_retry(connection):
            self._response_buffer = b""
            assert self._access.tried is not None
            self._try(self._access.tried)  # its process may well be fine: only this connection was old
        else:
            self._access.upstream_error = "connection termination"
            self._fail(502)

    def _may_retry(self, connection: UpstreamConnection | None) -> bool:
        has_body = bool(self._head.body_bytes or self._head.is_chunked)
        is_silent = not self._response_buffer
        return connection is not None and connection.is_reused and is_silent and not has_body and self._head.method in IDEMPOTENT

    # ends

    def _become_tunnel(self, lines: bytes, rest: bytes) -> None:
        out = forwarding.response_bytes(lines, self._shared.edge_name, self._access.request_id)
        self._is_tunnel = self._has_answer_begun = True
        self._access.status = 101
        self.deadline = float("inf")
        self._write(out + rest)
        self._client.pause(False)
        early = self._client.take_kept()
        if early and self._upstream is not None:
            self._upstream.write(early)

    def _broken(self) -> None:
        self._access.upstream_error = "protocol error"
        self._drop_upstream()
        self._fail(502)

    def _complete(self, is_clean: bool) -> None:
        connection, self._upstream = self._upstream, None
        if connection is not None:
            if is_clean and self._is_request_complete and connection.is_keepable and connection.upstream in self._shared.known:
                self._shared.pool.give_back(connection)
            else:
                connection.abort()
        self._log()
        self._client.exchange_ended()

    def _fail(self, status: int, message: str | None = None) -> None:
        """The edge's own answer; a request whose body is still coming ends its connection."""
        self._drop_upstream()
        if self._has_answer_begun:
            self._client.abort()
            return
        self._access.status = status
        self._has_answer_begun = True
        is_closing = self._client.is_last(self._head) or not self._is_request_complete or status in (400, 413)
        self._client.is_closing_after = is_closing
        self._write(
            forwarding.error_bytes(
                status,
                self._shared.edge_name,
                self._access.request_id,
                message,
                is_closing=is_closing,
                is_head=self._head.method == b"HEAD",
            )
        )
        self._log()
        self._client.exchange_ended()

    def _drop_upstream(self) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None
        connection, self._upstream = self._upstream, None
        if connection is not None:
            connection.abort()

    def _log(self) -> None:
        access = self._access
        access.took_s = time.perf_counter() - self._began_s
        access.received_bytes = self._head.head_bytes + self._body_bytes
        self._shared.access_log.add(access)
