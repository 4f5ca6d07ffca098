"""The HTTP client: what is sent again, after how long, and what never is. Time and dice are passed in."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from infra.provider.errors import Conflict, NotAuthorized, RemoteError, RemoteFault, Stopped, Throttled, Unreachable, WaitTooLong
from infra.provider.retry import RetryPolicy
from infra.provider.transport import Request, Transport, request_id, retry_after_s
from infra.railway.faults import data_of

pytestmark = pytest.mark.anyio


class Line:
    """A wire that answers from a list, and a clock that moves only when somebody sleeps."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.sent: list[httpx.Request] = []
        self.waits: list[float] = []
        self.now = 1000.0

    async def handle(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds

    def transport(self, **options: Any) -> Transport:
        return Transport(
            {"authorization": "Bearer very-secret-token"},
            sleep=self.sleep,
            clock=lambda: self.now,
            wall_clock=lambda: 1_700_000_000.0 + self.now,
            dice=lambda: 0.5,
            wire=httpx.MockTransport(self.handle),
            **options,
        )


def good(**data: Any) -> httpx.Response:
    return httpx.Response(200, json={"data": data})


def graphql_error(message: str, code: str = "INTERNAL_SERVER_ERROR", **headers: str) -> httpx.Response:
    return httpx.Response(200, json={"errors": [{"message": message, "extensions": {"code": code}}]}, headers=headers)


QUERY = Request("project", "POST", "http://127.0.0.1:9/graphql", is_query=True, json={})
CHANGE = Request("projectCreate", "POST", "http://127.0.0.1:9/graphql", is_query=False, json={})


def judge(response: httpx.Response) -> dict[str, Any]:
    return data_of(response, "project")


async def ask(line: Line, request: Request, **options: Any) -> dict[str, Any]:
    transport = line.transport(**options)
    try:
        return await transport.ask(request, judge)
    finally:
        await transport.close()


@pytest.mark.parametrize(
    "failure",
    [
        httpx.Response(500, text="oops"),
        httpx.Response(503, text="away"),
        httpx.ConnectError("refused"),
        httpx.ReadError("reset"),
        httpx.ReadTimeout("late"),
        httpx.RemoteProtocolError("cut"),
        graphql_error("Problem processing request"),
        graphql_error("Rate limit exceeded"),
        httpx.Response(429),
    ],
    ids=str,
)
async def test_query_is_sent_again(failure: httpx.Response | Exception) -> None:
    line = Line(failure, good(id=1))
    assert await ask(line, QUERY) == {"id": 1}
    assert line.waits == [0.2]


@pytest.mark.parametrize(
    "refusal",
    [
        httpx.ConnectError("refused"),
        httpx.ConnectTimeout("late"),
        httpx.Response(429),
        graphql_error("creating projects too quickly"),
        graphql_error("operation is already in progress"),
    ],
    ids=str,
)
async def test_change_that_was_never_carried_out_is_sent_again(refusal: httpx.Response | Exception) -> None:
    line = Line(refusal, good(id=1))
    assert await ask(line, CHANGE) == {"id": 1}


@pytest.mark.parametrize(
    "lost",
    [
        httpx.ReadError("reset"),
        httpx.ReadTimeout("late"),
        httpx.WriteError("cut"),
        httpx.Response(502),
        graphql_error("Problem processing request"),
    ],
    ids=str,
)
async def test_change_of_unknown_outcome_is_never_sent_blindly(lost: httpx.Response | Exception) -> None:
    line = Line(lost, good(id=1))
    with pytest.raises(RemoteFault):
        await ask(line, CHANGE)
    assert len(line.sent) == 1


async def test_change_looks_before_it_repeats() -> None:
    """Not there after the first loss: sent again. There after the second: taken as it is."""
    looks: list[dict[str, Any] | None] = [None, {"id": "found"}]

    async def settled() -> dict[str, Any] | None:
        return looks.pop(0)

    line = Line(httpx.ReadError("reset"), httpx.Response(502), good(id="a third one"))
    transport = line.transport()
    assert await transport.change(CHANGE, judge, settled) == {"id": "found"}
    assert len(line.sent) == 2
    assert len(line.waits) == 2, "a look comes after a wait, because reads may lag behind"
    await transport.close()


async def test_refusal_after_a_lost_answer_is_looked_into() -> None:
    """Lost, not to be seen yet, sent again, and refused as existing: what exists is ours."""
    looks: list[dict[str, Any] | None] = [None, {"id": "ours"}]

    async def settled() -> dict[str, Any] | None:
        return looks.pop(0)

    line = Line(httpx.ReadError("reset"), graphql_error('A service named "x" already exists in this project'))
    transport = line.transport()
    assert await transport.change(CHANGE, judge, settled) == {"id": "ours"}
    await transport.close()


async def test_first_refusal_is_final() -> None:
    """Without a lost answer before it, `already exists` is somebody else's."""

    async def settled() -> dict[str, Any] | None:
        raise AssertionError("nothing to look for")

    line = Line(graphql_error('A service named "x" already exists in this project'))
    transport = line.transport()
    with pytest.raises(Conflict):
        await transport.change(CHANGE, judge, settled)
    await transport.close()


@pytest.mark.parametrize("found", [{"id": "ours"}, None])
async def test_stop_in_the_wait_after_a_lost_answer_still_looks(found: dict[str, Any] | None) -> None:
    """The engine cancels just then: what was made must not be lost with its id."""

    async def stopped(seconds: float) -> None:
        raise Stopped("cancelled")

    async def settled() -> dict[str, Any] | None:
        return found

    line = Line(httpx.ReadError("reset"))
    transport = Transport({}, sleep=stopped, dice=lambda: 0.5, wire=httpx.MockTransport(line.handle))
    if found is None:
        with pytest.raises(Stopped):
            await transport.change(CHANGE, judge, settled)
    else:
        assert await transport.change(CHANGE, judge, settled) == found
    await transport.close()


async def test_endless_answers_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.provider.transport.BODY_BYTES_MAX", 1000)
    line = Line(*[httpx.Response(200, content=b"x" * 1001) for _ in range(6)])
    with pytest.raises(RemoteFault, match="longer than 1000 bytes"):
        await ask(line, QUERY)


async def test_compressed_answers_are_read() -> None:
    content = gzip.compress(b'{"data": {"id": 1}}')
    line = Line(httpx.Response(200, content=content, headers={"content-encoding": "gzip"}))
    assert await ask(line, QUERY) == {"id": 1}


@pytest.mark.parametrize(
    "failure",
    [graphql_error("Not Authorized"), graphql_error("x", "BAD_USER_INPUT"), graphql_error("Service not found")],
    ids=["token", "input", "missing"],
)
async def test_final_answers_are_final(failure: httpx.Response) -> None:
    line = Line(failure)
    with pytest.raises(RemoteError):
        await ask(line, QUERY)
    assert not line.waits


async def test_retry_after_is_respected_to_the_second_and_spread() -> None:
    line = Line(httpx.Response(429, headers={"retry-after": "20"}), good())
    await ask(line, QUERY)
    assert line.waits == [20 * 1.125]


async def test_wait_that_would_pass_the_deadline_is_not_begun() -> None:
    """Better to say at once that the API asks for an hour than to hang for two minutes first."""
    line = Line(httpx.Response(429, headers={"retry-after": "3600"}))
    with pytest.raises(
        WaitTooLong, match=r"the API asks to wait for 3600 s more, railway:waitSeconds allows 120 s: raise it"
    ) as caught:
        await ask(line, QUERY, patience_setting="railway:waitSeconds")
    assert caught.value.retry_after_s == 3600
    assert not line.waits


async def test_the_setting_says_how_long_is_waited() -> None:
    line = Line(httpx.Response(429, headers={"retry-after": "3600"}), good())
    await ask(line, QUERY, patience_s=5000)
    assert line.waits == [3600 * 1.125]


@pytest.mark.parametrize("retry_after", ["9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT"])
async def test_an_absurd_wait_is_a_day_at_most_and_an_error(retry_after: str) -> None:
    line = Line(httpx.Response(429, headers={"retry-after": retry_after, "date": "Wed, 21 Oct 2026 07:28:00 GMT"}))
    with pytest.raises(WaitTooLong, match="86400 s more"):
        await ask(line, QUERY)


async def test_whoever_waits_for_the_reset_asks_again_then() -> None:
    """Forty that wait for the same moment must not all go at that moment: the next window may be smaller than that."""
    told: list[int] = []

    async def handle(request: httpx.Request) -> httpx.Response:
        window = int(line.now // 60)
        told.append(window)
        left = 10 - told.count(window)
        headers = {"x-ratelimit-limit": "10", "x-ratelimit-remaining": str(left), "x-ratelimit-reset": str(60 - line.now % 60)}
        return httpx.Response(200, json={"data": {}}, headers=headers)

    line = Line()
    line.handle = handle  # type: ignore[method-assign]
    transport = line.transport(patience_s=1000)
    await transport.ask(QUERY, judge)
    async with asyncio.TaskGroup() as group:
        for _ in range(40):
            group.create_task(transport.ask(QUERY, judge))
    await transport.close()
    assert max(told.count(window) for window in told) <= 10
    assert len(told) == 41


async def test_attempts_are_bounded() -> None:
    line = Line(*[httpx.Response(500) for _ in range(20)])
    with pytest.raises(RemoteFault):
        await ask(line, QUERY, policy=RetryPolicy(attempts_max=4))
    assert len(line.sent) == 4
    assert line.waits == [0.2, 0.4, 0.8]


async def test_errors_carry_ids_and_no_token() -> None:
    line = Line(httpx.Response(401, text="Bearer very-secret-token is bad", headers={"x-railway-request-id": "request-9"}))
    with pytest.raises(NotAuthorized) as caught:
        await ask(line, QUERY)
    assert "request-9" in str(caught.value)
    assert "very-secret" not in str(caught.value)
    assert "project:" in str(caught.value)


async def test_unreachable_names_the_address_and_not_the_path() -> None:
    line = Line(*[httpx.ConnectError("refused") for _ in range(10)])
    with pytest.raises(Unreachable, match=r"project: no connection to 127\.0\.0\.1:9; is it running\?"):
        await ask(line, QUERY)


async def test_a_throttle_holds_everybody_back() -> None:
    """Not only the request that met it: the others would each meet it too."""
    line = Line(httpx.Response(429, headers={"retry-after": "20"}), good(), good())
    transport = line.transport(policy=RetryPolicy(attempts_max=1))
    with pytest.raises(Throttled):
        await transport.ask(QUERY, judge)
    await transport.ask(QUERY, judge)
    await transport.ask(QUERY, judge)
    assert line.waits == [20]
    await transport.close()


async def test_a_used_up_budget_is_told_without_a_request() -> None:
    """An hour's wait is nothing to sleep through; an `up` can go on where it stopped."""
    headers = {"x-ratelimit-limit": "100", "x-ratelimit-remaining": "0", "x-ratelimit-reset": str(1_700_001_000 + 1800)}
    line = Line(httpx.Response(200, json={"data": {}}, headers=headers), good())
    transport = line.transport()
    await transport.ask(QUERY, judge)
    with pytest.raises(Throttled, match=r"budget of requests is used up for 1800 s more, waitSeconds allows 120 s") as caught:
        await transport.ask(QUERY, judge)
    assert (len(line.sent), caught.value.retry_after_s, line.waits) == (1, 1800, [])
    await transport.close()


async def test_requests_under_way_are_bounded() -> None:
    """A stack of two hundred resources must not open two hundred connections."""
    running, most = 0, 0
    full, release = asyncio.Event(), asyncio.Event()

    async def handle(request: httpx.Request) -> httpx.Response:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 3:
            full.set()
        await release.wait()
        running -= 1
        return good()

    transport = Transport({}, concurrency_max=3, wire=httpx.MockTransport(handle))
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        for _ in range(12):
            group.create_task(transport.ask(QUERY, judge))
        await full.wait()
        release.set()
    assert most == 3
    await transport.close()


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:10 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 10.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:27:00 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 0.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:10 GMT"}, None),
    ],
)
def test_retry_after_forms(headers: dict[str, str], expected: float | None) -> None:
    assert retry_after_s(httpx.Response(429, headers=headers)) == expected


@pytest.mark.parametrize("name", ["x-railway-request-id", "x-request-id", "cf-ray"])
def test_request_id_is_found(name: str) -> None:
    assert request_id(httpx.Response(200, headers={name: "abc"})) == "abc"


@pytest.mark.parametrize("make", [lambda: httpx.Response(200, text="<html>"), lambda: httpx.Response(200, json=[1])])
def test_answers_that_are_not_graphql_are_the_apis_fault(make: Callable[[], httpx.Response]) -> None:
    with pytest.raises(RemoteFault):
        data_of(make(), "project")
