"""What our provider relies on, as functions of (endpoint, token): run against the fake here and the local cloud elsewhere.

Each makes a project of its own and takes it away again. Nothing here knows which of the two it talks to.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest

from infra.provider.errors import Conflict, InvalidInput, NotAuthorized, NotFound, RemoteError
from infra.provider.properties import Secret
from infra.provider.transport import Transport
from infra.railway import deployment, environment, service, staging
from infra.railway.client import RailwayClient, nodes
from infra.railway.deployment import watch
from infra.railway.operations import Operation
from infra.railway.provider import RailwayProvider
from infra.railway.service import settling
from infra.railway.subscriptions import Asked, Subscriptions
from tests.provider.driving import Driver, InitFailed, Kept, driven

UPDATE = Operation(
    "serviceInstanceUpdate",
    "mutation serviceInstanceUpdate($serviceId: String!, $environmentId: String!, $input: ServiceInstanceUpdateInput!) {"
    "  serviceInstanceUpdate(serviceId: $serviceId, environmentId: $environmentId, input: $input) }",
    is_query=False,
)
"""What the dashboard sends: the hand of somebody else."""

Story = Callable[[str, str], Awaitable[None]]

CACHE: dict[str, Any] = {
    "image": "valkey/valkey:8-alpine",
    "startCommand": 'valkey-server --requirepass $REDIS_PASSWORD --save "" --maxmemory 64mb --maxmemory-policy allkeys-lru',
    "multiRegionConfig": {"us-west2": 1},
}


@contextlib.asynccontextmanager
async def _client(endpoint: str, token: str) -> AsyncIterator[RailwayClient]:
    headers = {"authorization": f"Bearer {token}"}
    transport = Transport(headers)
    try:
        yield RailwayClient(transport, endpoint, Subscriptions(endpoint, headers))
    finally:
        await transport.close()


class Ground:
    """A project of this test's own; `at` names its environment."""

    def __init__(self, driver: Driver, project: Kept) -> None:
        self.driver, self.project = driver, project
        self.at = {"projectId": project.identity, "environmentId": str(project.outputs["defaultEnvironmentId"])}

    async def service(self, name: str = "cache", **inputs: Any) -> tuple[Kept, dict[str, str]]:
        made = await self.driver.create("Service", name, **self.at, **{**CACHE, "name": name, **inputs})
        return made, {**self.at, "serviceId": made.identity}


@contextlib.asynccontextmanager
async def ground_at(endpoint: str, token: str) -> AsyncIterator[Ground]:
    async with driven(RailwayProvider(), patient=True) as driver:
        await driver.configure(endpoint=endpoint, token=Secret(token))
        project = await driver.create("Project", "contract", name=f"contract-{uuid.uuid4().hex[:8]}")
        try:
            yield Ground(driver, project)
        finally:
            await driver.delete(project)


async def _settled(driver: Driver, kept: Kept) -> None:
    wanted = dict(kept.inputs)
    assert await driver.up(kept, **wanted) == []
    assert await driver.refresh(kept)
    assert await driver.up(kept, **wanted) == [], "a refresh found a change that nobody made"


async def _refusal(awaitable: Awaitable[Any]) -> type[RemoteError]:
    try:
        await awaitable
    except RemoteError as error:
        return type(error)
    raise AssertionError("expected a refusal")


async def errors_have_their_kinds(endpoint: str, token: str) -> None:
    """The provider branches on these kinds: a missing thing must never look like a broken API."""
    nothing = str(uuid.uuid4())
    async with _client(endpoint, token) as client:
        assert await _refusal(client.query(service.READ, id=nothing)) is NotFound
        assert await _refusal(client.query(settling.INSTANCE, serviceId=nothing, environmentId=nothing)) is NotFound
        assert await _refusal(client.query(environment.READ, id=nothing)) is NotFound
        nonsense = Operation("nonsense", "query nonsense { nonsense }", is_query=True)
        assert await _refusal(client.query(nonsense)) is InvalidInput
    async with _client(endpoint, "wrong-token") as client:
        assert await _refusal(client.query(environment.READ, id=nothing)) is NotAuthorized


async def project_lives_and_dies(endpoint: str, token: str) -> None:
    async with ground_at(endpoint, token) as ground:
        await _settled(ground.driver, ground.project)
        assert await ground.driver.up(ground.project, name="renamed-" + ground.project.identity[:8]) == ["name"]
        await _settled(ground.driver, ground.project)
        staging = await ground.driver.create("Environment", "e", projectId=ground.project.identity, name="staging")
        await _settled(ground.driver, staging)
        await ground.driver.delete(staging)
        assert not await ground.driver.refresh(staging)
    async with driven(RailwayProvider(), patient=True) as driver:
        await driver.configure(endpoint=endpoint, token=Secret(token))
        assert not await driver.refresh(ground.project)


async def service_settles_and_drift_is_repaired(endpoint: str, token: str) -> None:
    async with ground_at(endpoint, token) as ground:
        settings = {"startCommand": "python -m service", "healthcheckPath": "/health/ready", "drainingSeconds": 10}
        placed = {"us-west1": 2, "europe-west4-drams3a": 1}
        kept, at = await ground.service("auth", **settings, preDeployCommand=["true"], multiRegionConfig=placed)
        await _settled(ground.driver, kept)
        assert kept.inputs["multiRegionConfig"] == {"us-west2": 2, "europe-west4-drams3a": 1}
        async with _client(endpoint, token) as client:
            change = {"drainingSeconds": 3, "multiRegionConfig": {"us-west2": {"numReplicas": 1}, "europe-west4-drams3a": None}}
            variables = {"serviceId": kept.identity, "environmentId": at["environmentId"], "input": change}

            async def unsettled() -> None:
                return None

            await client.mutate(UPDATE, variables, unsettled)
        wanted = dict(kept.inputs)
        assert await ground.driver.refresh(kept)
        assert kept.inputs["multiRegionConfig"] == {"us-west2": 1}
        changed = await ground.driver.up(kept, **wanted)
        assert changed == ["drainingSeconds", "multiRegionConfig.europe-west4-drams3a", "multiRegionConfig.us-west2"]
        await _settled(ground.driver, kept)
        assert await ground.driver.up(kept, **{key: wanted[key] for key in wanted if key != "healthcheckPath"}) == [
            "healthcheckPath"
        ]
        await _settled(ground.driver, kept)
        await ground.driver.delete(kept)
        assert not await ground.driver.refresh(kept)
        await ground.driver.delete(kept)


async def name_is_taken_once(endpoint: str, token: str) -> None:
    """Our own look-up aside: the API itself must refuse, as two `up`s may run at the same moment."""
    async with ground_at(endpoint, token) as ground:
        await ground.service("auth")

        async def unsettled() -> None:
            return None

        async with _client(endpoint, token) as client:
            again = client.mutate(service.CREATE, {"input": {**ground.at, "name": "auth"}}, unsettled)
            assert await _refusal(again) is Conflict


async def variables_are_a_whole(endpoint: str, token: str) -> None:
    async with ground_at(endpoint, token) as ground:
        _, at = await ground.service()
        first = {"A": Secret("one"), "B": "two", "REFERENCE": "${{shared.X}}-${{RAILWAY_SERVICE_NAME}}"}
        kept = await ground.driver.create("Variables", "v", **at, variables=first)
        await _settled(ground.driver, kept)
        second = {"A": Secret("three"), "C": "four"}
        changed = await ground.driver.up(kept, **at, variables=second)
        assert changed == ["variables.A", "variables.B", "variables.C", "variables.REFERENCE"]
        await _settled(ground.driver, kept)
        assert kept.inputs["variables"] == second
        await ground.driver.delete(kept)


async def settings_and_variables_wait_for_a_deployment(endpoint: str, token: str) -> None:
    """Staged and committed as they are, changes deploy nothing; the Deployment makes one."""
    async with ground_at(endpoint, token) as ground:
        service_kept, at = await ground.service()
        secret = {"REDIS_PASSWORD": Secret(uuid.uuid4().hex)}
        kept = await ground.driver.create("Variables", "v", **at, variables=secret)
        deployed = await ground.driver.create("Deployment", "x", **at)
        await ground.driver.up(kept, **at, variables={**secret, "B": "1"})
        await ground.driver.up(service_kept, **{**service_kept.inputs, "drainingSeconds": 2})
        async with _client(endpoint, token) as client:
            answer = await client.query(deployment.LIST, **at)
            assert [each["id"] for each in nodes(answer["deployments"])] == [deployed.outputs["deploymentId"]]


async def somebody_elses_staged_changes_stay(endpoint: str, token: str) -> None:
    """Found, refused with what they are, and left staged; our own from a run that died are finished."""
    async with ground_at(endpoint, token) as ground:
        _, at = await ground.service()

        async def stage(name: str, value: str) -> None:
            async def unsettled() -> None:
                return None

            patch = {"services": {at["serviceId"]: {"variables": {name: {"value": value}}}}}
            async with _client(endpoint, token) as client:
                await client.mutate(staging.STAGE, {"environmentId": at["environmentId"], "input": patch}, unsettled)

        await stage("THEIRS", "x")
        for _ in range(2):
            with pytest.raises(grpc.aio.AioRpcError, match=r"did not make: services\.cache\.variables\.THEIRS set"):
                await ground.driver.create("Variables", "v", **at, variables={"A": "1"})
        await stage("A", "1")
        kept = await ground.driver.create("Variables", "v", **at, variables={"A": "1", "B": "2"})
        await _settled(ground.driver, kept)


async def project_token_reaches_its_environment(endpoint: str, token: str) -> None:
    """The third kind of token: enough to change and deploy what is in its environment, and for nothing else."""
    async with ground_at(endpoint, token) as ground, driven(RailwayProvider(), patient=True) as driver:
        made = await ground.driver.create("ProjectToken", "t", **ground.at, name="deploys")
        await driver.configure(endpoint=endpoint, projectToken=made.outputs["token"])
        inside = Ground(driver, ground.project)
        kept, at = await inside.service()
        await _settled(driver, kept)
        values = await driver.create("Variables", "v", **at, variables={"REDIS_PASSWORD": Secret(uuid.uuid4().hex)})
        await _settled(driver, values)
        deployed = await driver.create("Deployment", "d", **at)
        assert deployed.outputs["status"] == "SUCCESS"
        with pytest.raises(grpc.aio.AioRpcError, match="Not Authorized"):
            await driver.create("Project", "p", name="another")


async def domain_settles(endpoint: str, token: str) -> None:
    async with ground_at(endpoint, token) as ground:
        _, at = await ground.service()
        kept = await ground.driver.create("ServiceDomain", "d", **at, targetPort=8080)
        assert kept.outputs["url"].endswith(kept.outputs["domain"])
        await _settled(ground.driver, kept)
        assert await ground.driver.up(kept, **at, targetPort=8081) == ["targetPort"]
        await _settled(ground.driver, kept)
        await ground.driver.delete(kept)
        assert not await ground.driver.refresh(kept)


async def volume_settles(endpoint: str, token: str) -> None:
    async with ground_at(endpoint, token) as ground:
        _, at = await ground.service()
        kept = await ground.driver.create("Volume", "v", **at, mountPath="/data", region="us-west1")
        await _settled(ground.driver, kept)
        assert await ground.driver.up(kept, **at, mountPath="/elsewhere", region="us-west2") == ["mountPath"]
        await _settled(ground.driver, kept)
        await ground.driver.delete(kept)
        assert not await ground.driver.refresh(kept)


async def image_is_deployed_again_on_a_trigger(endpoint: str, token: str) -> None:
    async with ground_at(endpoint, token) as ground:
        _, at = await ground.service()
        secret = {"REDIS_PASSWORD": Secret(uuid.uuid4().hex)}
        variables = await ground.driver.create("Variables", "v", **at, variables=secret)
        triggers = {"variables": variables.outputs["digest"]}
        kept = await ground.driver.create("Deployment", "x", **at, triggers=triggers, timeoutS=60)
        assert kept.outputs["status"] == "SUCCESS"
        await _settled(ground.driver, kept)
        first = kept.outputs["deploymentId"]
        assert await ground.driver.up(kept, **at, triggers={"variables": "another"}, timeoutS=60) == ["triggers.variables"]
        assert kept.outputs["deploymentId"] != first
        await _settled(ground.driver, kept)
        await ground.driver.delete(kept)


async def deployment_tells_of_itself(endpoint: str, token: str) -> None:
    """States, steps and log lines by subscription, in the shape that the provider follows them in."""
    async with ground_at(endpoint, token) as ground:
        _, at = await ground.service()
        await ground.driver.create("Variables", "v", **at, variables={"REDIS_PASSWORD": Secret(uuid.uuid4().hex)})
        kept = await ground.driver.create("Deployment", "x", **at)
        identity = {"id": kept.outputs["deploymentId"]}
        asked: Asked = {
            "deployment": (watch.STATES, identity),
            "deploymentEvents": (watch.EVENTS, identity),
            "buildLogs": (watch.BUILD_LOGS, {**identity, "limit": 10}),
        }
        told: dict[str, Any] = {}
        async with (
            asyncio.timeout(30),
            _client(endpoint, token) as client,
            contextlib.aclosing(client.subscriptions.follow(asked)) as following,
        ):
            async for name, data in following:
                told[name] = data[name]
                if set(told) == set(asked) and told["deployment"]["status"] == "SUCCESS":
                    break
        assert told["buildLogs"][0]["message"]
        assert told["deploymentEvents"]["step"]


async def rollback_brings_the_earlier_deployment_back(endpoint: str, token: str) -> None:
    async with ground_at(endpoint, token) as ground:
        _, at = await ground.service()
        await ground.driver.create("Variables", "v", **at, variables={"REDIS_PASSWORD": Secret(uuid.uuid4().hex)})
        kept = await ground.driver.create("Deployment", "x", **at, triggers={"n": 1})
        first = kept.outputs["deploymentId"]
        await ground.driver.up(kept, **at, triggers={"n": 2})
        second = kept.outputs["deploymentId"]
        wanted = {**at, "triggers": {"n": 2}, "rollbackTo": first}
        assert await ground.driver.up(kept, **wanted) == ["rollbackTo"]
        assert kept.outputs["status"] == "SUCCESS"
        assert kept.outputs["deploymentId"] not in (first, second)
        await _settled(ground.driver, kept)


async def failed_deployment_says_why(endpoint: str, token: str) -> None:
    async with ground_at(endpoint, token) as ground:
        _, at = await ground.service(image="registry.invalid/nothing:1")
        kept = Kept(ground.driver.urn("Deployment", "x"))
        checked, _ = await ground.driver.check(kept, {**at, "timeoutS": 60})
        with pytest.raises(InitFailed, match=r"ended as FAILED; last log lines"):
            await ground.driver.create_into(kept, checked)
        assert kept.outputs["status"] == "FAILED"
        assert await ground.driver.refresh(kept)
        assert kept.init_errors


STORIES: tuple[Story, ...] = (
    errors_have_their_kinds,
    project_lives_and_dies,
    service_settles_and_drift_is_repaired,
    name_is_taken_once,
    variables_are_a_whole,
    settings_and_variables_wait_for_a_deployment,
    somebody_elses_staged_changes_stay,
    project_token_reaches_its_environment,
    domain_settles,
    volume_settles,
    image_is_deployed_again_on_a_trigger,
    deployment_tells_of_itself,
    rollback_brings_the_earlier_deployment_back,
    failed_deployment_says_why,
)
