"""/auth/v1/*: Supabase Auth's own surface, so that a client needs nothing but another URL.

Theory of operation
-------------------
Everything is handed on as it came and answered as it was answered, unbuffered, with three exceptions.

GET /user is answered from memory under the laws of cache/authenticator.py. The issuer varies its answer by X-JWT-AUD,
X-Supabase-Api-Version, the API key and the origin, so all four are in the name of what is kept beside the token; a request that
says one of them twice, or anything unusual, is handed on. We refuse nobody here on our own account: a token that we do not
understand gets the issuer's own refusal. One thing only is stronger than the issuer's yes: the revocation set.

Four public documents are kept for a while, and served stale for longer where the issuer does not answer.

POST /logout is recorded in the revocation log before its answer is given. A session that is handed out is remembered once its
answer has gone (web/sign_ins.py).

A fault of ours or on the way is 503 with Retry-After in GoTrue's error shape.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import httpx
import msgspec
import structlog
from cachebox import LRUCache

from service.cache.authenticator import Authenticator
from service.cache.bounded import BoundedCache
from service.cache.entries import USER_BYTES_MAX, Entry
from service.cache.flights import Flights
from service.clocks import Clock
from service.errors import TokenRejected, Unavailable
from service.limits.users import UserRates
from service.metrics.counters import Counters
from service.policies import RoutePolicy
from service.revocation.log import Scope as LogoutScope
from service.tokens.identity import Identity, IssuerUser
from service.upstream.pass_through import PassThrough, answer_headers, request_headers
from service.web.answers import JSON_TYPE, Answer, rendered
from service.web.auth_endpoints import AuthEndpoints
from service.web.bearer import bearer_token
from service.web.callers import address_of
from service.web.sign_ins import BODY_BYTES_MAX as SIGN_IN_BYTES_MAX
from service.web.sign_ins import PATHS as SIGN_IN_PATHS
from service.web.sign_ins import SignIns

PREFIX = "/auth/v1/"
USER, LOGOUT = f"{PREFIX}user", f"{PREFIX}logout"
# Seconds that a document is kept, and how much longer it may be served where the issuer does not answer.
DOCUMENTS = {
    f"{PREFIX}.well-known/jwks.json": (60.0, 3600.0),
    f"{PREFIX}.well-known/openid-configuration": (300.0, 3600.0),
    f"{PREFIX}settings": (30.0, 300.0),
    f"{PREFIX}health": (1.0, 0.0),
}
ROUTES = frozenset({USER, LOGOUT, f"{PREFIX}token", f"{PREFIX}signup", *DOCUMENTS})
OTHER_ROUTE = f"{PREFIX}*"
BODY_BYTES_MAX = 1_048_576  # GoTrue's own bound
WHOLE_BYTES_MAX = 1_048_576
DOCUMENTS_MAX = 256
VARIANTS_MAX = 4
FLIGHTS_MAX = 256
FLIGHT_DEADLINE_S = 1.0
VERSION_2024 = b"2024-01-01"
LOGOUT_SCOPES: dict[str, LogoutScope] = {"global": "global", "local": "local", "others": "others"}

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Variant = tuple[bytes | None, ...]

# What an answer to GET /user or a document may depend on, besides the token.
VARIES_BY = (b"apikey", b"x-jwt-aud", b"x-supabase-api-version", b"origin")
_FRAMING = (b"content-length", b"transfer-encoding")
# What would make the answer one for this caller alone: a part, or "you have it already" (RFC 9110 sections 13 and 14).
_PARTIAL = (b"range", b"if-range", b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since")

log = structlog.get_logger("service.drop_in")


class _UserId(msgspec.Struct):
    id: str


class _Jwks(msgspec.Struct):
    keys: list[dict[str, Any]]


class _CallerGone(Exception):
    """The caller hung up while sending; there is nobody to answer."""


class _BodyTooLarge(Exception):
    """The caller's mistake."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came. `target`: path and query, undecoded."""

    method: str
    path: str
    query: bytes
    target: bytes
    headers: list[tuple[bytes, bytes]]
    client_address: str

    @property
    def is_plain(self) -> bool:
        """Nothing in the path that two servers could read in two ways, so that what we cache is what the issuer means."""
        path = self.target.partition(b"?")[0]
        parts = path[1:].split(b"/")
        return path == self.path.encode() and not {b"", b".", b".."}.intersection(parts)

    @property
    def has_body(self) -> bool:
        return any(name in _FRAMING for name, _ in self.headers)

    def variant(self) -> Variant | None:
        """The values that an answer may depend on; None where one is given twice."""
        found: dict[bytes, bytes] = {}
        for name, value in self.headers:
            if name in VARIES_BY:
                if name in found:
                    return None
                found[name] = value
        return tuple(found.get(name) for name in VARIES_BY)


class KeptUser(NamedTuple):
    """head_lines: the answer's, on the wire, blank one included; empty where the answer does not say how long its body is."""

    entry: Entry
    answer: Answer
    head_lines: bytes

    @property
    def size_bytes(self) -> int:
        return self.entry.size_bytes + self.answer.size_bytes + len(self.head_lines)


class DropIn:
    """An ASGI application for PREFIX that returns the status it sent."""

    def __init__(
        self,
        *,
        upstream: PassThrough,
        authenticator: Authenticator,
        endpoints: AuthEndpoints,
        sign_ins: SignIns,
        entries_max: int,
        bytes_max: int,
        policy: RoutePolicy,
        rates: UserRates,
        clock: Clock,
        counters: Counters,
    ) -> None:
        self._upstream = upstream
        self._authenticator = authenticator
        self._endpoints = endpoints
        self._sign_ins = sign_ins
        self._policy = policy
        self._rates = rates
        self._clock = clock
        self._counters = counters
        self._users: BoundedCache[bytes, dict[Variant, KeptUser]] = BoundedCache(entries_max, bytes_max, clock.wall)
        self._documents: LRUCache[tuple[str, Variant], tuple[float, Answer]] = LRUCache(DOCUMENTS_MAX)
        self._flights: Flights[Answer] = Flights(FLIGHTS_MAX, FLIGHT_DEADLINE_S)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> int:
        asked = _asked(scope)
        try:
            answer = await self._answer(asked, receive) or await self._refusal(asked)
            if answer is None:
                return await self._hand_on(asked, receive, send)
        except Unavailable as fault:
            retry_after = (b"retry-after", b"%d" % fault.retry_after_s)
            answer = error_answer(asked, 503, "temporarily_unavailable", fault.message, [retry_after])
        except _BodyTooLarge:
            answer = error_answer(asked, 413, "request_entity_too_large", "Request body too large (max 1048576 bytes)")
        except _CallerGone:  # or too slow: then there is somebody to read this
            answer = error_answer(asked, 408, "request_timeout", "the request's body did not come")
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
        await send({"type": "http.response.body", "body": answer.body})
        return answer.status

    def kept_user(self, token: bytes, variant: Variant) -> KeptUser | None:
        """What GET /user is answered with from memory at this moment; None says nothing about the token."""
        if self._policy.is_strict:
            return None
        kept = (self._users.get(self._authenticator.name(token)) or {}).get(variant)
        if kept is None or not self._authenticator.is_servable(kept.entry, must_hear=self._policy.must_hear):
            return None
        self._counters.l1_hits += 1
        return kept

    async def close(self) -> None:
        await self._sign_ins.close()
        await self._flights.close()

    async def _answer(self, asked: Asked, receive: Receive) -> Answer | None:
        """The answer that is not simply handed on; None for all that is."""
        if not asked.is_plain:
            return error_answer(asked, 404, "not_found", "there is no such path")
        if asked.method == "POST" and asked.path == LOGOUT:
            return await self._log_out(asked, receive)
        variant = asked.variant()
        if asked.method != "GET" or asked.query or asked.has_body or variant is None:
            return None
        if asked.path == USER:
            return await self._user(asked, variant)
        return await self._document(asked, variant) if asked.path in DOCUMENTS else None

    async def _user(self, asked: Asked, variant: Variant) -> Answer | None:
        try:
            token = bearer_token(asked.headers)
        except TokenRejected:
            return None
        kept = self.kept_user(token, variant)
        if kept is not None:
            return kept.answer
        try:
            identity = await self._authenticator.identify(token)
        except TokenRejected:
            return None  # the issuer knows best what is wrong with it
        except Unavailable:
            if self._policy.must_hear:  # it would say yes to what we alone know to be revoked
                raise
            return None
        self._rates.take(identity.user_id)
        self._counters.l1_misses += 1
        if self._policy.is_strict:  # a question that began earlier may have been answered before the session ended
            return await self._ask_user(asked, variant, token, identity)
        name = self._authenticator.name(token)
        return await self._flights.run((name, variant), lambda: self._ask_user(asked, variant, token, identity))

    async def _ask_user(self, asked: Asked, variant: Variant, token: bytes, identity: Identity) -> Answer:
        confirmed_at = self._clock.monotonic()
        answer = await self._whole(asked)
        if answer.status != 200:
            if _code_of(answer) in ("session_not_found", "user_not_found", "user_banned", "bad_jwt"):
                self._forget(token)
            return answer
        if self._authenticator.is_refused_widely(identity):
            return _revoked_token(asked)
        if self._authenticator.is_revoked(identity):
            return _ended_session(asked)
        if _user_id(answer.body) != identity.user_id:
            raise Unavailable("upstream", "the issuer answered for another user")
        entry = self._authenticator.remember(token, identity, IssuerUser(identity.user_id, answer.body), confirmed_at)
        if not self._authenticator.is_servable(entry, must_hear=self._policy.must_hear):
            if self._clock.wall() < entry.good_until:  # a revocation overtook the answer: a second one would know better
                raise Unavailable("revocation", "the session is being revoked")
            return answer  # good at this moment, and not to be remembered
        self._counters.issuer_confirmations += 1
        is_old = self._authenticator.was_forgotten(token, confirmed_at)  # somebody changed the user meanwhile
        if len(answer.body) <= USER_BYTES_MAX and not _sets_cookie(answer) and not is_old:
            name = self._authenticator.name(token)
            others = list((self._users.get(name) or {}).items())[-(VARIANTS_MAX - 1) :]
            variants = {**dict(others), variant: KeptUser(entry, answer, _head_lines(answer))}
            size_bytes = sum(kept.size_bytes for kept in variants.values())
            self._users.put(name, variants, size_bytes, entry.good_until)
        return answer

    async def _refusal(self, asked: Asked) -> Answer | None:
        """For what is to be handed on: the issuer would take a token that we alone know to be revoked, also for a new password.
        GET /user has the same rules, and the same rate, in whatever unusual way it is asked for. Unavailable."""
        is_user = asked.method == "GET" and asked.path == USER
        must_hear = is_user and self._policy.must_hear
        if asked.method == "OPTIONS" or not (is_user or self._authenticator.refuses_some_widely):
            return None
        try:
            identity = await self._authenticator.identify(bearer_token(asked.headers))
        except TokenRejected:
            return None
        except Unavailable:
            if must_hear:
                raise
            return None
        if self._authenticator.is_refused_widely(identity):
            return _revoked_token(asked)
        if not is_user:
            return None
        if self._authenticator.is_revoked(identity):
            return _ended_session(asked)
        if must_hear and self._authenticator.is_deaf:
            raise Unavailable("revocation", "whether the session lives cannot be told at the moment")
        self._rates.take(identity.user_id)
        return None

    async def _document(self, asked: Asked, variant: Variant) -> Answer:
        kept_s, stale_s = DOCUMENTS[asked.path]
        key = (asked.path, variant)
        kept = self._documents.get(key)
        age_s = self._clock.monotonic() - kept[0] if kept else 0.0
        if kept and age_s < kept_s:
            return kept[1]
        try:
            return await self._flights.run(key, lambda: self._ask_document(asked, key))
        except Unavailable:
            if kept and age_s < kept_s + stale_s:
                return kept[1]
            raise

    async def _ask_document(self, asked: Asked, key: tuple[str, Variant]) -> Answer:
        asked_at = self._clock.monotonic()
        answer = await self._whole(asked)
        if answer.status >= 500:
            raise Unavailable("upstream", "the issuer does not answer")
        if answer.status == 200 and asked.path.endswith("/jwks.json") and _holds_secrets(answer.body):
            log.error("jwks_holds_symmetric_keys")
            raise Unavailable("upstream", "the issuer published a key that is none to publish")
        if answer.status == 200 and not _sets_cookie(answer):
            self._documents[key] = (asked_at, answer)
        return answer

    async def _log_out(self, asked: Asked, receive: Receive) -> Answer | None:
        scopes = parse_qs(asked.query.decode("latin-1")).get("scope", ["global"])
        if len(scopes) > 1:  # Go takes the first, others the last: we could record what did not happen
            return error_answer(asked, 400, "validation_failed", "scope is given more than once")
        try:
            token = bearer_token(asked.headers)
            identity = await self._authenticator.identify(token)
        except TokenRejected:
            return None
        scope = LOGOUT_SCOPES.get(scopes[0])
        if scope is None:
            return None
        answer = await self._whole(asked, b"".join([chunk async for chunk in _body(asked, receive)]))
        self._users.pop(self._authenticator.name(token))
        await self._endpoints.note_log_out(token, identity, scope, answer.status, _code_of(answer))
        return answer

    async def _whole(self, asked: Asked, body: bytes | None = None) -> Answer:
        """The issuer's answer, read to its end. Asked for uncompressed: it may be given to others."""
        headers = request_headers(asked.headers, asked.client_address)
        headers = [(name, value) for name, value in headers if name not in (b"accept-encoding", *_FRAMING, *_PARTIAL)]
        headers = [*headers, (b"accept-encoding", b"identity")]
        async with self._upstream.opened(asked.method, asked.target, headers, body) as response:
            parts: list[bytes] = []
            try:
                async for part in response.aiter_raw():
                    parts.append(part)
                    if sum(map(len, parts)) > WHOLE_BYTES_MAX:
                        raise Unavailable("upstream", "the issuer's answer is too long")
            except httpx.HTTPError as exc:
                raise Unavailable("upstream", "the issuer's answer broke off") from exc
            return Answer(response.status_code, answer_headers(response), b"".join(parts))

    async def _hand_on(self, asked: Asked, receive: Receive, send: Send) -> int:
        headers = request_headers(asked.headers, asked.client_address)
        is_sign_in = asked.method == "POST" and asked.path in SIGN_IN_PATHS
        if is_sign_in:  # we read along, so the answer must not be compressed
            headers = [
                *((name, value) for name, value in headers if name != b"accept-encoding"),
                (b"accept-encoding", b"identity"),
            ]
        read_along: list[bytes] = []
        asked_at = self._clock.monotonic()
        body = _body(asked, receive) if asked.has_body else None
        async with self._upstream.opened(asked.method, asked.target, headers, body) as response:
            if asked.method not in ("GET", "HEAD", "OPTIONS") and response.status_code < 300:
                self._forget_of(asked)
            start = {"type": "http.response.start", "status": response.status_code, "headers": answer_headers(response)}
            await send(start)
            try:
                async for part in response.aiter_raw():
                    await send({"type": "http.response.body", "body": part, "more_body": True})
                    if is_sign_in and sum(map(len, read_along)) <= SIGN_IN_BYTES_MAX:
                        read_along.append(part)
            except httpx.HTTPError:
                self._counters.upstream_failures += 1
                log.warning("answer_broke_off")
                return response.status_code  # the server closes the connection of an answer without an end
            await send({"type": "http.response.body", "body": b""})
        if is_sign_in:
            self._sign_ins.note_soon(response.status_code, b"".join(read_along), asked.query, asked_at)
        return response.status_code

    def _forget_of(self, asked: Asked) -> None:
        """What somebody changed about a user is not shown as it was before."""
        try:
            self._forget(bearer_token(asked.headers))
        except TokenRejected:
            return

    def _forget(self, token: bytes) -> None:
        self._users.pop(self._authenticator.name(token))
        self._authenticator.forget(token)


def error_answer(asked: Asked, status: int, code: str, message: str, extra: Iterable[tuple[bytes, bytes]] = ()) -> Answer:
    """An error in the shape that the caller's API version has: {code, message}, or {code, error_code, msg} before 2024."""
    version = next((value for name, value in asked.headers if name == b"x-supabase-api-version"), b"")
    is_new = len(version) == len(VERSION_2024) and version >= VERSION_2024
    shape = {"code": code, "message": message} if is_new else {"code": status, "error_code": code, "msg": message}
    body = msgspec.json.encode(shape)
    headers = [JSON_TYPE, (b"content-length", b"%d" % len(body)), (b"x-sb-error-code", code.encode()), *extra]
    return Answer(status, [*headers, (b"x-supabase-api-version", VERSION_2024)] if is_new else headers, body)


def _revoked_token(asked: Asked) -> Answer:
    """auth-js ends its session at session_not_found, not at this code."""
    return error_answer(asked, 403, "bad_jwt", "invalid JWT: the token was revoked")


def _ended_session(asked: Asked) -> Answer:
    return error_answer(asked, 403, "session_not_found", "Session from session_id claim in JWT does not exist")


def _asked(scope: Scope) -> Asked:
    query = scope["query_string"]
    target = scope["raw_path"] + (b"?" + query if query else b"")
    peer = scope["client"][0] if scope.get("client") else ""
    headers = list(scope["headers"])
    return Asked(scope["method"], scope["path"], query, target, headers, address_of(headers, peer))


async def _body(asked: Asked, receive: Receive) -> AsyncIterator[bytes]:
    """The request's body in pieces as they come. _BodyTooLarge, _CallerGone."""
    length = next((value for name, value in asked.headers if name == b"content-length"), b"0")
    if not length.isdigit() or int(length) > BODY_BYTES_MAX:
        raise _BodyTooLarge
    received, is_whole = 0, False
    while not is_whole:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _CallerGone
        received += len(message.get("body", b""))
        if received > BODY_BYTES_MAX:
            raise _BodyTooLarge
        is_whole = not message.get("more_body", False)
        if message.get("body"):
            yield message["body"]


def _code_of(answer: Answer) -> str:
    return next((value.decode("latin-1") for name, value in answer.headers if name == b"x-sb-error-code"), "")


def _user_id(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_UserId).id
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise Unavailable("upstream", "the issuer's answer is not a user") from exc


def _holds_secrets(body: bytes) -> bool:
    """True where the document has a symmetric key, or is no key document at all."""
    try:
        return any(key.get("kty") == "oct" for key in msgspec.json.decode(body, type=_Jwks).keys)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return True


def _sets_cookie(answer: Answer) -> bool:
    return any(name == b"set-cookie" for name, _ in answer.headers)


def _head_lines(answer: Answer) -> bytes:
    is_framed = any(name == b"content-length" for name, _ in answer.headers)
    return rendered(answer.headers) + b"\r\n" if is_framed else b""
