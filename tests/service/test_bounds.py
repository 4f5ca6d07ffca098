"""Everything is bounded: flights, questions to the issuer, breakers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from service.breaker import Breaker
from service.cache.flights import Flights
from service.errors import TokenRejected, Unavailable
from service.metrics.counters import Counters
from service.upstream.auth_api import UNDER_WAY_MAX, AuthApi
from tests.service.parts import Hands, outcome_of

pytestmark = pytest.mark.anyio


async def test_flights_beyond_the_bound_are_shed_and_hits_are_not_flights():
    flights: Flights[int] = Flights(2, 5.0)
    gate = asyncio.Event()

    async def work() -> int:
        await gate.wait()
        return 1

    under_way = [asyncio.create_task(flights.run(key, work)) for key in "ab"]
    await asyncio.sleep(0)
    assert await outcome_of(flights.run("c", work)) is Unavailable
    joined = asyncio.create_task(flights.run("a", work))
    await asyncio.sleep(0)
    gate.set()
    assert await asyncio.gather(*under_way, joined) == [1, 1, 1]
    assert len(flights) == 0


async def test_flight_has_a_deadline():
    flights: Flights[int] = Flights(2, 0.01)

    async def work() -> int:
        await asyncio.Event().wait()
        return 1

    assert await outcome_of(flights.run("a", work)) is Unavailable
    assert len(flights) == 0


async def test_error_reaches_every_caller_and_is_not_remembered():
    flights: Flights[int] = Flights(2, 5.0)
    calls = 0

    async def work() -> int:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0)
        raise TokenRejected("bad_jwt", "no")

    outcomes = await asyncio.gather(*(outcome_of(flights.run("a", work)) for _ in range(3)))
    assert outcomes == [TokenRejected] * 3
    assert calls == 1
    assert await outcome_of(flights.run("a", work)) is TokenRejected
    assert calls == 2


@pytest.mark.parametrize("lane", ["user", "strict", "opaque", "grant"])
async def test_questions_to_the_issuer_are_bounded(lane: str, monkeypatch: pytest.MonkeyPatch):
    """An issuer that never answers: the bound, not the deadline, must protect us."""
    counters = Counters()
    api = AuthApi("http://127.0.0.1:9/auth/v1", "", "anon", counters)

    async def never(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(api._server, "exchange", never)

    def ask() -> asyncio.Task[object]:
        return asyncio.create_task(ways[lane]())

    ways: dict[str, Callable[[], Coroutine[Any, Any, object]]] = {
        "user": lambda: api.user(b"t"),
        "strict": lambda: api.strict_user(b"t"),
        "opaque": lambda: api.opaque_user(b"t"),
        "grant": lambda: api.grant("password", {}, ""),
    }
    asked = [ask() for _ in range(UNDER_WAY_MAX[lane])]
    await asyncio.sleep(0)
    assert await outcome_of(ask()) is Unavailable
    assert counters.sheds == 1
    assert sum(api._under_way.values()) == UNDER_WAY_MAX[lane], "and nobody else's place is taken"
    for task in asked:
        task.cancel()
    await asyncio.gather(*asked, return_exceptions=True)
    assert api._under_way[lane] == 0
    await api.close()


def test_breaker_opens_pauses_and_lets_one_through():
    hands = Hands()
    breaker = Breaker(2, 1.0, hands.clock.monotonic)
    breaker.failed()
    assert not breaker.is_open
    breaker.failed()
    assert breaker.is_open
    hands.forward(1.0)
    assert not breaker.is_open, "the probe"
    assert breaker.is_open, "everybody else"
    breaker.succeeded()
    assert not breaker.is_open
