"""The /api/v1/auth endpoints as functions from plain input to an Answer; the front and the framework both call these."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Iterable

import msgspec
import structlog

from service.accounts.account import Account, read_account, rename
from service.accounts.follow_up import SignedInUser, follow_up
from service.accounts.positions import Positions
from service.accounts.worker import Worker
from service.cache.authenticator import Authenticator, Tier
from service.cache.entries import ENDED_LIFE_S
from service.cache.introspection import Verifier
from service.clocks import Clock
from service.database.pools import Database
from service.errors import TokenRejected, Unavailable
from service.limits.users import UserRates
from service.metrics.counters import Counters
from service.revocation.log import Scope, write_logout, write_revocation, write_token_revocation
from service.revocation.records import Kind, Revocation, Revocations
from service.tokens.identity import Identity, IssuerUser
from service.upstream.auth_api import AuthApi, UpstreamAnswer, error_of
from service.web.answers import JSON_TYPE, NO_STORE, Answer, error_answer, identity_headers, rendered
from service.web.bearer import bearer_token

RawHeaders = Iterable[tuple[bytes, bytes]]
TIER_HEADERS: dict[Tier, tuple[bytes, bytes]] = {tier: (b"x-cache", tier.encode()) for tier in ("l1", "l2", "miss")}
FUTURE_S_MAX = 5.0  # a watermark in the future would keep everybody out until then
# GoTrue's ways of saying that the session was gone before we asked to end it.
ALREADY_ENDED = frozenset({"session_not_found", "session_expired", "user_not_found"})

_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")

log = structlog.get_logger("service.auth")


class _TokenResponse(msgspec.Struct):
    access_token: str
    user: msgspec.Raw


class AuthEndpoints:
    """Raises TokenRejected and Unavailable; whoever calls turns them into answers.

    is_followed: True where the database makes what follows a log-in by itself.
    """

    def __init__(
        self,
        *,
        authenticator: Authenticator,
        verifier: Verifier,
        auth_api: AuthApi,
        database: Database,
        revocations: Revocations,
        positions: Positions,
        worker: Worker,
        rates: UserRates,
        is_followed: Callable[[], bool],
        service_role_key: str,
        clock: Clock,
        counters: Counters,
    ) -> None:
        self._authenticator = authenticator
        self._verifier = verifier
        self._auth_api = auth_api
        self._database = database
        self._revocations = revocations
        self._positions = positions
        self._worker = worker
        self._rates = rates
        self._is_followed = is_followed
        self._service_role_key = service_role_key.encode()
        self._clock = clock
        self._counters = counters

    async def verify(self, headers: RawHeaders, *, is_strict: bool = False) -> Answer:
        """200 with X-Auth-* and no body."""
        entry, tier = await self._verifier.authenticate(bearer_token(headers), "verify", is_strict=is_strict)
        return Answer(200, [*verify_headers(entry.identity), TIER_HEADERS[tier]])

    async def me(self, headers: RawHeaders, *, is_strict: bool = False) -> Answer:
        """The issuer's user JSON with `profile` (null where there is none), `roles` and `permissions` added."""
        token = bearer_token(headers)
        entry, tier = await self._verifier.authenticate(token, "me", is_strict=is_strict)
        self._rates.take(entry.identity.user_id)
        user_json = entry.user_json or (await self._auth_api.user(token)).json
        extra = [TIER_HEADERS[tier]]
        try:
            has_replica = self._database.replica is not self._database.primary
            position = await self._positions.of(entry.identity.user_id) if has_replica else None
            account = await read_account(self._database, entry.identity.user_id, position)
        except Unavailable:  # who the caller is does not hang on our database; what the caller may do does
            account = Account()
            extra.append((b"x-degraded", b"profile"))
        if account.is_old:
            extra.append((b"x-degraded", b"roles"))
        roles, permissions = msgspec.json.encode(account.roles), msgspec.json.encode(account.permissions)
        added = b',"profile":%b,"roles":%b,"permissions":%b}' % (account.profile_json, roles, permissions)
        body = user_json.rstrip()[:-1] + added
        return Answer(200, [JSON_TYPE, (b"content-length", b"%d" % len(body)), NO_STORE, *extra], body)

    async def user_of(self, headers: RawHeaders) -> str:
        """The id of a caller who is about to change something: the issuer's own word, asked for this request."""
        entry, _ = await self._verifier.authenticate(bearer_token(headers), "me", is_strict=True)
        return entry.identity.user_id

    async def change_me(self, user_id: str, display_name: str | None) -> Answer:
        """200 with the changed profile; 404 where there is no active one."""
        profile_json = await rename(self._database, self._positions, user_id, display_name)
        if profile_json is None:
            return error_answer(404, "profile_not_found", "there is no active profile of this user")
        body = b'{"profile":%b}' % profile_json
        return Answer(200, [JSON_TYPE, (b"content-length", b"%d" % len(body)), NO_STORE], body)

    async def log_in(self, email: str, password: str, client_address: str) -> Answer:
        asked_at = self._clock.monotonic()
        answer = await self._auth_api.grant("password", {"email": email, "password": password}, client_address)
        self._count_login("ok" if answer.status == 200 else "refused")
        await self._signed_in(answer, asked_at, is_new_session=True)
        return passed_on(answer)

    async def refresh(self, refresh_token: str, client_address: str) -> Answer:
        asked_at = self._clock.monotonic()
        answer = await self._auth_api.grant("refresh_token", {"refresh_token": refresh_token}, client_address)
        await self._signed_in(answer, asked_at, is_new_session=False)
        return passed_on(answer)

    async def register(self, email: str, password: str, display_name: str | None, client_address: str) -> Answer:
        """201 with a token response; GoTrue's own answer where it gives none (a confirmation mail is on its way, say)."""
        asked_at = self._clock.monotonic()
        data = {"display_name": display_name} if display_name else {}
        answer = await self._auth_api.sign_up({"email": email, "password": password, "data": data}, client_address)
        has_session = await self._signed_in(answer, asked_at, is_new_session=True)
        return passed_on(answer, status=201 if has_session else None)

    async def log_out(self, headers: RawHeaders, scope: Scope) -> Answer:
        """Ends sessions at the issuer first, then tells every replica; this one refuses them before the answer is sent."""
        token = bearer_token(headers)
        identity = await self._authenticator.identify(token)
        answer = await self._auth_api.log_out(token, scope)
        await self.note_log_out(token, identity, scope, answer.status, error_of(answer)[0])
        return passed_on(answer)

    async def note_log_out(self, token: bytes, identity: Identity, scope: Scope, status: int, code: str) -> None:
        """Tells every replica of a log-out that the issuer answered with `status` and error `code`. Unavailable."""
        is_ended = status in (200, 204)
        if is_ended or code in ALREADY_ENDED:
            await self._log_out_everywhere(token, identity, scope if is_ended else "local")

    async def revoke(self, headers: RawHeaders, kind: Kind, subject: str) -> Answer:
        """202 with the log's sequence number; service role key only. `subject`: an id, a key's name, or seconds since 1970."""
        self.require_service_role(headers)
        if kind in ("session", "user"):
            revocation = await write_revocation(self._database, kind, subject)
        elif kind == "key":
            thumbprint = self._authenticator.thumbprint_of(subject) or (subject if _THUMBPRINT.fullmatch(subject) else None)
            if thumbprint is None:
                return error_answer(400, "validation_failed", "body.key_id: no such key is published, and it is no thumbprint")
            revocation = await write_token_revocation(self._database, "key", thumbprint, 0)
        else:
            if int(subject) > self._clock.wall() + FUTURE_S_MAX:
                return error_answer(400, "validation_failed", "body.issued_before: expected no time to come")
            revocation = await write_token_revocation(self._database, "everyone", "", int(subject) - 1)
        self._revocations.apply(revocation, self._clock.monotonic())
        body = msgspec.json.encode({"sequence": revocation.sequence})
        return Answer(202, [JSON_TYPE, (b"content-length", b"%d" % len(body)), NO_STORE], body)

    def require_service_role(self, headers: RawHeaders) -> None:
        """TokenRejected unless the bearer token is the service role key, compared in constant time."""
        if not hmac.compare_digest(bearer_token(headers), self._service_role_key):
            raise TokenRejected("no_authorization", "this endpoint needs the service role key")

    async def _log_out_everywhere(self, token: bytes, identity: Identity, scope: Scope) -> None:
        if scope != "others":
            own = Revocation(0, "session", identity.session_id, identity.issued_at, ENDED_LIFE_S)
            self._revocations.apply(own, self._clock.monotonic())
            self._authenticator.forget(token)
        for revocation in await write_logout(self._database, scope, identity.user_id, identity.session_id):
            self._revocations.apply(revocation, self._clock.monotonic())

    async def _signed_in(self, answer: UpstreamAnswer, asked_at: float, *, is_new_session: bool) -> bool:
        if answer.status not in (200, 201):
            return False
        return await self.note_signed_in(answer.body, asked_at, is_new_session=is_new_session)

    async def note_signed_in(self, body: bytes, asked_at: float, *, is_new_session: bool) -> bool:
        """Warms the cache with a new token and sets off what follows a log-in; False where the answer holds no token."""
        try:
            response = msgspec.json.decode(body, type=_TokenResponse)
            user = msgspec.json.decode(response.user, type=SignedInUser)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return False
        try:
            await self._authenticator.warm(response.access_token.encode(), IssuerUser(user.id, bytes(response.user)), asked_at)
        except (TokenRejected, Unavailable) as error:
            log.warning("token_not_remembered", reason=str(error))
        if is_new_session and not self._is_followed() and await follow_up(self._database, self._counters, user):
            self._worker.wake()
        return True

    def _count_login(self, outcome: str) -> None:
        self._counters.logins[outcome] = self._counters.logins.get(outcome, 0) + 1


def passed_on(answer: UpstreamAnswer, status: int | None = None) -> Answer:
    """GoTrue's answer as ours: status, body and its own headers unchanged."""
    passed = [(name.encode(), value.encode("latin-1")) for name, value in answer.headers.items()]
    length = [] if answer.status == 204 else [(b"content-length", b"%d" % len(answer.body))]
    return Answer(status or answer.status, [*passed, *length, NO_STORE], answer.body)


def verify_headers(identity: Identity) -> list[tuple[bytes, bytes]]:
    """Everything /verify answers with but the tier."""
    return [(b"content-length", b"0"), NO_STORE, *identity_headers(identity)]


def verify_lines(identity: Identity) -> bytes:
    """The same as lines on the wire, made once per entry."""
    return rendered(verify_headers(identity))
