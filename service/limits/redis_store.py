"""Limits in the cell's Redis: one script, one round trip, ROUND_TRIP_S at most; without Redis, this process's share.

Ten milliseconds are enough for a question and too few for a connection (TCP, TLS, AUTH), so none is made on a request's time
while one can be had before: `run` opens some, and has the scripts loaded, at start and after every failure.

A limit that failed open would be none for whoever can slow Redis down, and one that failed closed would log everybody out of
logging in. So each process goes on alone with its part of the rates (RATE_LIMIT_REPLICAS).

A script whose answer comes too late has run all the same: the attempt it counted as a failure was then allowed by this process
alone, and nobody would take it back. A few of those would lock out who logs in often and without a mistake. So a success that
Redis may not know of is told once more by `run`, which does no harm where it does know: it ends the pair's strikes either way.
"""

from __future__ import annotations

import asyncio
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from service.breaker import Breaker
from service.clocks import Clock
from service.limits.arithmetic import Lockout, Rate
from service.limits.local_store import LocalStore
from service.limits.rules import KNOWN_S, Names, Outcome, Rules, Verdict
from service.limits.scripts import ATTEMPT, SETTLE, TAKE
from service.metrics.counters import Counters

PREFIX = "cached-auth:limits:"
ROUND_TRIP_S = 0.010
CONNECT_TIMEOUT_S = 0.250
CONNECTIONS_MAX = 16
CONNECTIONS_WARM = 4
WARM_TIMEOUT_S = 1.0
WARM_EVERY_S = 1.0
FAILURES_MAX = 5
PAUSE_S = 1.0
SERVER_TIME = 0
OWED_MAX = 1_000
_UNCOUNTED = Rate(0, 0)


class RedisStore:
    """`rules` hold for the cell, `alone` for this process without it. Create inside the running loop."""

    def __init__(
        self, url: str, rules: Rules, alone: LocalStore, clock: Clock, counters: Counters, round_trip_s: float = ROUND_TRIP_S
    ) -> None:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS_MAX,
            timeout=round_trip_s,
            socket_timeout=CONNECT_TIMEOUT_S,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )
        self._redis = Redis.from_pool(pool)
        self._take = self._redis.register_script(TAKE)
        self._attempt = self._redis.register_script(ATTEMPT)
        self._settle = self._redis.register_script(SETTLE)
        self._rules = rules
        self._alone = alone
        self._counters = counters
        self._round_trip_s = round_trip_s
        self.breaker = Breaker(FAILURES_MAX, PAUSE_S, clock.monotonic)
        self._is_cold = asyncio.Event()
        self._is_cold.set()
        # By pair: a success that Redis may not know of, and the account's rate that it may have counted for it.
        self._owed: dict[str, tuple[Names, Rate]] = {}

    async def take(self, name: str, rate: Rate, now_us: int = SERVER_TIME) -> Verdict:
        answer = await self._run(self._take, [_bucket(name)], [now_us, *_rate(rate)])
        return await self._alone.take(name, rate) if answer is None else _verdict(answer)

    async def attempt(self, names: Names, now_us: int = SERVER_TIME) -> Verdict:
        rules = self._rules
        keys = [
            _bucket(names.address),
            _bucket(names.account),
            _strikes(names.pair),
            _strikes(names.address),
            _known(names.pair),
        ]
        arguments = [now_us, *_rate(rules.address), *_rate(rules.account), *_lockout(rules.pair_lockout)]
        answer = await self._run(self._attempt, keys, arguments)
        return await self._alone.attempt(names) if answer is None else _verdict(answer)

    async def settle(self, names: Names, verdict: Verdict, outcome: Outcome, now_us: int = SERVER_TIME) -> None:
        if verdict.is_shared:
            account = self._rules.account
            is_told = await self._run(self._settle, *self._settlement(names, outcome, account, now_us)) is not None
        else:
            await self._alone.settle(names, verdict, outcome)
            account, is_told = _UNCOUNTED, False
        if outcome == "success" and not is_told and len(self._owed) < OWED_MAX:
            self._owed[names.pair] = names, account
            self._is_cold.set()

    def _settlement(self, names: Names, outcome: Outcome, account: Rate, now_us: int) -> tuple[list[str], list[Any]]:
        """Keys and arguments of SETTLE."""
        pair = self._rules.pair_lockout
        keys = [_bucket(names.account), _strikes(names.pair), _strikes(names.address), _known(names.pair)]
        arguments = [now_us, outcome, *_rate(account), pair.free, pair.leak_us, KNOWN_S]
        return keys, [*arguments, *_lockout(self._rules.address_lockout)]

    async def run(self) -> None:
        """Keeps connections open and scripts loaded, and tells of successes that were not heard, until cancelled."""
        while True:
            await self._is_cold.wait()
            if await self.warm():
                await self._pay()
            await asyncio.sleep(WARM_EVERY_S)

    async def warm(self) -> bool:
        """Opens connections and loads the scripts; False where Redis does not answer."""
        try:
            async with asyncio.timeout(WARM_TIMEOUT_S):
                for script in (self._take, self._attempt, self._settle):
                    await self._redis.script_load(script.script)
                await asyncio.gather(*(self._redis.ping() for _ in range(CONNECTIONS_WARM)))
        except (RedisError, OSError, TimeoutError):
            return False
        self._is_cold.clear()
        self.breaker.succeeded()
        return True

    async def _pay(self) -> None:
        try:
            async with asyncio.timeout(WARM_TIMEOUT_S):
                for pair, (names, account) in list(self._owed.items()):
                    keys, arguments = self._settlement(names, "success", account, SERVER_TIME)
                    await self._settle(keys=keys, args=arguments)
                    self._owed.pop(pair, None)
        except (RedisError, OSError, TimeoutError):
            self._is_cold.set()

    async def close(self) -> None:
        await self._redis.aclose()

    async def _run(self, script: Any, keys: list[str], arguments: list[Any]) -> Any:
        """What the script answered; None where Redis did not, in time."""
        if self.breaker.is_open:
            return None
        try:
            async with asyncio.timeout(self._round_trip_s):
                answer = await script(keys=keys, args=arguments)
        except (RedisError, OSError, TimeoutError):
            self._counters.limit_failures += 1
            self.breaker.failed()
            self._is_cold.set()
            return None
        self.breaker.succeeded()
        return answer


def _bucket(name: str) -> str:
    return f"{PREFIX}bucket:{name}"


def _strikes(name: str) -> str:
    return f"{PREFIX}strikes:{name}"


def _known(name: str) -> str:
    return f"{PREFIX}known:{name}"


def _rate(rate: Rate) -> list[int]:
    return [rate.interval_us, rate.burst]


def _lockout(rule: Lockout) -> list[int]:
    return [rule.free, rule.base_us, rule.max_us, rule.leak_us]


def _verdict(answer: Any) -> Verdict:
    reason, wait_us, limit, left, full_in_us = answer
    return Verdict(reason.decode(), int(wait_us), int(limit), int(left), int(full_in_us), is_shared=True)
