"""An authenticator with everything around it under the test's hand: clock, issuer, shared tier, feed."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable

from service.cache.authenticator import Authenticator, Limits
from service.cache.entries import Record, Sealer
from service.cache.redis_tier import RedisTier
from service.clocks import Clock
from service.errors import ServiceError
from service.limits.arithmetic import Rate
from service.limits.users import UserRates
from service.metrics.counters import Counters
from service.revocation.records import Revocation, Revocations
from service.tokens.identity import IssuerUser
from service.tokens.jwks import Jwks
from service.tokens.keys import secret_key
from service.tokens.verification import Policy
from service.web.auth_endpoints import verify_lines
from tests.service import issuing

UNLIMITED = UserRates(Rate(0, 0), lambda: 0.0, Counters())
CACHE_KEY = "a key of the tests, long enough for anybody"


class Hands:
    """A clock whose wall and monotonic hands move together, and only when told."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    @property
    def clock(self) -> Clock:
        return Clock(lambda: issuing.NOW + self.passed_s, lambda: 1000.0 + self.passed_s)

    def forward(self, seconds: float) -> None:
        self.passed_s += seconds


class Feed:
    """A feed that is as fresh as the test says."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.is_alive = True
        self._heard_at = clock.monotonic()

    @property
    def heard_at(self) -> float:
        if self.is_alive:
            self._heard_at = self._clock.monotonic()
        return self._heard_at

    @heard_at.setter
    def heard_at(self, value: float) -> None:
        self._heard_at = value


class MemoryTier:
    """Sealed records in a dictionary that replicas share; tests/service/test_redis_tier.py holds the real one to the same."""

    def __init__(self, sealer: Sealer, sealed: dict[bytes, bytes] | None = None) -> None:
        self._sealer = sealer
        self.sealed = {} if sealed is None else sealed
        self.leases: set[bytes] = set()  # one that died is taken out by hand: here no time passes

    async def get(self, name: bytes) -> Record | None:
        found = self.sealed.get(name)
        return None if found is None else self._sealer.open(name, found)

    def put_soon(self, name: bytes, record: Record) -> None:
        self.sealed[name] = self._sealer.seal(name, record)
        self.leases.discard(name)

    def drop_soon(self, name: bytes) -> None:
        self.sealed.pop(name, None)
        self.release_soon(name)

    async def lease(self, name: bytes) -> bool:
        is_free = name not in self.leases
        self.leases.add(name)
        return is_free

    def release_soon(self, name: bytes) -> None:
        self.leases.discard(name)


class Issuer:
    """Answers GET /user. `fault` is raised instead; `gate` holds answers back; `during` happens while one is on its way."""

    def __init__(self) -> None:
        self.asked = 0
        self.was_asked = asyncio.Event()
        self.fault: ServiceError | None = None
        self.user_id = issuing.USER
        self.gate: asyncio.Event | None = None
        self.during: Callable[[], None] | None = None

    async def user(self, _token: bytes) -> IssuerUser:
        self.asked += 1
        self.was_asked.set()
        if self.during is not None:
            self.during()
        if self.gate is not None:
            await self.gate.wait()
        if self.fault is not None:
            raise self.fault
        return IssuerUser(self.user_id, b'{"id":"%s"}' % self.user_id.encode())


class Parts:
    """One replica's authenticator; a second `Parts` with the same hands and store is another replica."""

    def __init__(
        self,
        hands: Hands | None = None,
        sealed: dict[bytes, bytes] | None = None,
        ttl_s: float = 300.0,
        jwt_secret: str | None = None,
        *,
        shared: RedisTier | None = None,
        early_share: float = 0.0,
    ) -> None:
        self.hands = hands or Hands()
        self.clock = self.hands.clock
        self.counters = Counters()
        self.issuer = Issuer()
        self.revocations = Revocations()
        self.feed = Feed(self.clock)
        self.sealer = Sealer(CACHE_KEY)
        self.shared = MemoryTier(self.sealer, sealed)  # unless another is given, which is not looked into
        self.key_document = issuing.jwks()
        own = None if jwt_secret is None else secret_key(jwt_secret, CACHE_KEY)
        self.jwks = Jwks(self._fetch, self.clock, lambda gone: self.authenticator.forget_keys(gone), own)
        self.authenticator = Authenticator(
            limits=Limits(ttl_s, 100, 1_000_000, staleness_max_s=2.0, early_share=early_share),
            policy=Policy(issuing.ISSUER, issuing.AUDIENCE),
            sealer=self.sealer,
            jwks=self.jwks,
            revocations=self.revocations,
            feed=self.feed,
            shared=shared or self.shared,
            ask_issuer=self.issuer.user,
            lines_for=verify_lines,
            clock=self.clock,
            counters=self.counters,
        )

    async def verify(self, token: bytes) -> str:
        """The tier that answered."""
        return (await self.authenticator.authenticate(token))[1]

    def revoke_session(self, session_id: str = issuing.SESSION) -> None:
        line = Revocation(1, "session", session_id, self.clock.wall(), 90_000)
        self.revocations.apply(line, self.clock.monotonic())

    def revoke_user(self, user_id: str = issuing.USER, except_session: str | None = None) -> None:
        line = Revocation(1, "user", user_id, math.floor(self.clock.wall()), 90_000, except_session)
        self.revocations.apply(line, self.clock.monotonic())

    async def _fetch(self) -> bytes:
        return self.key_document


async def outcome_of(work: Awaitable[object]) -> object:
    """The result, or the error's type."""
    try:
        return await work
    except ServiceError as error:
        return type(error)
