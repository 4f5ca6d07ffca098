"""The raw ASGI front: answers the hot path itself, hands the rest to FastAPI, and dresses every answer.

Theory of operation
-------------------
A framework costs ten times what a look-up in L1 does, so GET /verify, GET /me, GET /health/live and CORS preflights never
reach it. What the protocol can answer without a single await does not even come here (`at_once`, web/shortcut.py).
Every answer, from either side, leaves with X-Process-Time, security headers and CORS headers, and is counted by route.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import nullcontext
from functools import partial
from time import perf_counter, time
from typing import Any
from urllib.parse import parse_qsl

import structlog

from service.cache.introspection import Verifier
from service.errors import TokenRejected, Unavailable
from service.metrics.counters import Counters
from service.tracing.tracer import Tracer, note_answer
from service.web.answers import (
    JSON_TYPE,
    NO_STORE,
    SECURITY_HEADERS,
    Answer,
    Headers,
    error_answer,
    fault_answer,
    rejection_answer,
)
from service.web.auth_endpoints import TIER_HEADERS, AuthEndpoints, verify_headers
from service.web.bearer import bearer_token
from service.web.compression import Compression
from service.web.cors import Cors
from service.web.drop_in import OTHER_ROUTE
from service.web.drop_in import PREFIX as DROP_IN_PREFIX
from service.web.drop_in import ROUTES as DROP_IN_ROUTES
from service.web.limited_drop_in import LimitedDropIn
from service.web.shortcut import VERIFY, AtOnce

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

PREFIX = "/api/v1/auth"
ME, LIVE = f"{PREFIX}/me", "/health/live"
ROUTES = frozenset(
    {VERIFY, ME, LIVE, "/health/ready", "/metrics", "/performance-metrics", "/docs", "/openapi.json"}
    | {f"{PREFIX}/{name}" for name in ("register", "login", "refresh", "logout", "revoke")}
)
# Bodies of our own endpoints: the longest is a refresh token. UNDER_WAY_MAX of them may be in memory at a time.
BODY_BYTES_MAX = 65_536
DROP_IN_BODY_BYTES_MAX = 2 * 1_048_576  # never met: GoTrue's own bound, which the drop-in holds to, is half of that
BODY_TIMEOUT_S = 30.0
SLOW_S = 1.0
# What is answered without L1 waits for others; more of it at a time than this is refused before it costs anything. A thousand
# callers who miss with one token share one flight, so the bound is far above what any single part takes on.
UNDER_WAY_MAX = 2048
# A check of a token that takes longer is of no use to whoever waits for it: 10 ms for L2, 800 for the issuer, the rest for us.
CHECK_BUDGET_S = 1.0
# How the platform and the operator see that we are busy must not depend on our not being busy.
ALWAYS_ANSWERED = frozenset({"/health/live", "/health/ready", "/metrics"})

_LIVE_BODY = b'{"status":"live"}'
_LIVE_ANSWER = Answer(200, [JSON_TYPE, (b"content-length", b"%d" % len(_LIVE_BODY)), NO_STORE], _LIVE_BODY)

log = structlog.get_logger("service.web")


class Front:
    """The ASGI application that uvicorn runs. `framework` gets everything that is not on the hot path.

    at_once: what the protocol may answer by itself.
    """

    def __init__(
        self,
        *,
        framework: Application,
        drop_in: LimitedDropIn,
        endpoints: AuthEndpoints,
        verifier: Verifier,
        cors: Cors,
        compression: Compression,
        counters: Counters,
        at_once: AtOnce | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self.at_once = at_once
        self._tracer = tracer
        self._framework = framework
        self._drop_in = drop_in
        self._endpoints = endpoints
        self._cached = verifier.cached
        self._cors = cors
        self._compression = compression
        self._counters = counters
        self._recent = counters.recent_s
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"{scope['type']} is not served here")
        began = perf_counter()
        method, path = scope["method"], scope["path"]
        if self._under_way >= UNDER_WAY_MAX and path not in ALWAYS_ANSWERED:
            await self._shed_miss(scope, send, method, path, began)
            return
        self._under_way += 1
        try:
            with nullcontext() if self._tracer is None else self._tracer.request(scope["headers"], method):
                if path.startswith(DROP_IN_PREFIX):
                    await self._stand_in(scope, receive, send, path, began)
                else:
                    await self._answer(scope, receive, send, method, path, _origin(scope), began)
        finally:
            self._under_way -= 1

    async def _shed_miss(self, scope: Scope, send: Send, method: str, path: str, began: float) -> None:
        """Refuses all but hits, which go on being answered, also those that took the long way."""
        is_check = method == "GET" and path == VERIFY and not scope["query_string"]
        answer = await self._guarded(self._verify_from_memory, scope) if is_check else _too_many(self._counters)
        await self._send(send, answer, self._cors.headers_for(_origin(scope)), began, _route_of(path))

    async def _verify_from_memory(self, headers: Headers) -> Answer:
        entry = self._cached(bearer_token(headers))
        return _too_many(self._counters) if entry is None else Answer(200, [*verify_headers(entry.identity), TIER_HEADERS["l1"]])

    async def _answer(
        self, scope: Scope, receive: Receive, send: Send, method: str, path: str, origin: bytes | None, began: float
    ) -> None:
        if method == "OPTIONS":
            await self._send(send, self._cors.preflight(origin), [], began, "preflight")
        elif method == "GET" and path in (VERIFY, ME):
            endpoint = self._endpoints.verify if path == VERIFY else self._endpoints.me
            answer = await self._guarded(partial(endpoint, is_strict=asks_strictly(scope["query_string"])), scope)
            if path == ME:  # its body alone can be worth it
                accepted = [value for name, value in scope["headers"] if name == b"accept-encoding"]
                answer = self._compression.applied(answer, accepted)
            await self._send(send, answer, self._cors.headers_for(origin), began, path)
        elif method == "GET" and path == LIVE:
            await self._send(send, _LIVE_ANSWER, self._cors.headers_for(origin), began, path)
        else:
            await self._pass_on(scope, receive, send, origin, began)

    async def _stand_in(self, scope: Scope, receive: Receive, send: Send, path: str, began: float) -> None:
        """The issuer's own surface. Its answers leave as the issuer dressed them, CORS included, and nothing is added."""
        route = _route_of(path)
        has_begun = False

        async def noting(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            # The drop-in bounds bodies itself, with the issuer's own refusal; here they get their deadline.
            status = await self._drop_in(scope, _bounded(receive, DROP_IN_BODY_BYTES_MAX), noting)
        except Exception:
            log.exception("unexpected_error", path=route)
            if not has_begun:
                await self._send(send, _own_fault(), [], began, route)
            return
        self._finish(route, status, began)

    async def _guarded(self, endpoint: Callable[[Any], Awaitable[Answer]], scope: Scope) -> Answer:
        try:
            async with asyncio.timeout(CHECK_BUDGET_S):
                return await endpoint(scope["headers"])
        except TimeoutError:
            return fault_answer(Unavailable("front", "the check took too long"))
        except TokenRejected as rejection:
            return rejection_answer(rejection)
        except Unavailable as fault:
            return fault_answer(fault)
        except Exception:
            log.exception("unexpected_error", path=scope["path"])
            return _own_fault()

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send, origin: bytes | None, began: float) -> None:
        path = scope["path"]
        route = _route_of(path)
        cors = self._cors.headers_for(origin)
        length = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if not length.isdigit() or int(length) > BODY_BYTES_MAX:
            await self._send(send, error_answer(413, "request_too_large", "the body is longer than 64 KB"), cors, began, route)
            return
        status = 0

        async def dressed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                extra = [*SECURITY_HEADERS, *cors, _process_time(perf_counter() - began)]
                message = {**message, "headers": [*message.get("headers", ()), *extra]}
            await send(message)

        try:
            await self._framework(scope, _bounded(receive), dressed)
        except Exception:
            log.exception("unexpected_error", path=route)
            if status == 0:
                await self._send(send, _own_fault(), cors, began, route)
                return
        self._finish(route, status, began)

    async def _send(self, send: Send, answer: Answer, cors: list[tuple[bytes, bytes]], began: float, route: str) -> None:
        headers = [*answer.headers, *SECURITY_HEADERS, *cors, _process_time(perf_counter() - began)]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})
        self._finish(route, answer.status, began)

    def _finish(self, route: str, status: int, began: float) -> None:
        elapsed = perf_counter() - began
        self._counters.route(route).count(status, elapsed)
        self._recent.append(elapsed)
        if self._tracer is not None:
            note_answer(route, status)
        if elapsed > SLOW_S:
            self._counters.slow_operations += 1
            self._counters.recent_slow.append((time(), route, status, elapsed))
            log.warning("slow_operation", route=route, status=status, duration_s=round(elapsed, 3))


def _too_many(counters: Counters) -> Answer:
    counters.sheds += 1
    return fault_answer(Unavailable("front", "too many requests are under way"))


def asks_strictly(query: bytes) -> bool:
    """`?policy=strict`, however it is spelt and however else the query goes on: whoever asks for more care gets it, and
    whoever asks for something that we do not know gets no less."""
    asked = parse_qsl(query.decode("latin-1"), keep_blank_values=True) if query else ()
    return any(name == "policy" and value != "cached" for name, value in asked)


def _origin(scope: Scope) -> bytes | None:
    return next((value for name, value in scope["headers"] if name == b"origin"), None)


def _route_of(path: str) -> str:
    """A name out of our own tables: a label taken from requests would grow without bound."""
    if path.startswith(DROP_IN_PREFIX):
        return path if path in DROP_IN_ROUTES else OTHER_ROUTE
    return path if path in ROUTES else "other"


def _process_time(elapsed_s: float) -> tuple[bytes, bytes]:
    return (b"x-process-time", b"%.6f" % elapsed_s)


def _own_fault() -> Answer:
    return fault_answer(Unavailable("service", "something went wrong on our side"))


def _bounded(receive: Receive, bytes_max: int = BODY_BYTES_MAX) -> Receive:
    """`receive` that ends a body longer than it may be, however it is framed, and one that takes longer than BODY_TIMEOUT_S."""
    received, is_whole = 0, False
    deadline = asyncio.get_running_loop().time() + BODY_TIMEOUT_S

    async def bounded() -> Message:
        nonlocal received, is_whole
        if is_whole:
            return await receive()  # what is awaited now is the caller's hanging up
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError:
            return {"type": "http.disconnect"}
        received += len(message.get("body", b""))
        is_whole = not message.get("more_body", False)
        return {"type": "http.disconnect"} if received > bytes_max else message

    return bounded
