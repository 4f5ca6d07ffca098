"""Subscriptions over graphql-transport-ws: what there is, then what comes, then the end; and every wrong turn's close code."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from infra.localcloud.edge.access_log import AccessLine
from infra.localcloud.plane.interface import LogLine
from infra.localcloud.railway_api import websocket
from infra.localcloud.railway_api.resolvers_subscription import Tail
from tests.localcloud.control.harness import DEADLINE_S, TOKEN, Harness

pytestmark = pytest.mark.anyio
PROTOCOL = "graphql-transport-ws"


class Socket:
    """The client's side of one ASGI WebSocket."""

    def __init__(self) -> None:
        self.to_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.from_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def send(self, **message: Any) -> None:
        await self.to_app.put({"type": "websocket.receive", "text": json.dumps(message)})

    async def raw(self) -> dict[str, Any]:
        async with asyncio.timeout(DEADLINE_S):
            return await self.from_app.get()

    async def receive(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((await self.raw())["text"])
        return found

    async def ready(self) -> None:
        assert (await self.raw())["type"] == "websocket.accept"
        await self.send(type="connection_init")
        assert await self.receive() == {"type": "connection_ack"}

    async def subscribe(self, query: str, identity: str = "1", **variables: Any) -> None:
        await self.send(type="subscribe", id=identity, payload={"query": query, "variables": variables})


@contextlib.asynccontextmanager
async def connected(cloud: Harness, token: str = TOKEN, protocol: str = PROTOCOL) -> AsyncIterator[Socket]:
    socket = Socket()
    scope = {
        "type": "websocket",
        "asgi": {"version": "3.0"},
        "scheme": "ws",
        "path": "/graphql/v2",
        "raw_path": b"/graphql/v2",
        "query_string": b"",
        "headers": [(b"host", b"x"), (b"authorization", f"Bearer {token}".encode())],
        "subprotocols": [protocol],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 1),
    }
    await socket.to_app.put({"type": "websocket.connect"})
    serving = asyncio.create_task(cloud.app(scope, socket.to_app.get, socket.from_app.put))
    try:
        yield socket
    finally:
        await socket.to_app.put({"type": "websocket.disconnect", "code": 1000})
        async with asyncio.timeout(DEADLINE_S):
            await serving


async def until_complete(socket: Socket) -> list[Any]:
    found = []
    while (message := await socket.receive())["type"] == "next":
        assert "errors" not in message["payload"]
        (value,) = message["payload"]["data"].values()
        found.append(value)
    assert message == {"type": "complete", "id": "1"}
    return found


async def test_a_build_log_is_told_as_it_grows_and_ends_with_the_build(cloud: Harness) -> None:
    cloud.plane.starts_held = asyncio.Event()
    place = await cloud.project()
    service_id = await cloud.service(place)
    await cloud.update(place, service_id, startCommand="python -m service")
    deployment_id = await cloud.upload(place, service_id)
    async with connected(cloud) as socket:
        await socket.ready()
        await socket.subscribe("subscription ($i: String!) { buildLogs(deploymentId: $i) { message } }", i=deployment_id)
        first = await socket.receive()
        assert "building" in first["payload"]["data"]["buildLogs"][0]["message"]
        cloud.plane.starts_held.set()
        lines = [line["message"] for lines in await until_complete(socket) for line in lines]
    assert lines[-1] == "deployment is live"


async def test_replica_logs_come_once_each_also_within_one_instant(cloud: Harness) -> None:
    place, _, deployment_id = await cloud.web()
    (key,) = cloud.plane.running
    cloud.plane.lines[key] = []

    def write(*texts: str) -> None:
        cloud.plane.lines[key] += [LogLine("2026-11-24T00:00:01.000000Z", "stdout", text) for text in texts]

    async def told(socket: Socket) -> list[str]:
        (value,) = (await socket.receive())["payload"]["data"].values()
        return [line["message"] for line in value]

    write("a", "a")
    async with connected(cloud) as socket:
        await socket.ready()
        await socket.subscribe("subscription ($i: String!) { environmentLogs(environmentId: $i) { message } }", i=place[1])
        assert await told(socket) == ["a", "a"]
        write("a", "b")
        assert await told(socket) == ["a", "b"]
        await socket.send(type="complete", id="1")
        await socket.subscribe("subscription ($i: String!) { deploymentLogs(deploymentId: $i) { message } }", i=deployment_id)
        assert await told(socket) == ["a", "a", "a", "b"]
        await cloud.gql("mutation ($i: String!) { deploymentRemove(id: $i) }", i=deployment_id)
        assert await until_complete(socket) == []


async def test_requests_come_once_each_whichever_edge_tells_of_them_first(cloud: Harness) -> None:
    """Edges write some moments late, so that an older request may be told of after a newer one. An anchor is where it begins."""
    place, service_id, deployment_id = await cloud.web()
    made = await cloud.gql(
        "mutation ($i: ServiceDomainCreateInput!) { serviceDomainCreate(input: $i) { domain } }",
        i={"serviceId": service_id, "environmentId": place[1]},
    )
    upstream = f"{cloud.world.deployments[deployment_id].replicas[0].address}:8080"
    host = made["serviceDomainCreate"]["domain"]
    cloud.plane.lines["edge-us-west2"] = []

    def seen(name: str, second: int) -> None:
        text = AccessLine(second * 1000, name, "GET", host, "/", 200, 1.0, upstream, "us-west2", "c")
        cloud.plane.lines["edge-us-west2"].append(LogLine("", "stdout", msgspec.json.encode(text).decode()))

    async def told(socket: Socket) -> list[str]:
        return [line["requestId"] for line in (await socket.receive())["payload"]["data"]["httpLogs"]]

    seen("before", 1)
    seen("first", 3)
    async with connected(cloud) as socket:
        await socket.ready()
        await socket.subscribe(
            """subscription ($i: String!) { httpLogs(deploymentId: $i, filter: "@method:GET", beforeLimit: 5, afterLimit: 5,
               beforeDate: "1970-01-01T00:00:02Z", anchorDate: "1970-01-01T00:00:02Z") { requestId } }""",
            i=deployment_id,
        )
        assert await told(socket) == ["first"]
        seen("newer", 5)
        assert await told(socket) == ["newer"]
        seen("older", 4)
        assert await told(socket) == ["older"]
        await cloud.gql("mutation ($i: String!) { deploymentRemove(id: $i) }", i=deployment_id)
        assert await until_complete(socket) == []


async def test_events_tell_each_step_when_it_begins_and_when_it_is_done(cloud: Harness) -> None:
    _, _, deployment_id = await cloud.web(preDeployCommand=["python -m service migrate"])
    await cloud.gql("mutation ($i: String!) { deploymentRemove(id: $i) }", i=deployment_id)
    await cloud.reached(deployment_id, "REMOVED")
    fields = "{ id step completedAt payload { durationMs error } }"
    async with connected(cloud) as socket:
        await socket.ready()
        await socket.subscribe(f"subscription ($i: String!) {{ deploymentEvents(id: $i) {fields} }}", i=deployment_id)
        streamed = await until_complete(socket)
    query = f"query ($i: String!) {{ deploymentEvents(id: $i) {{ edges {{ node {fields} }} }} }}"
    edges = (await cloud.gql(query, i=deployment_id))["deploymentEvents"]["edges"]
    assert streamed == [edge["node"] for edge in edges]
    steps = ["BUILD_IMAGE", "PRE_DEPLOY_COMMAND", "CREATE_CONTAINER", "CONFIGURE_NETWORK", "DRAIN_INSTANCES"]
    assert [one["step"] for one in streamed] == steps
    assert all(one["completedAt"] and one["payload"]["error"] is None for one in streamed)


async def test_a_failed_step_says_why(cloud: Harness) -> None:
    cloud.plane.build_fails = True
    place = await cloud.project()
    service_id = await cloud.service(place)
    await cloud.update(place, service_id, startCommand="python -m service")
    deployment_id = await cloud.upload(place, service_id)
    await cloud.reached(deployment_id, "FAILED")
    query = "query ($i: String!) { deploymentEvents(id: $i) { edges { node { step payload { error } } } } }"
    (edge,) = (await cloud.gql(query, i=deployment_id))["deploymentEvents"]["edges"]
    assert edge["node"] == {"step": "BUILD_IMAGE", "payload": {"error": "bundle: not a readable tar archive"}}


async def test_a_deployment_is_told_until_its_end(cloud: Harness) -> None:
    _, _, deployment_id = await cloud.web()
    async with connected(cloud) as socket:
        await socket.ready()
        await socket.subscribe("subscription ($i: String!) { deployment(id: $i) { status } }", i=deployment_id)
        assert (await socket.receive())["payload"]["data"] == {"deployment": {"status": "SUCCESS"}}
        await cloud.gql("mutation ($i: String!) { deploymentRemove(id: $i) }", i=deployment_id)
        assert (await until_complete(socket))[-1] == {"status": "REMOVED"}


async def test_queries_can_be_asked_here_too_and_wrong_ones_are_refused(cloud: Harness) -> None:
    async with connected(cloud) as socket:
        await socket.ready()
        await socket.send(type="ping")
        assert await socket.receive() == {"type": "pong"}
        await socket.subscribe("{ me { name } }")
        assert await until_complete(socket) == [{"name": "Local Cloud"}]
        for query in ("{ nonsense }", "{ me", "subscription { buildLogs(deploymentId: 5) { message } }"):
            await socket.subscribe(query)
            assert (await socket.receive())["type"] == "error"
        await socket.subscribe("subscription ($i: String!) { deployment(id: $i) { id } }", i="nothing")
        refused = await socket.receive()
        assert (refused["type"], refused["payload"][0]["message"]) == ("error", "Deployment not found")


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        ([{"type": "subscribe", "id": "1", "payload": {"query": "{ me { id } }"}}], 4401),
        ([{"type": "nonsense"}], 4400),
        ([[]], 4400),
        ([{"type": "connection_init"}, {"type": "connection_init"}], 4429),
        ([{"type": "connection_init"}, {"type": "subscribe", "id": "1"}], 4400),
        ([{"type": "connection_init"}, {"type": "subscribe", "payload": {"query": "{ me { id } }"}}], 4400),
    ],
)
async def test_a_message_out_of_place_closes_with_its_code(cloud: Harness, messages: list[Any], code: int) -> None:
    async with connected(cloud) as socket:
        assert (await socket.raw())["type"] == "websocket.accept"
        for message in messages:
            await socket.to_app.put({"type": "websocket.receive", "text": json.dumps(message)})
        while (found := await socket.raw())["type"] != "websocket.close":
            pass
    assert found["code"] == code


async def test_who_has_no_token_holds_no_connection(cloud: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without that, anybody on this machine could keep all connections busy by opening them and saying nothing."""
    monkeypatch.setattr(websocket, "CONNECTIONS_MAX", 1)
    async with connected(cloud, token="wrong") as stranger:
        assert (await stranger.raw())["type"] == "websocket.accept"
        assert (await stranger.raw())["code"] == 4403
        async with connected(cloud) as socket:
            await socket.ready()
            async with connected(cloud) as other:
                assert (await other.raw())["code"] == 1013, "the bound is for those who have one"


async def test_an_id_in_use_and_another_protocol_are_refused(cloud: Harness) -> None:
    place = await cloud.project()
    query = "subscription ($i: String!) { environmentLogs(environmentId: $i) { message } }"
    async with connected(cloud) as socket:
        await socket.ready()
        await socket.subscribe(query, i=place[1])
        await socket.subscribe(query, i=place[1])
        assert (await socket.raw())["code"] == 4409
    async with connected(cloud, protocol="graphql-ws") as socket:
        assert (await socket.raw())["code"] == 4406


def test_a_tail_tells_nothing_twice_and_forgets_nothing() -> None:
    tail = Tail()
    lines = [{"timestamp": stamp, "message": str(number)} for number, stamp in enumerate("1122234")]
    told: list[Any] = []
    for end in range(len(lines) + 1):
        told += tail.unseen(lines[max(0, end - 5) : end])
    assert told == lines
