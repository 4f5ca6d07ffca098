"""The region's shared tier. Always optional: slow, absent or broken, it costs at most READ_TIMEOUT_S and then nothing.

Errors never leave this file: a read that fails is a miss, a write that fails is forgotten. Both are counted.
"""

from __future__ import annotations

import asyncio

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from service.breaker import Breaker
from service.cache.entries import Record, Sealer
from service.clocks import Clock
from service.metrics.counters import Counters

L2_PREFIX = b"cached-auth:v2:"
LEASE_PREFIX = b"cached-auth:lease:"
WRITTEN_PREFIX = b"cached-auth:written:"
# As long as the issuer usually takes, from afar too. A replica that dies with a lease holds up its neighbours for no longer.
LEASE_S = 0.250
READ_TIMEOUT_S = 0.010
WRITE_TIMEOUT_S = 0.100
CONNECT_TIMEOUT_S = 0.250
CONNECTIONS_MAX = 32
WRITES_MAX = 64
POSITION_DIGITS = 16
FAILURES_MAX = 5
PAUSE_S = 1.0

# The furthest counts, whichever of two writers comes last. In hexadecimal digits of one length: Lua's numbers are doubles.
_NOTE_POSITION = """
local had = redis.call('GET', KEYS[1])
if had and had > ARGV[1] then redis.call('PEXPIRE', KEYS[1], ARGV[2]) else redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
"""


class RedisTier:
    """Sealed records by token name. Create inside the running loop; `close` ends writes under way."""

    def __init__(self, url: str, sealer: Sealer, clock: Clock, counters: Counters) -> None:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS_MAX,
            timeout=READ_TIMEOUT_S,
            socket_timeout=WRITE_TIMEOUT_S,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )
        self._redis = Redis.from_pool(pool)  # closed with the client
        self._sealer = sealer
        self._clock = clock
        self._counters = counters
        self._breaker = Breaker(FAILURES_MAX, PAUSE_S, clock.monotonic)
        self._writes: set[asyncio.Task[None]] = set()

    async def get(self, name: bytes) -> Record | None:
        """The record if Redis has one that opens; None otherwise, within READ_TIMEOUT_S."""
        if self._breaker.is_open:
            return None
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                sealed = await self._redis.get(L2_PREFIX + name.hex().encode())
        except (RedisError, OSError, TimeoutError):
            self._fail()
            return None
        self._breaker.succeeded()
        if not isinstance(sealed, bytes):
            return None
        record = self._sealer.open(name, sealed)
        if record is None:
            self._counters.l2_corrupt += 1
        return record

    async def lease(self, name: bytes) -> bool:
        """True where the issuer is for the caller to ask: nobody else in the region does, or that cannot be told.

        Who has just waited for Redis in vain (or would, the breaker being open) does not wait again.
        """
        if self._breaker.has_failed or self._breaker.is_open:
            return True
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                taken = await self._redis.set(LEASE_PREFIX + name.hex().encode(), b"", nx=True, px=int(LEASE_S * 1000))
        except (RedisError, OSError, TimeoutError):
            self._fail()
            return True
        return taken is not None

    def put_soon(self, name: bytes, record: Record) -> None:
        """Writes in the background: no request waits for it. Dropped where WRITES_MAX are under way already."""
        if len(self._writes) >= WRITES_MAX or self._breaker.is_open:
            return
        lifetime_ms = int((record.good_until - self._clock.wall()) * 1000)
        if lifetime_ms <= 0:
            return
        task = asyncio.create_task(self._put(name, self._sealer.seal(name, record), lifetime_ms))
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)

    def drop_soon(self, name: bytes) -> None:
        """Forgets a record in the background; the revocation set refuses it meanwhile."""
        key = name.hex().encode()
        self._drop_in_background(L2_PREFIX + key, LEASE_PREFIX + key)

    def release_soon(self, name: bytes) -> None:
        """Gives a lease back early, where nothing was put that others could find."""
        self._drop_in_background(LEASE_PREFIX + name.hex().encode())

    def _drop_in_background(self, *keys: bytes) -> None:
        if len(self._writes) >= WRITES_MAX or self._breaker.is_open:
            return
        task = asyncio.create_task(self._drop(*keys))
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)

    async def position_of(self, user_id: str) -> int | None:
        """What was noted last of this user (accounts/positions.py): 0 for nothing, None where Redis cannot tell."""
        if self._breaker.is_open:
            return None
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                noted = await self._redis.get(self._written_key(user_id))
            position = int(noted or b"0", 16)
        except (RedisError, OSError, TimeoutError, ValueError):
            self._fail()
            return None
        self._breaker.succeeded()
        return position if 0 <= position < 2**63 else None

    async def note_position(self, user_id: str, position: int, life_s: float) -> None:
        """Waits until Redis has it, WRITE_TIMEOUT_S at most."""
        if self._breaker.is_open:
            return
        arguments = (f"{position:0{POSITION_DIGITS}x}", str(int(life_s * 1000)))
        try:
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                await self._redis.eval(_NOTE_POSITION, 1, self._written_key(user_id), *arguments)
        except (RedisError, OSError, TimeoutError):
            self._fail()
        else:
            self._breaker.succeeded()

    def _written_key(self, user_id: str) -> bytes:
        return WRITTEN_PREFIX + self._sealer.name(b"written " + user_id.encode()).hex().encode()

    async def ping(self) -> bool:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._redis.ping()
        except (RedisError, OSError, TimeoutError):
            return False
        return True

    @property
    def is_given_up(self) -> bool:
        """The breaker is open: nobody waits for Redis at the moment."""
        return self._breaker.is_tripped

    async def close(self) -> None:
        if self._writes:
            await asyncio.wait(self._writes, timeout=WRITE_TIMEOUT_S)
        for task in self._writes:
            task.cancel()
        await self._redis.aclose()

    async def _put(self, name: bytes, sealed: bytes, lifetime_ms: int) -> None:
        try:
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                await self._redis.set(L2_PREFIX + name.hex().encode(), sealed, px=lifetime_ms)
        except (RedisError, OSError, TimeoutError):
            self._fail()
        else:
            self._breaker.succeeded()

    async def _drop(self, *keys: bytes) -> None:
        try:
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                await self._redis.delete(*keys)
        except (RedisError, OSError, TimeoutError):
            self._fail()

    def _fail(self) -> None:
        self._counters.l2_failures += 1
        self._breaker.failed()
