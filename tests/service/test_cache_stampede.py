"""One question to the issuer however many ask, in however many replicas; and nobody waits who need not."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from service.cache import authenticator, redis_tier
from service.cache.entries import Sealer, refresh_time
from service.cache.redis_tier import LEASE_PREFIX, LEASE_S, RedisTier
from service.clocks import Clock
from service.errors import TokenRejected, Unavailable
from service.metrics.counters import Counters
from service.tokens.identity import Identity
from tests.service import issuing
from tests.service.parts import CACHE_KEY, Hands, Parts, outcome_of

pytestmark = pytest.mark.anyio
TOKEN = issuing.token()
TTL_S = 300.0


@pytest.fixture
async def cell(valkey_url: str, anyio_backend: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Parts, Parts]]:
    """Two replicas with one real Valkey, whose time is real (so is the records' life there)."""
    monkeypatch.setattr(authenticator, "FLIGHT_DEADLINE_S", 10.0)  # a busy machine needs more than a second for all of it
    hands = Hands()
    now = Clock()
    clock = Clock(lambda: hands.clock.wall(), now.monotonic)
    tiers = [RedisTier(valkey_url, Sealer(CACHE_KEY), clock, Counters()) for _ in range(2)]
    async with Redis.from_url(valkey_url) as client:
        await client.flushall()
    replicas = [Parts(hands, shared=tier) for tier in tiers]
    for replica, tier in zip(replicas, tiers, strict=True):
        await replica.jwks.refresh()
        assert await tier.ping()
    yield replicas[0], replicas[1]
    for replica, tier in zip(replicas, tiers, strict=True):
        await replica.authenticator.close()
        await tier.close()


async def test_thousand_misses_in_two_replicas_ask_the_issuer_once(cell: tuple[Parts, Parts], monkeypatch: pytest.MonkeyPatch):
    # Who waits too long for Redis or for a neighbour asks by himself, rightly; on a busy machine that would be many.
    monkeypatch.setattr(redis_tier, "READ_TIMEOUT_S", 10.0)
    monkeypatch.setattr(redis_tier, "LEASE_S", 60.0)
    monkeypatch.setattr(authenticator, "NEIGHBOUR_PAUSES_S", (0.005,) * 2000)
    callers = [asyncio.create_task(cell[number % 2].verify(TOKEN)) for number in range(1000)]
    gates = [asyncio.Event(), asyncio.Event()]
    for replica, gate in zip(cell, gates, strict=True):
        replica.issuer.gate = gate
    asked = [asyncio.create_task(replica.issuer.was_asked.wait()) for replica in cell]
    await asyncio.wait(asked, timeout=5, return_when=asyncio.FIRST_COMPLETED)
    for gate in gates:
        gate.set()
    tiers = await asyncio.gather(*callers)
    for waiting in asked:
        waiting.cancel()
    assert sum(replica.issuer.asked for replica in cell) == 1
    assert sorted(set(tiers)) == ["l2", "miss"]


async def test_lease_of_a_dead_replica_holds_nobody_up_for_longer_than_it_lives(cell: tuple[Parts, Parts], valkey_url: str):
    async with Redis.from_url(valkey_url) as client:
        await client.set(LEASE_PREFIX + Sealer(CACHE_KEY).name(TOKEN).hex().encode(), b"")  # without an end, even
    async with asyncio.timeout(5):
        assert await cell[0].verify(TOKEN) == "miss"
    assert math.isclose(sum(authenticator.NEIGHBOUR_PAUSES_S), LEASE_S)


async def test_issuer_that_fails_gives_the_lease_back(cell: tuple[Parts, Parts]):
    cell[0].issuer.fault = Unavailable("upstream", "away")
    assert await outcome_of(cell[0].verify(TOKEN)) is Unavailable
    assert await cell[1].verify(TOKEN) == "miss"
    assert cell[1].issuer.asked == 1


# Early refresh: who uses a token all the time never waits for its next confirmation.


@pytest.fixture
def parts() -> Parts:
    return Parts(ttl_s=TTL_S, early_share=0.2)


async def refreshed(parts: Parts) -> None:
    await asyncio.gather(*parts.authenticator._refreshes)


async def test_token_in_use_is_confirmed_before_its_time_is_over(parts: Parts):
    await parts.verify(TOKEN)
    for _ in range(4):
        parts.hands.forward(TTL_S - 10)
        assert await parts.verify(TOKEN) == "l1"
        await refreshed(parts)
    assert parts.issuer.asked == 5
    assert parts.counters.early_refreshes == 4


async def test_many_hits_cause_one_refresh_and_wait_for_none(parts: Parts):
    await parts.verify(TOKEN)
    parts.hands.forward(TTL_S - 10)
    parts.issuer.gate = asyncio.Event()
    assert [await parts.verify(TOKEN) for _ in range(50)] == ["l1"] * 50
    parts.issuer.gate.set()
    await refreshed(parts)
    assert parts.issuer.asked == 2


async def test_neighbour_that_refreshes_already_is_enough(parts: Parts):
    await parts.verify(TOKEN)
    parts.shared.leases.add(parts.sealer.name(TOKEN))
    parts.hands.forward(TTL_S - 10)
    await parts.verify(TOKEN)
    await refreshed(parts)
    assert parts.issuer.asked == 1


async def test_refresh_that_is_refused_ends_the_token_and_one_that_fails_does_not(parts: Parts):
    await parts.verify(TOKEN)
    parts.hands.forward(TTL_S - 10)
    parts.issuer.fault = Unavailable("upstream", "away")
    await parts.verify(TOKEN)
    await refreshed(parts)
    assert await parts.verify(TOKEN) == "l1"
    other = issuing.token(jti="other")
    parts.issuer.fault = None
    await parts.verify(other)
    parts.hands.forward(TTL_S - 10)
    parts.issuer.fault = TokenRejected("session_not_found", "gone")
    await parts.verify(other)
    await refreshed(parts)
    assert await outcome_of(parts.verify(other)) is TokenRejected


async def test_refreshes_under_way_are_bounded(parts: Parts, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(authenticator, "REFRESHES_MAX", 3)
    tokens = [issuing.token(jti=str(number)) for number in range(5)]
    for token in tokens:
        await parts.verify(token)
    parts.hands.forward(TTL_S - 10)
    parts.issuer.gate = asyncio.Event()
    for token in tokens:
        await parts.verify(token)
    assert len(parts.authenticator._refreshes) == 3
    await parts.authenticator.close()
    assert not parts.authenticator._refreshes


def test_token_that_ends_first_is_not_refreshed():
    now = 1_000_000.0
    ends = Identity("u", "s", "r", "e", now, now + 100, "k")
    lives = Identity("u", "s", "r", "e", now, now + 4000, "k")
    assert refresh_time(ends, now + 100, TTL_S, 0.2) == math.inf
    assert refresh_time(lives, now + TTL_S, TTL_S, 0.0) == math.inf
    assert now + TTL_S * 0.8 <= refresh_time(lives, now + TTL_S, TTL_S, 0.2) <= now + TTL_S * 0.85
