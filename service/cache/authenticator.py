"""Token in, identity out: the tiers, the issuer behind them, and the laws that hold on every path.

Theory of operation
-------------------
    cached()        L1, synchronous, no await: the hot path.
    authenticate()  L1 missed: L2, then signature check plus GET /user at the issuer, which alone knows that the session
                    still lives. One flight per token.

Laws, each with a test of its name in tests/service/test_cache_laws.py:
1. Nothing is served at or past `exp`, nor later than CACHE_TTL_S after the issuer confirmed it.
2. Nothing is served that the revocation set refuses. The set is asked on every hit and again after every fetch, and a
   revocation that arrives during a fetch wins: an entry counts as confirmed at the moment *before* its fetch began.
3. Nothing is served from memory on evidence older than REVOCATION_STALENESS_MAX_S: evidence is the revocation feed's last
   heartbeat or, where that is silent, the issuer's own confirmation to this process. Past the bound we ask the issuer again
   and, where it does not answer, say 503 (fail closed). For a caller who `must_hear` (a route whose rule for silence is
   `refuse`) the issuer's word does not count: of a key's or everyone's revocation it knows nothing. What was found out by a
   shared flight is held to the same bound when it is handed out, by each caller's own rule, not when the flight began.
4. A record from L2 is believed only if its seal opens for this very token and its subject and session are the token's own.
5. A fault of ours or of the issuer never becomes a 401.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from cachebox import LRUCache

from service.cache.bounded import BoundedCache
from service.cache.entries import USER_BYTES_MAX, Entry, Record, Sealer, good_until, refresh_time
from service.cache.flights import Flights
from service.clocks import Clock
from service.errors import TokenRejected, Unavailable
from service.metrics.counters import Counters
from service.revocation.records import Revocations, Standing
from service.tokens.identity import Identity, IssuerUser
from service.tokens.jwks import Jwks
from service.tokens.parsing import ParsedToken, parse
from service.tokens.verification import Policy, check_claims, check_signature, identity_of

Tier = Literal["l1", "l2", "miss"]
FLIGHTS_MAX = 256
FLIGHT_DEADLINE_S = 1.0
REJECTIONS_MAX = 5000
REJECTION_TTL_S = 5.0
REFRESHES_MAX = 32
# Between looks at L2 while another replica asks the issuer. Together a lease's life: if it has died, we ask ourselves then.
NEIGHBOUR_PAUSES_S = (0.005, 0.010, 0.020, 0.030, 0.040, 0.045, 0.050, 0.050)
_GOOD = Standing.GOOD


class SharedTier(Protocol):
    """L2 as the authenticator needs it; RedisTier is the real one."""

    async def get(self, name: bytes) -> Record | None: ...

    def put_soon(self, name: bytes, record: Record) -> None: ...

    def drop_soon(self, name: bytes) -> None: ...

    async def lease(self, name: bytes) -> bool:
        """Whether it is for the caller to ask the issuer; False while another replica does."""

    def release_soon(self, name: bytes) -> None: ...


class Feed(Protocol):
    """When (monotonic seconds) the revocation feed was last known to be complete; -inf before its first sync."""

    heard_at: float


@dataclass(frozen=True, slots=True)
class Limits:
    """What the settings say about remembering. Seconds, entries, bytes."""

    ttl_s: float
    entries_max: int
    bytes_max: int
    staleness_max_s: float
    early_share: float = 0.0  # of ttl_s: whoever asks in this last part has the entry confirmed anew, without waiting for it


class Authenticator:
    """`ask_issuer(token)` answers the user or raises TokenRejected (definite) or Unavailable; it bounds its own time."""

    def __init__(
        self,
        *,
        limits: Limits,
        policy: Policy,
        sealer: Sealer,
        jwks: Jwks,
        revocations: Revocations,
        feed: Feed,
        shared: SharedTier | None,
        ask_issuer: Callable[[bytes], Awaitable[IssuerUser]],
        lines_for: Callable[[Identity], bytes],
        clock: Clock,
        counters: Counters,
    ) -> None:
        self._limits = limits
        self._staleness_max_s = limits.staleness_max_s
        self._policy = policy
        self._sealer = sealer
        self.name = self._name = sealer.name  # a token's name in both tiers
        self._jwks = jwks
        self._revocations = revocations
        self._standing = revocations.standing
        self._feed = feed
        self._shared = shared
        self._ask_issuer = ask_issuer
        self._lines_for = lines_for
        self._clock = clock
        self._wall = clock.wall
        self._monotonic = clock.monotonic
        self._counters = counters
        self._entries: BoundedCache[bytes, Entry] = BoundedCache(limits.entries_max, limits.bytes_max, clock.wall)
        self._find = self._entries.get
        self._rejections: LRUCache[bytes, tuple[float, TokenRejected]] = LRUCache(REJECTIONS_MAX)
        self._forgotten: LRUCache[bytes, float] = LRUCache(REJECTIONS_MAX)
        self._refreshes: set[asyncio.Task[None]] = set()
        self._flights: Flights[tuple[Entry, Tier]] = Flights(FLIGHTS_MAX, FLIGHT_DEADLINE_S)

    def cached(self, token: bytes, must_hear: bool = False) -> Entry | None:
        """The L1 entry if it may be served at this moment; None says nothing about the token, ask `authenticate`."""
        return self.cached_at(token, self._monotonic(), must_hear)

    def cached_at(self, token: bytes, monotonic: float, must_hear: bool = False) -> Entry | None:
        """The same for who has just looked at the clock."""
        find, name, wall = self._find, self._name, self._wall
        entry = find(name(token))
        now = wall()
        if entry is None or now >= entry.good_until:
            return None
        # `_may_serve`, written out: two calls fewer on the hot path.
        oldest = monotonic - self._staleness_max_s
        if self._feed.heard_at < oldest and (must_hear or entry.confirmed_at < oldest):
            return None
        # What was good stays so until something is revoked.
        changes = self._revocations.changes
        if entry.vetted_at != changes:
            if self._standing(entry.identity, entry.confirmed_at) is not _GOOD:
                return None
            entry.vetted_at = changes
        self._counters.l1_hits += 1
        if now >= entry.refresh_at:
            self._refresh_soon(token, entry)
        return entry

    async def authenticate(self, token: bytes, *, must_hear: bool = False) -> tuple[Entry, Tier]:
        """The entry and the tier that had it. TokenRejected if the token is definitely bad; Unavailable if we cannot tell."""
        entry = self.cached(token, must_hear)
        if entry is not None:
            return entry, "l1"
        self._counters.l1_misses += 1
        if must_hear and self.is_deaf:  # whatever the issuer said, it would not be enough
            raise _doubtful()
        name = self._name(token)
        resolved = await self._flights.run(name, lambda: self._resolve(token, name))
        self._counters.l2_hits += resolved[1] == "l2"  # by caller, as L1's are: several may share a flight
        self.check_still_good(resolved[0], must_hear=must_hear)
        return resolved

    def remember(self, token: bytes, identity: Identity, user: IssuerUser, confirmed_at: float) -> Entry:
        """Fills both tiers with what the issuer confirmed; `confirmed_at` is monotonic, from before it was asked."""
        age_s = self._monotonic() - confirmed_at
        user_json = user.json if len(user.json) <= USER_BYTES_MAX else None
        until = good_until(identity, self._wall() - age_s, self._limits.ttl_s)
        entry = Entry(identity, user_json, until, confirmed_at, self._lines_for(identity), self._refresh_at(identity, until))
        name = self._name(token)
        is_good = self._standing(identity, confirmed_at) is Standing.GOOD and self._jwks.vouches_for(identity.key_thumbprint)
        if is_good and self._wall() < until and not self.was_forgotten(token, confirmed_at):
            self._keep(name, entry)
            if self._shared is not None:
                self._shared.put_soon(name, Record(identity, user_json, until))
        return entry

    async def warm(self, token: bytes, user: IssuerUser, confirmed_at: float) -> Entry:
        """Remembers a token that the issuer has just handed out, checked like any other. TokenRejected, Unavailable."""
        identity = await self._verify(parse(token))
        _check_same_user(identity, user)
        return self.remember(token, identity, user, confirmed_at)

    async def identify(self, token: bytes) -> Identity:
        """Claims and signature only: enough to log out, whether or not the session lives. TokenRejected, Unavailable."""
        return await self._verify(parse(token))

    def is_servable(self, entry: Entry, *, must_hear: bool = False) -> bool:
        """The laws hold for `entry` at this moment, wherever it is kept."""
        is_vouched_for = self._jwks.vouches_for(entry.identity.key_thumbprint)
        return self._wall() < entry.good_until and is_vouched_for and self._may_serve(entry, must_hear)

    def check_still_good(self, entry: Entry, *, must_hear: bool = False) -> None:
        """The laws hold now or not at all, however long the answer took and its caller was held up after it (a stopped process).
        TokenRejected, Unavailable."""
        if self._wall() >= entry.identity.expires_at:
            raise TokenRejected("bad_jwt", "token is expired")
        standing = self._standing(entry.identity, entry.confirmed_at)
        if standing is Standing.REVOKED:
            raise _revoked()
        if standing is Standing.DOUBTFUL or not self._is_fresh(entry, must_hear):
            raise _doubtful()

    def is_revoked(self, identity: Identity) -> bool:
        """The revocation set refuses it, whatever the issuer says."""
        return self._standing(identity, math.inf) is Standing.REVOKED

    def is_refused_widely(self, identity: Identity) -> bool:
        """It is refused for its key or its age alone: the session lives."""
        return self._revocations.refuses_widely(identity)

    @property
    def refuses_some_widely(self) -> bool:
        """There is a key or an age whose tokens are refused."""
        return self._revocations.is_wide

    @property
    def is_deaf(self) -> bool:
        """The revocation feed has been silent for longer than it may."""
        return self._feed.heard_at < self._monotonic() - self._staleness_max_s

    def thumbprint_of(self, key_id: str) -> str | None:
        """The published key's RFC 7638 thumbprint; None where the issuer publishes no such key."""
        return self._jwks.thumbprint_of(key_id)

    def was_forgotten(self, token: bytes, since: float) -> bool:
        """`forget` was called for it later than `since` (monotonic): what was asked before may not bring it back."""
        return self._forgotten.get(self._name(token), -math.inf) > since

    def forget(self, token: bytes) -> None:
        """Drops one token from both tiers, and whatever is on its way into them."""
        name = self._name(token)
        self._forgotten[name] = self._monotonic()
        self._entries.pop(name)
        if self._shared is not None:
            self._shared.drop_soon(name)

    def forget_keys(self, thumbprints: frozenset[str]) -> None:
        """Drops from L1 what these keys verified. Records in L2 name their key and are refused when they are read."""
        for name, entry in self._entries:
            if entry.identity.key_thumbprint in thumbprints:
                self._entries.pop(name)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size_bytes(self) -> int:
        """What L1 holds, as its entries count themselves."""
        return self._entries.size_bytes

    @property
    def flights(self) -> int:
        return len(self._flights)

    async def close(self) -> None:
        refreshes = list(self._refreshes)
        for task in refreshes:
            task.cancel()
        await asyncio.gather(*refreshes, return_exceptions=True)
        await self._flights.close()

    def _keep(self, name: bytes, entry: Entry) -> None:
        self._entries.put(name, entry, entry.size_bytes, entry.good_until)

    def _may_serve(self, entry: Entry, must_hear: bool = False) -> bool:
        return self._is_fresh(entry, must_hear) and self._standing(entry.identity, entry.confirmed_at) is _GOOD

    def _is_fresh(self, entry: Entry, must_hear: bool) -> bool:
        oldest = self._monotonic() - self._staleness_max_s
        return self._feed.heard_at >= oldest or (not must_hear and entry.confirmed_at >= oldest)

    def _refresh_at(self, identity: Identity, until: float) -> float:
        return refresh_time(identity, until, self._limits.ttl_s, self._limits.early_share)

    def _refresh_soon(self, token: bytes, entry: Entry) -> None:
        """Has it confirmed in the background, once; nobody waits for it. What is too much at a time is left to the next hit."""
        if len(self._refreshes) < REFRESHES_MAX:
            entry.refresh_at = math.inf
            task = asyncio.create_task(self._refresh(token, entry.identity))
            self._refreshes.add(task)
            task.add_done_callback(self._refreshes.discard)

    async def _refresh(self, token: bytes, identity: Identity) -> None:
        name = self._name(token)
        try:
            async with asyncio.timeout(FLIGHT_DEADLINE_S):
                if self._shared is None or await self._shared.lease(name):
                    await self._ask_with_lease(token, name, identity)
                    self._counters.early_refreshes += 1
        except (TokenRejected, Unavailable, TimeoutError):
            return  # a refusal has been noted; a fault is for those to hear who ask when the entry's time is over

    async def _resolve(self, token: bytes, name: bytes) -> tuple[Entry, Tier]:
        self._raise_remembered(name)
        parsed = parse(token)
        check_claims(parsed.claims, self._policy, self._wall())
        entry = await self._from_shared(parsed, name)
        if entry is not None:
            return entry, "l2"
        identity = await self._verify(parsed)
        if self._standing(identity, math.inf) is Standing.REVOKED:
            raise _revoked()
        if self._shared is not None and not await self._shared.lease(name):
            entry = await self._from_neighbour(parsed, name)
            if entry is not None:
                return entry, "l2"
        return await self._ask_with_lease(token, name, identity), "miss"

    async def _ask_with_lease(self, token: bytes, name: bytes, identity: Identity) -> Entry:
        """Asks the issuer; gives the lease back where others will find nothing in L2, so that they need not wait for its end."""
        entry: Entry | None = None
        try:
            entry = await self._from_issuer(token, name, identity)
            return entry
        finally:
            if self._shared is not None and (entry is None or self._find(name) is not entry):
                self._shared.release_soon(name)

    async def _from_neighbour(self, parsed: ParsedToken, name: bytes) -> Entry | None:
        """What the replica that has the lease was told by the issuer; None where it was told nothing good, or died."""
        for pause_s in NEIGHBOUR_PAUSES_S:
            await asyncio.sleep(pause_s)
            entry = await self._from_shared(parsed, name)
            if entry is not None:
                return entry
        return None

    async def _from_shared(self, parsed: ParsedToken, name: bytes) -> Entry | None:
        if self._shared is None or not self._jwks.knows(parsed.key_id):
            return None  # a key that nobody knows is not worth a round trip to Redis
        record = await self._shared.get(name)
        if record is None:
            self._counters.l2_misses += 1
            return None
        identity, claims = record.identity, parsed.claims
        if (identity.user_id, identity.session_id) != (claims.sub, claims.session_id):
            self._counters.l2_corrupt += 1
            return None
        until = good_until(identity, record.good_until, 0.0)  # the record's own end, bounded once more by the token's
        refresh_at = self._refresh_at(identity, until)
        entry = Entry(identity, record.user_json, until, -math.inf, self._lines_for(identity), refresh_at)
        is_vouched_for = self._jwks.vouches_for(identity.key_thumbprint, parsed.key_id)
        if self._wall() >= until or not is_vouched_for or not self._may_serve(entry):
            self._counters.l2_misses += 1
            return None
        self._keep(name, entry)
        return entry

    async def _verify(self, parsed: ParsedToken) -> Identity:
        check_claims(parsed.claims, self._policy, self._wall())
        key = await self._jwks.find(parsed.key_id, parsed.claims.iat)
        check_signature(parsed, key)
        return identity_of(parsed, key)

    async def _from_issuer(self, token: bytes, name: bytes, identity: Identity) -> Entry:
        confirmed_at = self._monotonic()
        try:
            user = await self._ask_issuer(token)
        except TokenRejected as rejection:
            self.forget(token)
            self._rejections[name] = (self._monotonic() + REJECTION_TTL_S, rejection)
            raise
        _check_same_user(identity, user)
        standing = self._standing(identity, confirmed_at)
        if standing is Standing.REVOKED:
            raise _revoked()
        if standing is Standing.DOUBTFUL:  # a revocation overtook the fetch; a second one would know better
            raise Unavailable("revocation", "the session is being revoked")
        self._counters.issuer_confirmations += 1
        return self.remember(token, identity, user, confirmed_at)

    def _raise_remembered(self, name: bytes) -> None:
        found = self._rejections.get(name)
        if found is not None and self._monotonic() < found[0]:
            self._counters.rejections_remembered += 1
            raise TokenRejected(found[1].code, found[1].message)


def _check_same_user(identity: Identity, user: IssuerUser) -> None:
    if user.user_id != identity.user_id:
        raise Unavailable("upstream", "the issuer answered for another user")


def _doubtful() -> Unavailable:
    return Unavailable("revocation", "whether the session lives cannot be told at the moment")


def _revoked() -> TokenRejected:
    return TokenRejected("session_revoked", "the session was ended")
