"""Checks that ask the issuer each time: policy `strict`, and opaque tokens.

`strict` is for what must not be a moment behind (a payment, a change of password): signature and claims as ever, then the
issuer's own word, asked for this very request. Nothing is shared with a question that began earlier, since that may have been
answered before the session ended. It costs a round trip and some of the issuer's time; where the issuer is silent the answer is
503.

An opaque token says nothing by itself: no signature, no session, no end. So only the issuer can be believed about it, and nothing
is remembered (RFC 7662 section 4 warns of caches that outlive a token; most have no `exp` to bound one by).
"""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec

from service.cache.authenticator import Authenticator, Tier
from service.cache.entries import Entry
from service.clocks import Clock
from service.errors import TokenRejected, Unavailable
from service.limits.users import UserRates
from service.policies import Policies, Route, RoutePolicy
from service.tokens.identity import Identity, IssuerUser
from service.tokens.parsing import TOKEN_BYTES_MAX, UUID_PATTERN

OPAQUE_BYTES_MIN = 20
# RFC 6750 section 2.1: b64token. Two dots make a JWT, which is checked as one and never as anything else.
_OPAQUE = re.compile(rb"[A-Za-z0-9\-._~+/]+=*")
_UUID = re.compile(UUID_PATTERN)

Ask = Callable[[bytes], Awaitable[IssuerUser]]


class _User(msgspec.Struct):
    """The issuer's user, as far as it is needed to say who it is."""

    id: str
    email: str | None = ""
    role: str | None = ""
    iat: float | None = None
    session_id: str = ""


class Verifier:
    """`authenticate` by the policy that the settings set for a route, or a stricter one that the caller asks for.

    ask, ask_more: how the issuer is asked where a route's own policy is strict, and where a caller wants it so: whoever adds
    `?policy=strict` to all requests takes no place of those whom the settings mean. ask_opaque: how the issuer is asked about a
    token that is no JWT; None where such tokens are refused.
    """

    def __init__(
        self,
        authenticator: Authenticator,
        ask: Ask,
        ask_more: Ask,
        ask_opaque: Ask | None,
        lines_for: Callable[[Identity], bytes],
        clock: Clock,
        policies: Policies,
        rates: UserRates,
    ) -> None:
        self._authenticator = authenticator
        self._ask = ask
        self._ask_more = ask_more
        self._ask_opaque = ask_opaque
        self._lines_for = lines_for
        self._clock = clock
        self._policies = policies
        self._rates = rates
        # The hot path's own attributes, for /verify: where that is neither strict nor must hear, a policy costs nothing.
        self.cached: Callable[[bytes], Entry | None] = authenticator.cached
        self.cached_at: Callable[[bytes, float], Entry | None] = authenticator.cached_at
        if policies["verify"].is_strict:
            self.cached = self.cached_at = _never
        elif policies["verify"].must_hear:
            self.cached = partial(authenticator.cached, must_hear=True)
            self.cached_at = partial(authenticator.cached_at, must_hear=True)

    async def authenticate(self, token: bytes, route: Route, *, is_strict: bool = False) -> tuple[Entry, Tier]:
        """The entry and where it came from. TokenRejected if the token is definitely bad; Unavailable if we cannot tell."""
        policy = self._policies[route]
        if self._ask_opaque is not None and is_opaque(token):
            return await self._introspected(token, self._ask_opaque, policy), "miss"
        if policy.is_strict or is_strict:
            return await self._confirmed(token, self._ask if policy.is_strict else self._ask_more, policy), "miss"
        return await self._authenticator.authenticate(token, must_hear=policy.must_hear)

    async def _confirmed(self, token: bytes, ask: Ask, policy: RoutePolicy) -> Entry:
        identity = await self._authenticator.identify(token)
        self._refuse_revoked(identity)
        self._rates.take(identity.user_id)
        asked_at = self._clock.monotonic()
        try:
            user = await ask(token)
        except TokenRejected:
            self._authenticator.forget(token)  # what others may still have in memory is now known to be wrong
            raise
        if user.user_id != identity.user_id:
            raise Unavailable("upstream", "the issuer answered for another user")
        return self._entry(identity, user, asked_at, policy)

    async def _introspected(self, token: bytes, ask: Ask, policy: RoutePolicy) -> Entry:
        asked_at = self._clock.monotonic()
        user = await ask(token)
        try:
            claimed = msgspec.json.decode(user.json, type=_User)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise Unavailable("upstream", "the issuer's answer is not a user") from exc
        if _UUID.fullmatch(claimed.id) is None or (claimed.session_id and _UUID.fullmatch(claimed.session_id) is None):
            raise Unavailable("upstream", "the issuer's answer is not a user")
        # Where the issuer tells, what was revoked by session or by age is refused here too.
        issued_at = self._clock.wall() if claimed.iat is None else claimed.iat
        identity = Identity(claimed.id, claimed.session_id, claimed.role or "", claimed.email or "", issued_at, math.inf, "")
        return self._entry(identity, user, asked_at, policy)

    def _refuse_revoked(self, identity: Identity) -> None:
        if self._authenticator.is_revoked(identity):
            raise TokenRejected("session_revoked", "the session was ended")

    def _entry(self, identity: Identity, user: IssuerUser, asked_at: float, policy: RoutePolicy) -> Entry:
        """Good for this answer and no other, and only where the laws hold: a revocation may have overtaken the issuer's word, and
        where REVOCATION_WHEN_SILENT is `refuse` for the route that word alone is not enough. TokenRejected, Unavailable."""
        entry = Entry(identity, user.json, self._clock.wall(), asked_at, self._lines_for(identity))
        self._authenticator.check_still_good(entry, must_hear=policy.must_hear)
        return entry


def is_opaque(token: bytes) -> bool:
    """No JWT, and something that may be a token at all. What looks like a JWT is never anything else, however bad it is."""
    is_bounded = OPAQUE_BYTES_MIN <= len(token) <= TOKEN_BYTES_MAX
    return is_bounded and token.count(b".") != 2 and _OPAQUE.fullmatch(token) is not None


def _never(_token: bytes, _now: float = 0.0) -> None:
    return None
