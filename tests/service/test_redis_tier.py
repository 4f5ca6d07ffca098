"""The shared tier against a real Valkey, and the fake that the cache's laws use against the same contract."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from service.cache.authenticator import SharedTier
from service.cache.entries import Record, Sealer
from service.cache.redis_tier import FAILURES_MAX, L2_PREFIX, LEASE_PREFIX, LEASE_S, RedisTier
from service.clocks import Clock
from service.metrics.counters import Counters
from service.tokens.identity import Identity
from tests.service.parts import CACHE_KEY, MemoryTier

pytestmark = pytest.mark.anyio

CLOCK = Clock()
NAME = b"n" * 16


def record(life_s: float = 60.0) -> Record:
    now = CLOCK.wall()
    return Record(Identity("u", "s", "r", "e", now, now + life_s, "k"), b'{"id":"u"}', now + life_s)


@pytest.fixture(params=["valkey", "memory"])
async def tier(request: pytest.FixtureRequest, valkey_url: str, anyio_backend: str) -> AsyncIterator[SharedTier]:
    if request.param == "memory":
        yield MemoryTier(Sealer(CACHE_KEY))
        return
    async with Redis.from_url(valkey_url) as client:
        await client.flushall()
    tier = RedisTier(valkey_url, Sealer(CACHE_KEY), CLOCK, Counters())
    yield tier
    await tier.close()


async def settled(tier: SharedTier) -> None:
    """Until writes in the background are done."""
    if isinstance(tier, RedisTier):
        await asyncio.wait_for(asyncio.gather(*tier._writes), 5)


async def test_what_was_put_comes_back(tier: SharedTier):
    assert await tier.get(NAME) is None
    put = record()
    tier.put_soon(NAME, put)
    await settled(tier)
    assert await tier.get(NAME) == put
    assert await tier.get(b"m" * 16) is None


async def test_furthest_position_counts_whoever_notes_it_last(valkey_url: str):
    """Two replicas note what they wrote in an order of their own; a note is gone when nobody needs it any more."""
    tier = RedisTier(valkey_url, Sealer(CACHE_KEY), CLOCK, Counters())
    user_id = f"user-{secrets.token_hex(8)}"
    assert await tier.position_of(user_id) == 0
    for position, expected in ((9, 9), (2**62, 2**62), (255, 2**62)):
        await tier.note_position(user_id, position, 30.0)
        assert await tier.position_of(user_id) == expected
    async with Redis.from_url(valkey_url) as client:
        assert 0 < await client.pttl(tier._written_key(user_id)) <= 30_000
        assert user_id.encode() not in tier._written_key(user_id)
        await client.set(tier._written_key(user_id), b"nonsense")
    assert await tier.position_of(user_id) is None
    await tier.close()
    away = RedisTier("redis://127.0.0.1:9", Sealer(CACHE_KEY), CLOCK, Counters())
    await away.note_position(user_id, 1, 30.0)
    assert await away.position_of(user_id) is None, "not nothing: it cannot be told"
    await away.close()


async def test_what_was_dropped_is_gone(tier: SharedTier):
    tier.put_soon(NAME, record())
    await settled(tier)
    tier.drop_soon(NAME)
    await settled(tier)
    assert await tier.get(NAME) is None


async def test_one_of_many_gets_the_lease_until_it_is_given_back(tier: SharedTier):
    tier.put_soon(b"o" * 16, record())  # a connection is made in the background, in more than a read's time
    await settled(tier)
    assert [await tier.lease(NAME) for _ in range(3)] == [True, False, False]
    assert await tier.lease(b"m" * 16)
    tier.release_soon(NAME)
    await settled(tier)
    assert await tier.lease(NAME)
    tier.drop_soon(NAME)
    await settled(tier)
    assert await tier.lease(NAME), "who drops a record wants it asked for anew"


@pytest.fixture
async def real(valkey_url: str, anyio_backend: str) -> AsyncIterator[tuple[RedisTier, Redis, Counters]]:
    counters = Counters()
    tier = RedisTier(valkey_url, Sealer(CACHE_KEY), CLOCK, counters)
    async with Redis.from_url(valkey_url) as client:
        yield tier, client, counters
    await tier.close()


async def test_redis_lets_go_at_the_records_end(real: tuple[RedisTier, Redis, Counters]):
    tier, client, _ = real
    name = b"life-of-a-record"
    tier.put_soon(name, record(30.0))
    await settled(tier)
    left_ms = await client.pttl(L2_PREFIX + name.hex().encode())
    assert 20_000 < left_ms <= 30_000
    tier.put_soon(b"expired-already!", record(-1.0))
    await settled(tier)
    assert await client.exists(L2_PREFIX + b"expired-already!".hex().encode()) == 0


async def test_lease_ends_by_itself(real: tuple[RedisTier, Redis, Counters]):
    tier, client, _ = real
    tier.put_soon(NAME, record())
    await settled(tier)
    assert await tier.lease(b"held by the dead")
    assert 0 < await client.pttl(LEASE_PREFIX + b"held by the dead".hex().encode()) <= LEASE_S * 1000


async def test_damaged_record_is_a_counted_miss(real: tuple[RedisTier, Redis, Counters]):
    tier, client, counters = real
    name = b"damaged-recorded"
    tier.put_soon(name, record())
    await settled(tier)
    key = L2_PREFIX + name.hex().encode()
    await client.setrange(key, 20, b"\0\0")
    assert await tier.get(name) is None
    assert counters.l2_corrupt == 1


async def test_neither_token_nor_address_is_readable_in_redis(real: tuple[RedisTier, Redis, Counters]):
    """Names are keyed hashes: who can read Redis cannot look a token up in it."""
    tier, client, _ = real
    assert Sealer("another key, as long as it has to be").name(b"token") != Sealer(CACHE_KEY).name(b"token")
    assert Sealer("another key, as long as it has to be").open(NAME, Sealer(CACHE_KEY).seal(NAME, record())) is None
    assert await client.ping()
    assert await tier.ping()


async def test_redis_that_is_away_is_a_quick_miss_and_soon_not_even_tried(anyio_backend: str):
    counters = Counters()
    tier = RedisTier("redis://127.0.0.1:9/0", Sealer(CACHE_KEY), CLOCK, counters)
    for _ in range(FAILURES_MAX + 20):
        assert await tier.get(NAME) is None
        assert await tier.lease(NAME), "one failure is waited for, not two; and without Redis each asks for itself"
    assert counters.l2_failures == FAILURES_MAX
    tier.put_soon(NAME, record())
    assert not tier._writes
    assert not await tier.ping()
    await tier.close()
