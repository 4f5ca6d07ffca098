"""Too much, too slow, or about to end: what is refused first, how long anybody waits, and how a connection is left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from loadtests.bench.link import linked
from service.cache import authenticator
from service.cache.authenticator import FLIGHT_DEADLINE_S
from service.cache.entries import Sealer
from service.cache.redis_tier import READ_TIMEOUT_S, RedisTier
from service.clocks import Clock
from service.database.pools import Database
from service.errors import Unavailable
from service.metrics.counters import Counters
from service.upstream import auth_api, pass_through
from service.upstream.auth_api import AuthApi
from service.upstream.pass_through import PassThrough
from service.web import front, protocol
from tests.service import issuing
from tests.service.conftest import settings_with
from tests.service.parts import CACHE_KEY, Parts, outcome_of
from tests.service.test_front import ME, ORIGIN, VERIFY, Web, bearer
from tests.service.test_slow_heads import GET, Served, answer, ended, served  # noqa: F401 - a fixture

pytestmark = pytest.mark.anyio

KNOWN, OTHERS = issuing.token(), issuing.rsa_token()


@dataclass
class Double:
    """A server under the test's hand: its port, and how many connections it has seen."""

    port: int = 0
    connections: int = 0


Respond = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[object]]


@asynccontextmanager
async def serving(respond: Respond) -> AsyncIterator[Double]:
    """Every connection is given to `respond` and ended after it; all have ended when the block is left."""
    double, tasks = Double(), set[asyncio.Task[object]]()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        double.connections += 1
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await respond(reader, writer)
            writer.close()
            await writer.wait_closed()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # whoever called hung up, or the test is over
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    double.port = server.sockets[0].getsockname()[1]
    try:
        yield double
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # an aborted connection is closed in the loop's next round


async def say_nothing(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Takes every byte and never answers."""
    await reader.read(-1)
    await asyncio.Event().wait()


async def took_s(work: Callable[[], object]) -> float:
    loop = asyncio.get_running_loop()
    began = loop.time()
    await outcome_of(work())  # type: ignore[arg-type]
    return loop.time() - began


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so():  # noqa: ASYNC110 - the parts looked at have no event to wait for
            await asyncio.sleep(0)


@pytest.fixture
async def web(anyio_backend: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Web]:
    monkeypatch.setattr(front, "UNDER_WAY_MAX", 3)
    monkeypatch.setattr(front, "CHECK_BUDGET_S", 60.0)
    monkeypatch.setattr(authenticator, "FLIGHT_DEADLINE_S", 60.0)
    web = Web(Parts())
    async with web.client, web.behind:
        yield web
    await web.auth_api.close()
    await web.upstream.close()


async def test_misses_are_shed_before_hits_and_health_is_always_told(web: Web):
    await web.parts.verify(KNOWN)
    web.parts.issuer.gate = asyncio.Event()
    waiting = [asyncio.create_task(web.client.get(VERIFY, headers=bearer(OTHERS))) for _ in range(3)]
    await web.parts.issuer.was_asked.wait()
    await until(lambda: web.front._under_way == 3)
    shed = await web.client.get(VERIFY, headers=[*bearer(issuing.token()), ("Origin", ORIGIN)])
    assert (shed.status_code, shed.json()["code"], shed.headers["retry-after"]) == (503, "temporarily_unavailable", "1")
    assert shed.headers["access-control-allow-origin"] == ORIGIN
    for path in (ME, "/auth/v1/user", "/api/v1/auth/login"):
        assert (await web.client.get(path, headers=bearer())).status_code == 503
    assert (await web.client.get(VERIFY, headers=bearer(KNOWN))).headers["x-cache"] == "l1"
    assert (await web.client.get("/health/live")).status_code == 200
    assert "cached_auth_sheds_total 4.0" in (await web.client.get("/metrics")).text
    web.parts.issuer.gate.set()
    assert {answered.status_code for answered in await asyncio.gather(*waiting)} == {200}
    assert (await web.client.get(VERIFY, headers=bearer(OTHERS))).status_code == 200


async def test_place_of_a_request_that_fails_is_free_again(web: Web):
    for _ in range(10):
        assert (await web.client.get(VERIFY, headers=bearer(b"x"))).status_code == 401
    assert web.front._under_way == 0


async def test_check_has_a_budget_whatever_hangs(web: Web, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(front, "CHECK_BUDGET_S", 0.02)
    web.parts.issuer.gate = asyncio.Event()
    answered = await web.client.get(VERIFY, headers=bearer(OTHERS))
    assert (answered.status_code, answered.headers["retry-after"]) == (503, "1")


def test_budgets_fit_into_each_other():
    """What waits inside must give up before what waits outside, or nobody would hear why."""
    assert READ_TIMEOUT_S + auth_api.USER_TIMEOUT_S < FLIGHT_DEADLINE_S <= front.CHECK_BUDGET_S


async def test_stalled_issuer_costs_one_budget_and_then_nothing_until_the_probe(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(auth_api, "USER_TIMEOUT_S", 0.05)
    async with serving(say_nothing) as double:
        counters = Counters()
        api = AuthApi(f"http://127.0.0.1:{double.port}/auth/v1", "", "anon", counters)
        asked = [api.user(b"t") for _ in range(auth_api.FAILURES_MAX)]
        assert await took_s(lambda: asyncio.gather(*map(outcome_of, asked))) < 5, "the issuer would say nothing for ever"
        assert api.breakers["user"].is_tripped
        connections = double.connections
        assert {await outcome_of(api.user(b"t")) for _ in range(50)} == {Unavailable}
        assert double.connections == connections
        assert counters.upstream_failures == auth_api.FAILURES_MAX
        assert not api.breakers["grant"].is_tripped, "log-ins have a breaker of their own"
        await api.close()


async def test_issuer_that_drips_does_not_stretch_its_budget(monkeypatch: pytest.MonkeyPatch):
    """A time-out for each read would start anew with every byte."""
    monkeypatch.setattr(auth_api, "USER_TIMEOUT_S", 0.1)

    async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with serving(drip) as double:
        api = AuthApi(f"http://127.0.0.1:{double.port}/auth/v1", "", "anon", Counters())
        assert 0.09 < await took_s(lambda: api.user(b"t")) < 10, "it would drip for half an hour"
        await api.close()


@pytest.mark.parametrize(("status", "is_tripped"), [(502, True), (503, True), (504, True), (500, False), (429, False)])
async def test_gateway_without_an_issuer_behind_it_opens_the_breaker(status: int, is_tripped: bool):
    """A 500 does not: whoever finds a request that makes one could keep everybody out with it."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 %d No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n" % status)

    async with serving(refuse) as double:
        api = AuthApi(f"http://127.0.0.1:{double.port}/auth/v1", "", "anon", Counters())
        for _ in range(auth_api.FAILURES_MAX):
            assert await outcome_of(api.user(b"t")) is Unavailable
        assert api.breakers["user"].is_tripped is is_tripped
        await api.close()


async def test_drop_in_gives_up_an_issuer_that_cannot_be_reached_and_nothing_else():
    counters = Counters()
    upstream = PassThrough("http://127.0.0.1:9", counters)

    async def ask() -> None:
        async with upstream.opened("GET", b"/auth/v1/x", []):
            pass

    for _ in range(pass_through.FAILURES_MAX + 20):
        assert await outcome_of(ask()) is Unavailable
    assert counters.upstream_failures == pass_through.FAILURES_MAX
    await upstream.close()

    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async with serving(hang_up) as double:
        upstream = PassThrough(f"http://127.0.0.1:{double.port}", counters)
        for _ in range(pass_through.FAILURES_MAX):
            assert await outcome_of(ask()) is Unavailable
        assert not upstream.breaker.is_tripped
        await upstream.close()


async def test_stalled_redis_is_a_miss_within_its_budget():
    async with serving(say_nothing) as double:
        tier = RedisTier(f"redis://127.0.0.1:{double.port}/0", Sealer(CACHE_KEY), Clock(), Counters())
        spans = [await took_s(lambda: tier.get(b"n" * 16)) for _ in range(20)]
        assert sum(spans) < 1.0, "five budgets of 10 ms, then the breaker"
        assert tier.is_given_up
        await tier.close()


async def test_stalled_database_costs_its_budget_and_then_nothing():
    async with serving(say_nothing) as double:
        counters = Counters()
        settings = settings_with(DATABASE_URL=f"postgresql://postgres:x@127.0.0.1:{double.port}/postgres")
        database = Database(settings, Clock(), counters)
        await database.open()
        for _ in range(20):
            assert await outcome_of(database.primary.fetch("SELECT 1", timeout_s=0.02)) is Unavailable
        assert database.primary.is_given_up
        assert counters.database_failures == double.connections == 3
        await database.close()


@pytest.fixture
def few_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "CONNECTIONS_MAX", 2)


@pytest.mark.usefixtures("few_connections")
async def test_connection_beyond_the_bound_is_told_to_come_back(served: Served):  # noqa: F811
    first, second, third = [(await served.connected(GET))[0] for _ in range(3)]
    assert (await answer(first)).startswith(b"HTTP/1.1 200")
    assert (await answer(second)).startswith(b"HTTP/1.1 200")
    refused = await ended(third)
    assert refused.startswith(b"HTTP/1.1 503")
    assert b"retry-after: 1" in refused


def shut_down(served: Served) -> None:  # noqa: F811
    for connection in list(served.server.server_state.connections):
        connection.shutdown()


async def test_idle_connection_is_closed_a_moment_after_the_end_began(served: Served):  # noqa: F811
    reader, _ = await served.connected(GET)
    await answer(reader)
    shut_down(served)
    assert await ended(reader) == b""


async def test_request_that_was_on_its_way_is_answered_and_told_to_go_elsewhere(served: Served):  # noqa: F811
    """uvicorn's own shutdown would close under it, and whoever sent it could not know whether it was done."""
    reader, writer = await served.connected(GET)
    await answer(reader)
    shut_down(served)
    writer.write(GET)
    last = await ended(reader)
    assert last.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in last


@pytest.mark.parametrize("cut", [1, 20, len(GET) - 1])
async def test_head_that_was_half_read_is_finished(served: Served, cut: int):  # noqa: F811
    reader, writer = await served.connected(GET + GET[:cut])
    await answer(reader)
    connection = next(iter(served.server.server_state.connections))
    await until(lambda: connection._is_head_open)
    shut_down(served)
    writer.write(GET[cut:])
    last = await ended(reader)
    assert last.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in last


async def test_request_under_way_is_finished(served: Served):  # noqa: F811
    reader, _ = await served.connected(GET.replace(b"/ ", b"/slow "))
    await until(lambda: bool(served.server.server_state.tasks))
    shut_down(served)
    served.may_answer.set()
    last = await ended(reader)
    assert last.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in last


async def test_database_that_stalls_in_the_middle_costs_its_budget_once(database_url: str):
    """asyncpg waits for a cancelled statement's end, over a second connection, for as long again."""
    async with linked(database_url) as (url, link):
        database = Database(settings_with(DATABASE_URL=url), Clock(), Counters())
        await database.open()
        await database.primary.fetch("SELECT 1")
        link.freeze()
        assert 0.95 < await took_s(lambda: database.primary.fetch("SELECT 1", timeout_s=1.0)) < 1.95
        link.mend()
        assert await database.primary.fetch("SELECT 1")
        await database.close()
