"""A deployment is followed by what Railway tells, and by asking where it does not tell; its logs reach the user's screen."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from infra.provider.properties import Secret
from infra.provider.websocket import SocketLost
from infra.railway import subscriptions
from infra.railway.deployment import progress, watch
from infra.railway.provider import RailwayProvider
from infra.railway.subscriptions import PROTOCOL, Subscriptions
from tests.provider.driving import Driver, driven
from tests.provider.serving import served
from tests.railway.contract import Ground
from tests.railway.fake import TOKEN, FakeRailway

pytestmark = pytest.mark.anyio


class Screen:
    """What the engine would show: `passing` lines replace each other, `lines` stay."""

    def __init__(self) -> None:
        self.passing: list[str] = []
        self.lines: list[str] = []

    async def progress(self, urn: str, message: str) -> None:
        self.passing.append(message)

    async def line(self, urn: str, message: str) -> None:
        self.lines.append(message)

    async def close(self) -> None:
        return


@pytest.fixture
def screen() -> Screen:
    return Screen()


@contextlib.asynccontextmanager
async def watched(fake: FakeRailway, screen: Screen, **settings: str) -> AsyncIterator[Driver]:
    async with served(fake.app) as address, driven(RailwayProvider(), patient=True) as driver:
        driver.servicer._log = screen  # type: ignore[assignment]
        await driver.configure(endpoint=f"{address}/graphql/v2", token=TOKEN, **settings)
        yield driver


@pytest.fixture
async def patient(fake: FakeRailway, screen: Screen) -> AsyncIterator[Driver]:
    async with watched(fake, screen, deploymentLogs="always") as driver:
        yield driver


async def placed(driver: Driver) -> dict[str, str]:
    ground = Ground(driver, await driver.create("Project", "p", name="demo"))
    return (await ground.service())[1]


async def test_what_railway_tells_is_followed_and_shown(patient: Driver, fake: FakeRailway, screen: Screen) -> None:
    kept = await patient.create("Deployment", "d", **await placed(patient))
    assert kept.outputs["status"] == "SUCCESS"
    assert fake.calls.count("deployment") <= 2, "asked only before the connection stood"
    assert "deployment building" in screen.passing


async def test_steps_and_log_lines_reach_the_screen(patient: Driver, fake: FakeRailway, screen: Screen) -> None:
    fake.outcomes = ["STUCK"]
    at = await placed(patient)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        creation = group.create_task(failing(patient.create("Deployment", "d", **at, timeoutS=1)))
    assert "still BUILDING" in creation.result()
    assert screen.lines == ["build: buildLogs 0", "build: buildLogs 1", "run: deploymentLogs 0", "run: deploymentLogs 1"]
    assert {"build image", "build image done", "healthcheck failed: no answer"} <= set(screen.passing)


@pytest.mark.parametrize(("logs", "slow_s", "is_shown"), [("slow", 30.0, False), ("slow", 0.5, True), ("failed", 0.0, False)])
async def test_logs_stay_on_the_screen_once_a_deployment_is_slow(
    fake: FakeRailway, screen: Screen, monkeypatch: pytest.MonkeyPatch, logs: str, slow_s: float, is_shown: bool
) -> None:
    """From the first line, or none: ten services that come up well are no reason for ten logs. A failure quotes the last."""
    monkeypatch.setattr(watch, "SLOW_S", slow_s)
    fake.outcomes = ["STUCK"]
    async with watched(fake, screen, deploymentLogs=logs) as driver:
        message = await failing(driver.create("Deployment", "d", **await placed(driver), timeoutS=1))
    told = ["build: buildLogs 0", "build: buildLogs 1", "run: deploymentLogs 0", "run: deploymentLogs 1"]
    assert screen.lines == (told if is_shown else [])
    assert set(told) <= set(screen.passing)
    assert "last log lines:" in message


async def test_the_setting_for_logs_is_one_of_three(fake: FakeRailway, screen: Screen) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match="railway:deploymentLogs: expected one of"):
        async with watched(fake, screen, deploymentLogs="loud"):
            pass


async def failing(work: Awaitable[Any]) -> str:
    with pytest.raises(Exception, match="deployment") as caught:
        await work
    return str(caught.value)


async def test_lost_connections_are_made_again_and_lines_are_shown_once(
    patient: Driver, fake: FakeRailway, screen: Screen
) -> None:
    fake.socket_faults = ["cut"]
    fake.outcomes = ["STUCK"]
    await failing(patient.create("Deployment", "d", **await placed(patient), timeoutS=2))
    assert fake.subscribed.count("deployment") == 2
    assert len(screen.lines) == len(set(screen.lines)) == 4


async def test_without_subscriptions_the_state_is_asked_for(driver: Driver, fake: FakeRailway) -> None:
    screen = driver.servicer._log = Screen()  # type: ignore[assignment]
    fake.socket_faults = ["refused"] * 9
    kept = await driver.create("Deployment", "d", **await placed(driver))
    assert kept.outputs["status"] == "SUCCESS"
    assert fake.calls.count("deployment") >= 3
    assert not fake.subscribed
    assert not screen.lines


async def test_secrets_are_blotted_out_of_log_lines(patient: Driver, fake: FakeRailway, screen: Screen) -> None:
    """A program that logs its own password must not carry it into a terminal or a pipeline's log."""
    at = await placed(patient)
    await patient.create("Variables", "v", **at, variables={"PASSWORD": Secret("buildLogs")})
    fake.outcomes = ["STUCK"]
    await failing(patient.create("Deployment", "d", **at, timeoutS=1))
    assert "build: [secret] 0" in screen.lines
    assert not any("buildLogs" in line for line in screen.lines + screen.passing)


async def test_secret_is_blotted_out_before_its_line_is_cut(
    patient: Driver, fake: FakeRailway, screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left of one that was cut would be found by nobody, and tell its beginning."""
    at = await placed(patient)
    await patient.create("Variables", "v", **at, variables={"PASSWORD": Secret("buildLogs")})
    fake.outcomes = ["STUCK"]
    for module in (watch, progress):
        monkeypatch.setattr(module, "LINE_CHARS_MAX", 6)
    message = await failing(patient.create("Deployment", "d", **at, timeoutS=1))
    assert "build: [secre" in screen.lines
    assert not any("buildL" in line for line in [message, *screen.lines, *screen.passing])


async def test_a_secret_of_many_lines_is_blotted_out_of_each(patient: Driver) -> None:
    key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----\n"
    patient.servicer._remember({"variables": {"KEY": Secret(key)}})
    assert patient.servicer._blotted("loaded MIIEvQIBADANBgkqhkiG9w0BAQEFAASC now") == "loaded [secret] now"


async def test_endless_logs_are_cut(patient: Driver, fake: FakeRailway, screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LINES_MAX", 2)
    fake.outcomes = ["STUCK"]
    await failing(patient.create("Deployment", "d", **await placed(patient), timeoutS=3))
    assert screen.lines == [
        "build: buildLogs 0",
        "build: buildLogs 1",
        "run: further lines of this deployment are in Railway's logs",
    ]


async def test_rollback_brings_an_earlier_deployment_back(driver: Driver, fake: FakeRailway) -> None:
    at = await placed(driver)
    kept = await driver.create("Deployment", "d", **at, triggers={"n": 1})
    first = kept.outputs["deploymentId"]
    assert await driver.up(kept, **at, triggers={"n": 2}) == ["triggers.n"]
    wanted = {**at, "triggers": {"n": 2}, "rollbackTo": first}
    fake.faults["deploymentRollback"] = ["lost"]
    assert await driver.up(kept, **wanted) == ["rollbackTo"]
    assert len(fake.deployments) == 3
    assert fake.deployments[kept.outputs["deploymentId"]]["rolledBackTo"] == first
    assert await driver.up(kept, **wanted) == []
    assert await driver.refresh(kept)
    assert await driver.up(kept, **wanted) == []
    assert await driver.up(kept, **{**wanted, "triggers": {"n": 3}}) == ["triggers.n"]
    assert "rolledBackTo" not in fake.deployments[kept.outputs["deploymentId"]], "what comes after it is a deployment again"


@pytest.mark.parametrize(("target", "reason"), [("none", "is not known"), ("failed", "is FAILED and cannot be gone back to")])
async def test_rollback_to_what_cannot_be_is_refused(driver: Driver, fake: FakeRailway, target: str, reason: str) -> None:
    at = await placed(driver)
    kept = await driver.create("Deployment", "d", **at)
    failed = fake._deployed(at["environmentId"], at["serviceId"])
    failed |= {"status": "FAILED", "to_come": []}
    identity = failed["id"] if target == "failed" else "none"
    with pytest.raises(grpc.aio.AioRpcError, match=reason):
        await driver.up(kept, **at, rollbackTo=identity)
    assert "deploymentRollback" not in fake.calls


# The protocol, against servers that keep it badly.

Serve = Callable[[WebSocket], Awaitable[None]]


@contextlib.asynccontextmanager
async def serving(serve: Serve, subprotocol: str = PROTOCOL) -> AsyncIterator[Subscriptions]:
    async def endpoint(socket: WebSocket) -> None:
        with contextlib.suppress(WebSocketDisconnect):
            await socket.accept(subprotocol)
            await serve(socket)

    async with served(Starlette(routes=[WebSocketRoute("/graphql", endpoint)])) as address:
        yield Subscriptions(f"{address}/graphql", {"authorization": "Bearer secret"})


async def followed(there: Subscriptions) -> list[Any]:
    found = []
    async with asyncio.timeout(10), contextlib.aclosing(there.follow({"deployment": (watch.STATES, {"id": "d"})})) as told:
        async for _, data in told:
            found.append(data)
    return found


async def acknowledged(socket: WebSocket) -> None:
    assert (await socket.receive_json())["type"] == "connection_init"
    await socket.send_json({"type": "connection_ack"})
    assert (await socket.receive_json())["type"] == "subscribe"


async def not_json(socket: WebSocket) -> None:
    await acknowledged(socket)
    await socket.send_text("hello")
    await socket.receive_json()


async def closing(socket: WebSocket) -> None:
    await socket.receive_json()
    await socket.close(4403, "Forbidden")


async def silent(socket: WebSocket) -> None:
    await acknowledged(socket)
    assert await socket.receive_json() == {"type": "ping"}
    await socket.receive_json()


async def never_acknowledging(socket: WebSocket) -> None:
    await socket.receive_json()
    await socket.receive_json()


@pytest.mark.parametrize(
    ("serve", "message"),
    [
        (not_json, "not graphql-transport-ws"),
        (closing, "4403 Forbidden"),
        (silent, "fallen silent"),
        (never_acknowledging, "does not acknowledge"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_a_bad_server_is_a_lost_connection(serve: Serve, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriptions, "SILENCE_MAX_S", 0.05)
    monkeypatch.setattr(subscriptions, "ACKNOWLEDGED_TIMEOUT_S", 0.05)
    async with serving(serve) as there:
        with pytest.raises(SocketLost, match=message) as caught:
            await followed(there)
    assert "secret" not in str(caught.value)


async def test_another_protocol_is_no_connection() -> None:
    async with serving(closing, "chat") as there:
        with pytest.raises(SocketLost):
            await followed(there)


async def test_errors_pings_and_strangers_messages_are_taken_in_stride() -> None:
    async def serve(socket: WebSocket) -> None:
        await acknowledged(socket)
        for message in (
            {"type": "ping"},
            {"id": "another", "type": "next", "payload": {"data": {"deployment": 0}}},
            {"id": "deployment", "type": "next", "payload": {"errors": [{"message": "x"}]}},
            {"id": "deployment", "type": "next", "payload": {"data": {"deployment": 1}}},
            {"id": "deployment", "type": "error", "payload": [{"message": "x"}]},
        ):
            await socket.send_json(message)
        assert await socket.receive_json() == {"type": "pong"}

    async with serving(serve) as there:
        assert await followed(there) == [{"deployment": 1}]


async def test_nobody_listening_is_a_lost_connection() -> None:
    with pytest.raises(SocketLost, match=r"no connection to 127\.0\.0\.1"):
        await followed(Subscriptions("http://127.0.0.1:9/graphql", {}))
