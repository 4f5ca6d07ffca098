"""Rate limits and lock-outs: the arithmetic's laws, Lua held to Python, and what an attacker gets and an owner keeps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from redis.asyncio import Redis

from service.clocks import Clock
from service.errors import TooManyRequests, Unavailable
from service.limits.arithmetic import SECOND_US, Lockout, Strikes, left, pardoned, per, struck, taken, wait_us
from service.limits.gate import Gate, limit_headers, network_of, normal_account, outcome_of
from service.limits.local_store import LocalStore
from service.limits.redis_store import CONNECTIONS_WARM, FAILURES_MAX, PREFIX, RedisStore
from service.limits.rules import Names, Outcome, Rules, Verdict, read_rules
from service.metrics.counters import Counters
from service.web.callers import address_of
from tests.service.conftest import settings_with
from tests.service.parts import CACHE_KEY, Hands

pytestmark = pytest.mark.anyio

RULES = read_rules(settings_with())
TIGHT = Rules(
    per(6, 60),
    per(6, 60),
    per(4, 3600),
    Lockout(2, 4 * SECOND_US, 64 * SECOND_US, 900 * SECOND_US),
    Lockout(3, 4 * SECOND_US, 64 * SECOND_US, 60 * SECOND_US),
)
VICTIM, OTHER = "ann@example.com", "bob@example.com"
HOME, ELSEWHERE = "192.0.2.1", "198.51.100.1"


@given(some.integers(1, 1000), some.integers(1, 3600), some.lists(some.integers(0, 10 * SECOND_US), max_size=60))
def test_no_span_holds_more_than_the_burst_and_what_it_lets_in(count: int, period_s: int, gaps_us: list[int]):
    """GCRA's promise: within any time t at most burst + t / interval requests are let in."""
    rate, now, full_at, passed = per(count, period_s), 10**15, 0, list[int]()
    for gap in gaps_us:
        now += gap
        if not wait_us(full_at, now, rate):
            full_at = taken(full_at, now, rate)
            passed.append(now)
            assert left(full_at, now, rate) >= 0
    for first, began in enumerate(passed):
        for last in range(first, len(passed)):
            assert last - first + 1 <= rate.burst + (passed[last] - began) // rate.interval_us + 1


@given(some.integers(1, 600), some.integers(0, 10**9))
def test_waiting_as_long_as_told_is_long_enough_and_not_too_long(count: int, ahead_us: int):
    rate, now = per(count, 60), 10**15
    wait = wait_us(now + ahead_us, now, rate)
    assert wait_us(now + ahead_us, now + wait, rate) == 0
    assert wait == 0 or wait_us(now + ahead_us, now + wait - 1, rate) > 0


def test_locks_double_up_to_their_bound_and_failures_leak_away():
    rule = TIGHT.pair_lockout
    strikes, now, locks = Strikes(), 10**15, []
    for _ in range(9):
        strikes = struck(strikes, now, rule)
        locks.append(max(0, strikes.locked_until_us - now) // SECOND_US)
    assert locks == [0, 0, 4, 8, 16, 32, 64, 64, 64]
    assert struck(strikes, now + 9 * rule.leak_us, rule).count == 1
    assert pardoned(Strikes(3, now, now + 99), now, rule) == Strikes(2, now, 0)


class Pair:
    """The same requests to both stores at the same moments."""

    def __init__(self, shared: RedisStore, hands: Hands) -> None:
        self.shared = shared
        self.hands = hands
        self.local = LocalStore(TIGHT, self.now_us)

    def now_us(self) -> int:
        return int(self.hands.clock.wall() * 1_000_000)


@pytest.fixture
async def redis_store(valkey_url: str, anyio_backend: str) -> AsyncIterator[RedisStore]:
    async with Redis.from_url(valkey_url) as client:
        await client.flushall()
    hands, counters = Hands(), Counters()
    alone = LocalStore(TIGHT, lambda: 0)
    store = RedisStore(valkey_url, TIGHT, alone, hands.clock, counters, round_trip_s=5.0)
    yield store
    await store.close()


SCRIPTED = some.lists(
    some.tuples(
        some.integers(0, 40),  # seconds that pass
        some.sampled_from(["take", "attempt"]),
        some.sampled_from([VICTIM, OTHER]),
        some.sampled_from([HOME, ELSEWHERE]),
        some.sampled_from(["success", "failure", "failure", "failure", "neither"]),
    ),
    min_size=40,
    max_size=40,
)


async def test_lua_and_python_decide_alike_to_the_microsecond(redis_store: RedisStore):
    """Two programs for one rule are two chances to be wrong; here neither may be wrong alone."""
    both = Pair(redis_store, Hands())
    scripts: list[list[Any]] = []
    given(SCRIPTED)(lambda steps: scripts.append(steps))()
    refused = 0
    for number, steps in enumerate(scripts[:12]):
        for gap_s, kind, account, address, outcome in steps:
            both.hands.forward(gap_s / 4)
            now_us = both.now_us()
            names = Names(f"{number}-{address}", f"{number}-{account}", f"{number}-{account}-{address}")
            if kind == "take":
                here = await both.local.take(names.address, TIGHT.address)
                there = await both.shared.take(names.address, TIGHT.address, now_us)
            else:
                here, there = await both.local.attempt(names), await both.shared.attempt(names, now_us)
            assert _plain(here) == _plain(there)
            assert there.is_shared
            refused += not here.is_allowed
            if kind == "attempt" and here.is_allowed:
                await both.local.settle(names, here, outcome)
                await both.shared.settle(names, there, outcome, now_us)
    assert refused > 30, "the scripts would prove nothing if all were let in"


def _plain(verdict: Verdict) -> tuple[object, ...]:
    return (verdict.reason, verdict.wait_us, verdict.limit, verdict.left, verdict.full_in_us)


async def test_everything_in_redis_ends_by_itself_and_names_nobody(valkey_url: str, redis_store: RedisStore):
    gate = Gate(redis_store, TIGHT, CACHE_KEY, Counters())
    await (await gate.log_in(VICTIM, HOME)).ended("success")
    await (await gate.log_in(VICTIM, ELSEWHERE)).ended("failure")
    await gate.refresh(HOME)
    async with Redis.from_url(valkey_url) as client:
        keys = await client.keys("*")
        assert len(keys) >= 6
        for key in keys:
            assert await client.pttl(key) > 0, key
            assert b"ann" not in key
            assert b"192.0" not in key


async def test_replicas_of_a_cell_share_one_limit(valkey_url: str, redis_store: RedisStore):
    another = RedisStore(valkey_url, TIGHT, LocalStore(TIGHT, lambda: 0), Clock(), Counters(), round_trip_s=5.0)
    here, there = (Gate(store, TIGHT, CACHE_KEY, Counters()) for store in (redis_store, another))
    for _ in range(3):
        await here.ask(HOME)
        await there.ask(HOME)
    with pytest.raises(TooManyRequests) as caught:
        await here.ask(HOME)
    assert 0 < caught.value.retry_after_s <= 10
    await another.close()


async def test_without_redis_each_replica_grants_its_share_at_once():
    hands, counters = Hands(), Counters()
    alone = LocalStore(TIGHT.divided(2), lambda: int(hands.clock.wall() * 1_000_000))
    store = RedisStore("redis://127.0.0.1:9/0", TIGHT, alone, hands.clock, counters)
    gate = Gate(store, TIGHT.divided(2), CACHE_KEY, counters)
    for _ in range(3):
        await gate.ask(HOME)
    with pytest.raises(TooManyRequests):
        await gate.ask(HOME)
    for _ in range(20):
        with pytest.raises(TooManyRequests):
            await gate.ask(HOME)
    assert counters.limit_failures == FAILURES_MAX, "the breaker keeps us from asking again and again"
    assert counters.limited == {"address": 21}
    await store.close()


class World:
    """A gate over memory with a clock under the test's hand; `try_` is one log-in."""

    def __init__(self, rules: Rules = RULES) -> None:
        self.hands = Hands()
        self.counters = Counters()
        self.gate = Gate(LocalStore(rules, lambda: int(self.hands.clock.wall() * 1_000_000)), rules, CACHE_KEY, self.counters)

    async def try_(self, account: str, address: str, outcome: Outcome = "failure") -> int:
        """0 where it may be tried, else the seconds to wait."""
        try:
            attempt = await self.gate.log_in(account, address)
        except TooManyRequests as refusal:
            return refusal.retry_after_s
        await attempt.ended(outcome)
        return 0

    async def hammer(self, account: str, address: str, times: int) -> int:
        """How many of `times` tries, one after the other without a pause, were let through."""
        return sum([await self.try_(account, address) == 0 for _ in range(times)])


async def test_one_pair_is_locked_for_longer_each_time_and_its_owner_gets_in_after_waiting():
    world, waits = World(), []
    for _ in range(RULES.pair_lockout.free + 4):
        waits.append(await world.try_(VICTIM, ELSEWHERE))
        if wait := await world.try_(VICTIM, ELSEWHERE) if len(waits) > RULES.pair_lockout.free else 0:
            waits[-1] = wait
            world.hands.forward(wait)
    assert waits == [0, 0, 0, 0, 0, 5, 10, 20, 40]
    assert await world.try_(VICTIM, ELSEWHERE, "success") == 0
    assert await world.hammer(VICTIM, ELSEWHERE, 5) == 5, "a success wipes the slate"


async def test_knocking_while_locked_does_not_lock_for_longer():
    world = World()
    await world.hammer(VICTIM, ELSEWHERE, 500)
    assert await world.try_(VICTIM, ELSEWHERE) == 5


async def test_stuffing_from_one_address_is_locked_after_its_failures():
    world = World()
    passed = sum([await world.try_(f"user-{number}@example.com", ELSEWHERE) == 0 for number in range(300)])
    assert passed == RULES.address_lockout.free + 1
    assert world.counters.limited == {"address_locked": 300 - passed}


async def test_attackers_everywhere_cannot_keep_the_owner_out_of_where_she_has_been():
    """The denial of service that a lock by account would hand to everybody who knows an address."""
    world = World()
    assert await world.try_(VICTIM, HOME, "success") == 0
    passed = sum([await world.hammer(VICTIM, f"203.0.113.{number}", 10) for number in range(100)])
    assert passed <= RULES.account.burst, "strangers together have so many guesses an hour"
    assert await world.try_(VICTIM, "203.0.113.250", "success") > 0, (
        "from where she never was she has to wait, or use a magic link"
    )
    assert await world.try_(VICTIM, HOME, "success") == 0
    assert await world.try_(OTHER, "203.0.113.251", "success") == 0


async def test_neighbour_behind_the_same_address_cannot_lock_out_who_logs_in_there_daily():
    world = World()
    assert await world.try_(VICTIM, HOME, "success") == 0
    for number in range(80):
        await world.try_(f"user-{number}@example.com", HOME)
    assert await world.try_("new@example.com", HOME, "success") > 0
    assert await world.try_(VICTIM, HOME, "success") == 0


async def test_thousand_at_the_same_time_do_not_slip_through_before_the_first_has_failed():
    world, let_in = World(), 0
    for _ in range(1000):
        try:
            await world.gate.log_in(VICTIM, ELSEWHERE)  # and no outcome yet
        except TooManyRequests:
            continue
        let_in += 1
    assert let_in == RULES.pair_lockout.free + 1


async def test_faults_of_ours_are_nobodys_failures():
    world = World()
    for _ in range(40):
        assert await world.try_(VICTIM, HOME, "neither") == 0
    assert await world.hammer(VICTIM, HOME, 6) == 6


async def test_unknown_and_known_accounts_are_treated_alike():
    """Whatever an attacker may learn from waits and headers, it is not who has an account."""
    seen = []
    for account in (VICTIM, "nobody@example.com"):
        world = World()
        seen.append([await world.try_(account, ELSEWHERE) for _ in range(10)])
    assert seen[0] == seen[1]


async def test_refresh_beyond_its_limit_is_503_because_a_429_would_log_out():
    world = World(TIGHT)
    for _ in range(6):
        await world.gate.refresh(HOME)
    with pytest.raises(Unavailable) as caught:
        await world.gate.refresh(HOME)
    assert caught.value.retry_after_s == 10
    await world.gate.ask(HOME)


async def test_limits_of_nought_are_off():
    off = read_rules(
        settings_with(
            RATE_LIMIT_ADDRESS_PER_MINUTE="0",
            RATE_LIMIT_REFRESH_PER_MINUTE="0",
            RATE_LIMIT_ACCOUNT_PER_HOUR="0",
            LOCKOUT_PAIR_FAILURES="0",
            LOCKOUT_ADDRESS_FAILURES="0",
        )
    )
    world = World(off)
    assert await world.hammer(VICTIM, HOME, 2000) == 2000
    assert limit_headers(await world.gate.ask(HOME)) == []


def test_headers_tell_what_is_left():
    told = dict(limit_headers(Verdict("", 0, 300, 299, 200_000)))
    assert told == {b"x-ratelimit-limit": b"300", b"x-ratelimit-remaining": b"299", b"x-ratelimit-reset": b"1"}
    assert dict(limit_headers(Verdict("pair_locked", 5_000_000, 300, 299, 0)))[b"x-ratelimit-remaining"] == b"0"


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("", ""),
    ],
)
def test_one_customer_is_one_caller(address: str, network: str):
    """Counted by whole addresses, IPv6 would give every attacker 2^64 of them."""
    assert network_of(address) == network


def test_spellings_of_one_account_are_one_account():
    assert {normal_account(text) for text in ("Ann@Example.com", " ann@example.com ", "ANN@EXAMPLE.COM")} == {VICTIM}
    assert normal_account("+49 170 1234") == normal_account("491701234")
    dotted, greek = "\u0130NES@example.com", "\u03a0\u0391\u03a3@example.com"
    assert normal_account(dotted) == "ines@example.com", "as Go's ToLower; Python's makes two characters of it"
    assert normal_account(greek) == normal_account(greek.replace("\u03a3", "\u03c3")), "Go knows one small sigma only"
    assert {normal_account(" " * count + "+49 170 1234") for count in (0, 1, 1020, 2000)} == {"491701234"}
    assert normal_account("ann+tag@example.com") != VICTIM, "the issuer takes these for two"


@pytest.mark.parametrize(
    ("status", "code", "outcome"),
    [
        (200, "", "success"),
        (400, "invalid_credentials", "failure"),
        (400, "email_not_confirmed", "neither"),
        (429, "over_request_rate_limit", "neither"),
        (503, "invalid_credentials", "neither"),
        (500, "", "neither"),
    ],
)
def test_only_a_definite_wrong_is_a_failure(status: int, code: str, outcome: Outcome):
    assert outcome_of(status, code) == outcome


async def test_connections_and_scripts_are_there_before_they_are_needed(valkey_url: str, redis_store: RedisStore):
    """A connection does not fit into a request's ten milliseconds; without this a cold pool would stay cold for ever."""
    async with Redis.from_url(valkey_url) as client:
        await client.script_flush()
        before = len(await client.client_list())
        assert await redis_store.warm()
        assert len(await client.client_list()) - before >= CONNECTIONS_WARM
        loaded = await client.script_exists(
            *(script.sha for script in (redis_store._take, redis_store._attempt, redis_store._settle))
        )
    assert loaded == [True, True, True]


async def test_failure_makes_it_warm_up_again_and_close_the_breaker():
    store = RedisStore("redis://127.0.0.1:9/0", TIGHT, LocalStore(TIGHT, lambda: 0), Clock(), Counters())
    for _ in range(FAILURES_MAX):
        await store.take("a", TIGHT.address)
    assert store.breaker.is_tripped
    assert store._is_cold.is_set()
    assert not await store.warm()
    assert store.breaker.is_tripped
    await store.close()


async def test_redis_that_comes_back_is_used_again(valkey_url: str, redis_store: RedisStore):
    for _ in range(FAILURES_MAX):
        redis_store.breaker.failed()
    running = asyncio.create_task(redis_store.run())
    async with asyncio.timeout(10):
        while redis_store.breaker.is_tripped:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert (await redis_store.take("a", TIGHT.address)).is_shared


@pytest.mark.parametrize("is_heard", [False, True], ids=["attempt decided alone", "outcome not heard"])
async def test_success_that_redis_did_not_hear_of_is_told_again(valkey_url: str, redis_store: RedisStore, is_heard: bool):
    """A script whose answer comes too late has counted a failure all the same; it must not lock out who logs in often."""
    names = Names("address", "account", "pair")
    verdicts = [await redis_store.attempt(names) for _ in range(TIGHT.pair_lockout.free + 2)]
    assert verdicts[-1].reason == "pair_locked"
    for _ in range(FAILURES_MAX):
        redis_store.breaker.failed()
    await redis_store.settle(names, replace(verdicts[0], is_shared=is_heard), "success")
    running = asyncio.create_task(redis_store.run())
    async with asyncio.timeout(10), Redis.from_url(valkey_url) as client:
        while not await client.exists(f"{PREFIX}known:pair"):  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0)
        assert not await client.exists(f"{PREFIX}strikes:pair")
    verdict = await redis_store.attempt(names)
    assert (verdict.is_allowed, verdict.is_shared) == (True, True)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def test_address_with_a_zone_is_nobodys_word():
    """A zone may be any text; it would go on to the issuer in a header that is read as a list."""
    assert address_of([(b"x-real-ip", b"fe80::1%x, 192.0.2.9")], "198.51.100.1") == "198.51.100.1"
    assert address_of([(b"x-real-ip", b"2001:db8::1")], "198.51.100.1") == "2001:db8::1"
