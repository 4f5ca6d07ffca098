"""One remembered verification, and how it travels to Redis and back without ever becoming somebody else's.

A record in L2 is `mac (16 bytes) || msgpack`. The MAC is keyed and covers the token's own cache key, so a record that was
corrupted, moved to another key or written by somebody without CACHE_KEY does not open (compare Ory's incident of 2022-12-20,
where a corrupted key served one user's session to another).
"""

from __future__ import annotations

import hmac
import math
import random
from collections.abc import Callable
from hashlib import blake2b

import msgspec

from service.settings import CACHE_TTL_S_MAX
from service.tokens.identity import Identity

KEY_BYTES = 16
# What an entry takes besides its texts: the objects, its places in the queues, its name. Measured with tracemalloc.
ENTRY_BYTES = 1000
MAC_BYTES = 16
# The user's JSON rides along for /me. A larger one is fetched each time instead, so that L1 stays within its memory.
USER_BYTES_MAX = 8192
# No token is remembered longer than this after it was issued: a revocation whose session lives on at the issuer is kept this
# long, so it is not outlived.
TOKEN_LIFE_MAX_S = 86_400.0
# A session that has ended at the issuer needs refusing only while somebody may remember it as alive; five minutes are for
# clocks that differ and for answers that were on their way.
ENDED_LIFE_S = CACHE_TTL_S_MAX + 300.0


class Entry:
    """A verification as L1 holds it. A plain slotted class: attribute reads are on the hot path.

    good_until: seconds since 1970; past it the entry is never served. confirmed_at: this process's monotonic clock just
    before the issuer confirmed the session to this very process; -inf where another process did. verify_lines: what /verify
    says of this token, as lines on the wire. refresh_at: seconds since 1970; a hit from then on has it confirmed anew. vetted_at:
    `Revocations.changes` when the set last found it good.
    """

    __slots__ = ("confirmed_at", "good_until", "identity", "refresh_at", "user_json", "verify_lines", "vetted_at")

    def __init__(
        self,
        identity: Identity,
        user_json: bytes | None,
        good_until: float,
        confirmed_at: float,
        verify_lines: bytes,
        refresh_at: float = math.inf,
    ) -> None:
        self.identity = identity
        self.user_json = user_json
        self.good_until = good_until
        self.confirmed_at = confirmed_at
        self.verify_lines = verify_lines
        self.refresh_at = refresh_at
        self.vetted_at = -1

    @property
    def size_bytes(self) -> int:
        """What it takes in memory, near enough for a bound."""
        return (
            ENTRY_BYTES + 2 * len(self.verify_lines) + len(self.user_json or b"")
        )  # the identity holds the same texts once more


class Record(msgspec.Struct, frozen=True, array_like=True):
    """An entry as L2 holds it. Changing the shape means changing `L2_PREFIX` in redis_tier.py."""

    identity: Identity
    user_json: bytes | None
    good_until: float


def good_until(identity: Identity, confirmed_at: float, ttl_s: float) -> float:
    """Until when (seconds since 1970) a verification confirmed at `confirmed_at` may be served; never past `exp`."""
    return min(confirmed_at + ttl_s, identity.expires_at, identity.issued_at + TOKEN_LIFE_MAX_S)


def refresh_time(identity: Identity, until: float, ttl_s: float, share: float) -> float:
    """When an entry that is good until `until` is to be confirmed anew: after `share` less of its time, a little scattered so
    that replicas do not all ask at once. Never where the token ends then anyway."""
    if share <= 0.0 or until >= good_until(identity, until, math.inf):
        return math.inf
    return until - ttl_s * share * random.uniform(0.75, 1.0)  # noqa: S311 - spreads load, protects nothing


class Sealer:
    """Keyed hashes: names for tokens, and seals for records. Two keys are derived so that neither stands for the other."""

    __slots__ = ("_decoder", "_encoder", "_name_key", "_seal_key", "name")

    def __init__(self, cache_key: str) -> None:
        self._name_key = blake2b(cache_key.encode(), digest_size=32, person=b"token-name").digest()
        self._seal_key = blake2b(cache_key.encode(), digest_size=32, person=b"record-seal").digest()
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(Record)
        self.name: Callable[[bytes], bytes] = _namer(self._name_key)

    def seal(self, name: bytes, record: Record) -> bytes:
        body = self._encoder.encode(record)
        return self._mac(name, body) + body

    def open(self, name: bytes, sealed: bytes) -> Record | None:
        """The record, or None where it is not exactly what `seal` made for this name."""
        mac, body = sealed[:MAC_BYTES], sealed[MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(name, body)):
            return None
        try:
            return self._decoder.decode(body)
        except msgspec.DecodeError:
            return None

    def _mac(self, name: bytes, body: bytes) -> bytes:
        return blake2b(name + body, key=self._seal_key, digest_size=MAC_BYTES).digest()


def _namer(key: bytes) -> Callable[[bytes], bytes]:
    keyed = blake2b(key=key, digest_size=KEY_BYTES).copy  # the key is worked in once, not for each token

    def name(token: bytes) -> bytes:
        state = keyed()
        state.update(token)
        return state.digest()

    return name
