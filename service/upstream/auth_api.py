"""Supabase Auth (GoTrue) as this service uses it: a pooled client, a deadline and a bound on every operation.

What GoTrue answers is passed on as it is; only a fault on the way becomes Unavailable. Nothing is retried here: a second
POST /token with the same refresh token can end the whole session family.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec
import structlog

from service.breaker import Breaker
from service.errors import TokenRejected, Unavailable
from service.metrics.counters import Counters
from service.tokens.identity import IssuerUser
from service.tokens.jwks import FetchFailed
from service.tracing.tracer import asking
from service.upstream.exchanges import ExchangeFailed, Received, Server

API_VERSION = "2024-01-01"  # from this version on, errors are {code, message}
USER_TIMEOUT_S = 0.8
GRANT_TIMEOUT_S = 10.0
JWKS_TIMEOUT_S = 3.0
JWKS_BYTES_MAX = 65_536
# Opaque tokens have a lane of their own: anybody can make one up, and each costs a question. So have checks that a caller wants
# strict: they share no flight, so one token alone could take the place of everybody else's.
UNDER_WAY_MAX = {"user": 128, "strict": 32, "opaque": 16, "grant": 64}
FAILURES_MAX = 5
PAUSE_S = 1.0
PASSED_HEADERS = ("content-type", "x-sb-error-code", "x-supabase-api-version", "retry-after")
# Answers that speak about the token or its user. Any other 401 or 403 (say, a wrong API key) is our own fault.
DEFINITE_CODES = frozenset(
    {"bad_jwt", "session_not_found", "session_expired", "user_not_found", "user_banned", "no_authorization"}
)

GrantKind = Literal["password", "refresh_token"]

log = structlog.get_logger("service.upstream")


@dataclass(frozen=True, slots=True)
class UpstreamAnswer:
    """What GoTrue said: status, the headers worth passing on, body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _UserId(msgspec.Struct):
    id: str


class _ErrorBody(msgspec.Struct):
    code: str | int = ""
    error_code: str = ""
    message: str = ""
    msg: str = ""


class AuthApi:
    """Create inside the running loop; `close` ends the connections. `anon_key` identifies the project, it is no secret.

    grant_key: sent instead of it with what opens or renews a session. Hosted Supabase believes Sb-Forwarded-For only beside a
    secret key; everything else keeps to the key that can do nothing.
    """

    def __init__(self, auth_url: str, jwks_url: str, anon_key: str, counters: Counters, grant_key: str = "") -> None:
        self._path = urlsplit(auth_url).path
        self._server = Server(auth_url)
        self._key_server = Server(jwks_url)  # which may be another
        self._headers = {
            "apikey": anon_key,
            "x-supabase-api-version": API_VERSION,
            "user-agent": "cached-auth",
            "accept": "*/*",
            "accept-encoding": "identity",
        }
        self._grant_key = {"apikey": grant_key} if grant_key else {}
        self._jwks_url = jwks_url
        self._counters = counters
        self._under_way = dict.fromkeys(UNDER_WAY_MAX, 0)
        # One for each lane: log-ins that take too long say nothing about checks.
        self.breakers = {lane: Breaker(FAILURES_MAX, PAUSE_S, time.monotonic) for lane in UNDER_WAY_MAX}

    async def user(self, token: bytes) -> IssuerUser:
        """GET /user: the session lives, and this is its user. TokenRejected if definitely not; Unavailable if it cannot tell."""
        return await self._ask_user(token, "user")

    async def strict_user(self, token: bytes) -> IssuerUser:
        """The same where a caller asked for more than the setting does."""
        return await self._ask_user(token, "strict")

    async def opaque_user(self, token: bytes) -> IssuerUser:
        """The same for a token that we could not check ourselves."""
        return await self._ask_user(token, "opaque")

    async def _ask_user(self, token: bytes, lane: str) -> IssuerUser:
        headers = {"authorization": f"Bearer {token.decode('ascii')}"}
        answer = await self._send(lane, lane, "GET", "/user", headers, None, USER_TIMEOUT_S)
        if answer.status == 200:
            try:
                return IssuerUser(msgspec.json.decode(answer.body, type=_UserId).id, answer.body)
            except (msgspec.DecodeError, UnicodeDecodeError) as exc:
                raise Unavailable("upstream", "the issuer's answer is not a user") from exc
        code, message = error_of(answer)
        if answer.status in (401, 403, 404) and code in DEFINITE_CODES:
            raise TokenRejected(code, message or "the issuer refuses the token")
        self._counters.upstream_failures += 1
        log.warning("upstream_refused", operation="user", status=answer.status, code=code)
        raise Unavailable("upstream", "the issuer does not answer for the session")

    async def grant(self, kind: GrantKind, body: dict[str, Any], client_address: str) -> UpstreamAnswer:
        """POST /token. Never retried. Unavailable."""
        path = f"/token?grant_type={kind}"
        headers = {**self._grant_key, **_forwarded(client_address)}
        return await self._send(kind, "grant", "POST", path, headers, body, GRANT_TIMEOUT_S)

    async def sign_up(self, body: dict[str, Any], client_address: str) -> UpstreamAnswer:
        """POST /signup. Unavailable."""
        headers = {**self._grant_key, **_forwarded(client_address)}
        return await self._send("signup", "grant", "POST", "/signup", headers, body, GRANT_TIMEOUT_S)

    async def log_out(self, token: bytes, scope: str) -> UpstreamAnswer:
        """POST /logout. Unavailable."""
        headers = {"authorization": f"Bearer {token.decode('ascii')}"}
        return await self._send("logout", "grant", "POST", f"/logout?scope={scope}", headers, None, GRANT_TIMEOUT_S)

    async def key_document(self) -> bytes:
        """The JWKS document. FetchFailed."""
        parts = urlsplit(self._jwks_url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            async with asyncio.timeout(JWKS_TIMEOUT_S):
                received = await self._key_server.exchange("GET", target, self._headers)
        except (ExchangeFailed, TimeoutError) as exc:
            raise FetchFailed(type(exc).__name__) from exc
        if received.status != 200 or len(received.body) > JWKS_BYTES_MAX:
            raise FetchFailed(f"status {received.status}, {len(received.body)} bytes")
        return received.body

    async def close(self) -> None:
        await self._server.close()
        await self._key_server.close()

    async def _send(
        self,
        operation: str,
        lane: str,
        method: str,
        path: str,
        headers: dict[str, str],
        body: dict[str, Any] | None,
        timeout_s: float,
    ) -> UpstreamAnswer:
        if self._under_way[lane] >= UNDER_WAY_MAX[lane]:
            self._counters.sheds += 1
            raise Unavailable("upstream", "too many requests to the issuer are under way")
        breaker = self.breakers[lane]
        if breaker.is_open:
            raise Unavailable("upstream", "the issuer has not answered for a while")
        self._under_way[lane] += 1
        began = time.monotonic()
        try:
            with asking(f"issuer {operation}") as span:
                if span is not None:
                    headers = {**headers, "traceparent": span.context.header.decode()}
                async with asyncio.timeout(timeout_s):
                    received = await self._exchange(method, path, headers, body)
                if span is not None:
                    span.attributes["http.response.status_code"] = received.status
        except (ExchangeFailed, TimeoutError) as exc:
            breaker.failed()
            self._counters.upstream_failures += 1
            raise Unavailable("upstream", "the issuer does not answer") from exc
        finally:
            self._under_way[lane] -= 1
            self._counters.upstream(operation).observe(time.monotonic() - began)
        # A gateway with nobody behind it answers quickly. Not 500: that, a caller may find a request to bring about with.
        if received.status in (502, 503, 504):
            breaker.failed()
        else:
            breaker.succeeded()
        passed = {name: received.headers[name] for name in PASSED_HEADERS if name in received.headers}
        return UpstreamAnswer(received.status, passed, received.body)

    async def _exchange(self, method: str, path: str, headers: dict[str, str], body: dict[str, Any] | None) -> Received:
        everything = {**self._headers, **headers}
        if body is None:
            return await self._server.exchange(method, self._path + path, everything)
        everything["content-type"] = "application/json"
        return await self._server.exchange(method, self._path + path, everything, msgspec.json.encode(body))


def error_of(answer: UpstreamAnswer) -> tuple[str, str]:
    """(code, message) of an error answer, in either of GoTrue's two shapes; empty where it has neither."""
    try:
        body = msgspec.json.decode(answer.body, type=_ErrorBody)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return answer.headers.get("x-sb-error-code", ""), ""
    code = answer.headers.get("x-sb-error-code") or body.error_code or (body.code if isinstance(body.code, str) else "")
    return code, body.message or body.msg


def _forwarded(client_address: str) -> dict[str, str]:
    """GoTrue limits /token per client address, so it must see the client's, not ours.

    X-Forwarded-For is for a GoTrue of one's own. Hosted Supabase overwrites that and reads Sb-Forwarded-For, where the project
    has security_sb_forwarded_for_enabled and the request a secret API key.
    """
    return {"x-forwarded-for": client_address, "sb-forwarded-for": client_address} if client_address else {}
