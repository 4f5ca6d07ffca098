"""The control side over a RecordingPlane, in process: the real application, keeper and conductor, no sockets."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from starlette.applications import Starlette

from infra.localcloud.app import Surroundings, build_app
from infra.localcloud.conducting.conductor import Conductor
from infra.localcloud.conducting.keeper import Keeper
from infra.localcloud.conducting.store import Store
from infra.localcloud.link_settings import Links
from infra.localcloud.page.sessions import Sessions
from infra.localcloud.railway_api.call import Cloud
from infra.localcloud.railway_api.faults import Faults
from infra.localcloud.world.model import World
from infra.localcloud.world_clock import WorldClock
from tests.localcloud.control.recording_plane import RecordingPlane

TOKEN = "account-token-for-tests"
BUNDLE = gzip.compress(b"any bytes: the recording plane never unpacks them", mtime=0)
DEADLINE_S = 10.0


class ApiError(Exception):
    """The first GraphQL error: its message, code and HTTP status."""

    def __init__(self, body: dict[str, Any], status: int) -> None:
        error = body["errors"][0]
        super().__init__(error["message"])
        self.code, self.status, self.body = error["extensions"]["code"], status, body


@dataclass
class Harness:
    client: httpx.AsyncClient
    plane: RecordingPlane
    keeper: Keeper
    conductor: Conductor
    directory: Path
    stopped: list[bool]
    app: Starlette

    @property
    def world(self) -> World:
        return self.keeper.world

    async def gql(self, query: str, headers: dict[str, str] | None = None, **variables: Any) -> dict[str, Any]:
        response = await self.client.post("/graphql/v2", json={"query": query, "variables": variables}, headers=headers)
        body = response.json()
        if body.get("errors"):
            raise ApiError(body, response.status_code)
        data: dict[str, Any] = body["data"]
        return data

    async def until(self, is_so: Callable[[], object]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not is_so():  # noqa: ASYNC110  (any condition on the world; an event per condition would be the code under test)
                await asyncio.sleep(0.002)

    async def project(self) -> tuple[str, str]:
        """(project id, environment id)."""
        made = await self.gql('mutation { projectCreate(input: {name: "demo"}) { id baseEnvironmentId } }')
        return made["projectCreate"]["id"], made["projectCreate"]["baseEnvironmentId"]

    async def service(self, place: tuple[str, str], name: str = "web", **more: Any) -> str:
        made = await self.gql(
            "mutation ($input: ServiceCreateInput!) { serviceCreate(input: $input) { id } }",
            input={"projectId": place[0], "environmentId": place[1], "name": name, **more},
        )
        return str(made["serviceCreate"]["id"])

    async def update(self, place: tuple[str, str], service_id: str, **settings: Any) -> None:
        await self.gql(
            "mutation ($s: String!, $e: String!, $i: ServiceInstanceUpdateInput!) "
            "{ serviceInstanceUpdate(serviceId: $s, environmentId: $e, input: $i) }",
            s=service_id,
            e=place[1],
            i=settings,
        )

    async def set_variables(self, place: tuple[str, str], service_id: str | None, values: dict[str, str], **more: Any) -> None:
        await self.gql(
            "mutation ($i: VariableCollectionUpsertInput!) { variableCollectionUpsert(input: $i) }",
            i={"projectId": place[0], "environmentId": place[1], "serviceId": service_id, "variables": values, **more},
        )

    async def upload(self, place: tuple[str, str], service_id: str, content: bytes = BUNDLE) -> str:
        path = f"/project/{place[0]}/environment/{place[1]}/up"
        response = await self.client.post(path, params={"serviceId": service_id}, content=content)
        assert response.status_code == 200, response.text
        return str(response.json()["deploymentId"])

    async def deploy(self, place: tuple[str, str], service_id: str) -> str:
        made = await self.gql(
            "mutation ($s: String!, $e: String!) { serviceInstanceDeployV2(serviceId: $s, environmentId: $e) }",
            s=service_id,
            e=place[1],
        )
        return str(made["serviceInstanceDeployV2"])

    def status(self, deployment_id: str) -> str:
        return self.world.deployments[deployment_id].status.value

    async def reached(self, deployment_id: str, status: str) -> None:
        await self.until(lambda: self.status(deployment_id) == status)

    async def web(self, **settings: Any) -> tuple[tuple[str, str], str, str]:
        """A project with a deployed service `web`: (place, service id, deployment id)."""
        place = await self.project()
        service_id = await self.service(place)
        await self.update(place, service_id, **{"startCommand": "python -m service", **settings})
        deployment_id = await self.upload(place, service_id)
        await self.reached(deployment_id, "SUCCESS")
        return place, service_id, deployment_id

    async def build_log(self, deployment_id: str) -> str:
        found = await self.gql("query ($i: String!) { buildLogs(deploymentId: $i) { message } }", i=deployment_id)
        return "\n".join(line["message"] for line in found["buildLogs"])


@contextlib.asynccontextmanager
async def running(directory: Path, plane: RecordingPlane | None = None, store: Store | None = None) -> AsyncIterator[Harness]:
    """The control side of a home, until the block ends. A second one over the same directory (or store) is a restart."""
    (directory / "uploads").mkdir(exist_ok=True)
    plane = plane or RecordingPlane()
    store = store or Store(directory / "world.json")
    keeper = Keeper(store, store.read(), WorldClock(directory / "clock.json"))  # a restart must not set the clock back
    stopped: list[bool] = []
    async with asyncio.TaskGroup() as tasks:
        ready: asyncio.Future[Harness] = asyncio.get_running_loop().create_future()
        work = tasks.create_task(_run(directory, plane, keeper, stopped, ready))
        harness = await ready
        async with harness.client:
            try:
                yield harness
            finally:
                work.cancel()


async def _run(
    directory: Path, plane: RecordingPlane, keeper: Keeper, stopped: list[bool], ready: asyncio.Future[Harness]
) -> None:
    async with asyncio.TaskGroup() as tasks:
        conductor = Conductor(keeper, plane, directory, {"PATH": "/usr/bin"}, tasks)
        around = Surroundings(
            TOKEN,
            directory,
            "http://127.99.0.1:8700",
            Links(directory / "links.json", None),
            Faults(),
            lambda: stopped.append(True),
            {},
            "http://127.0.0.1:8700/page/",
            Sessions(),
        )
        app = build_app(Cloud(keeper, plane, conductor, "test"), around)
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://127.99.0.1", headers={"Authorization": f"Bearer {TOKEN}"}
        )
        conductor.start()
        ready.set_result(Harness(client, plane, keeper, conductor, directory, stopped, app))
        await asyncio.Event().wait()
