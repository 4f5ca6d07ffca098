"""Requests handed on to Supabase Auth as they are: which headers go which way, and a client that streams both ways.

A proxy's headers are its own: what a caller says of where it comes from is taken out and said anew, and what concerns one
connection only (RFC 9110 section 7.6.1) stays on that connection. Headers named by the caller's `Connection` go before ours are
added, so nobody can have ours removed (CVE-2025-48865).
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from contextlib import asynccontextmanager

import httpx

from service.breaker import Breaker
from service.errors import Unavailable
from service.metrics.counters import Counters
from service.tracing.tracer import asking
from service.upstream.tls import context_for

UNDER_WAY_MAX = 128
TIMEOUT = httpx.Timeout(15.0, connect=2.0, pool=1.0)
FAILURES_MAX = 5
PAUSE_S = 1.0

Headers = list[tuple[bytes, bytes]]

_HOP_BY_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te", b"trailer"}
    | {b"transfer-encoding", b"upgrade"}
)
_SAID_ANEW = frozenset({b"host", b"expect", b"forwarded", b"x-real-ip", b"sb-forwarded-for", b"x-client-ip"})


def request_headers(headers: Iterable[tuple[bytes, bytes]], client_address: str) -> Headers:
    """What goes to the issuer: the caller's headers without the hop's and the proxy's own, and the caller's address."""
    passed = [
        (name, value)
        for name, value in end_to_end(headers)
        # X-Auth-* is how we say who somebody is; nobody else says it through us.
        # An underscore reads as a dash to many servers: X_Forwarded_For would be a second way to say it (CVE-2025-64484).
        if name not in _SAID_ANEW and not name.startswith((b"x-forwarded-", b"x-auth-")) and b"_" not in name
    ]
    address = client_address.encode()
    return [*passed, (b"x-forwarded-for", address), (b"sb-forwarded-for", address)] if address else passed


def end_to_end(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Without what concerns one connection only. Names in lower case."""
    lowered = [(name.lower(), value) for name, value in headers]
    named = {part.strip().lower() for name, value in lowered if name == b"connection" for part in value.split(b",")}
    return [(name, value) for name, value in lowered if name not in _HOP_BY_HOP and name not in named]


def answer_headers(response: httpx.Response) -> Headers:
    """What goes back to the caller. `date` is left out: our own server says it."""
    return [(name, value) for name, value in end_to_end(response.headers.raw) if name != b"date"]


class PassThrough:
    """Create inside the running loop; `close` ends the connections."""

    def __init__(self, project_url: str, counters: Counters) -> None:
        self._base = httpx.URL(project_url)
        self._counters = counters
        self._under_way = 0
        # Only connections that cannot be made count: what comes after, a caller can bring about with a request made for it.
        self.breaker = Breaker(FAILURES_MAX, PAUSE_S, time.monotonic)
        self._client = httpx.AsyncClient(
            limits=httpx.Limits(max_connections=UNDER_WAY_MAX, max_keepalive_connections=UNDER_WAY_MAX, keepalive_expiry=30.0),
            timeout=TIMEOUT,
            follow_redirects=False,
            trust_env=False,
            verify=context_for(project_url),
        )

    @asynccontextmanager
    async def opened(
        self, method: str, target: bytes, headers: Headers, body: AsyncIterable[bytes] | bytes | None = None
    ) -> AsyncIterator[httpx.Response]:
        """The answer with its body still to come (`aiter_raw`). `target`: path and query as they were sent. Unavailable.

        Never retried: nobody knows what a request that was not answered has done.
        """
        if self._under_way >= UNDER_WAY_MAX:
            self._counters.sheds += 1
            raise Unavailable("upstream", "too many requests to the issuer are under way")
        if self.breaker.is_open:
            raise Unavailable("upstream", "the issuer has not answered for a while")
        self._under_way += 1
        try:
            # A Request of its own, not the client's: that would add headers of its own (accept, user-agent).
            url = self._base.copy_with(raw_path=target)
            request = httpx.Request(method, url, headers=headers, content=body, extensions={"timeout": TIMEOUT.as_dict()})
            try:
                with asking("issuer pass-through") as span:
                    if span is not None:
                        request.headers["traceparent"] = span.context.header.decode()
                    response = await self._client.send(request, stream=True)
                    if span is not None:
                        span.attributes["http.response.status_code"] = response.status_code
            except httpx.HTTPError as exc:
                if isinstance(exc, httpx.ConnectError | httpx.ConnectTimeout):
                    self.breaker.failed()
                self._counters.upstream_failures += 1
                raise Unavailable("upstream", "the issuer does not answer") from exc
            self.breaker.succeeded()
            try:
                yield response
            finally:
                await response.aclose()
        finally:
            self._under_way -= 1

    async def close(self) -> None:
        await self._client.aclose()
