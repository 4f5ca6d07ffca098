"""A Railway environment: one isolated copy of a project's services, empty at first or made from another one."""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct

from infra.provider.definition import Call, Found, Made, Recorded, Resource
from infra.provider.errors import Conflict, HalfMade, NotFound, ProviderError
from infra.provider.fields import Field
from infra.provider.rules import Truth
from infra.provider.waiting import until
from infra.railway.addresses import Addressed
from infra.railway.client import Data, RailwayClient, nodes, only
from infra.railway.departure import is_gone
from infra.railway.names import ENVIRONMENT_NAME, ID
from infra.railway.operations import load
from infra.railway.removal import remove

CREATE = load(__file__, "create.graphql")
LIST = load(__file__, "list.graphql")
READ = load(__file__, "read.graphql")
INSTANCES = load(__file__, "instances.graphql")
RENAME = load(__file__, "rename.graphql")
DELETE = load(__file__, "delete.graphql")

COPY_DEADLINE_S = 300.0


class EnvironmentInputs(Struct, frozen=True, rename="camel"):
    project_id: str
    name: str
    source_environment_id: str | None = None
    ephemeral: bool = False
    skip_initial_deploys: bool = True


class Environment(Addressed, Resource[RailwayClient, EnvironmentInputs]):
    """An environment; what a copy of another one holds is history, and only its making looks at it.

    Nothing is deployed by its creation unless `skipInitialDeploys` is false.
    """

    resource_type: ClassVar = "railway:index:Environment"
    address: ClassVar = ("projectId",)
    collection: ClassVar = "environments"
    inputs_type: ClassVar = EnvironmentInputs
    deletes_before_replace: ClassVar = True  # names are unique in a project
    fields: ClassVar = (
        Field("projectId", ID, is_required=True, replaces=True),
        Field("name", ENVIRONMENT_NAME, is_required=True),
        Field("sourceEnvironmentId", ID, replaces=True, is_kept_when_absent=True),
        Field("ephemeral", Truth(), replaces=True, default=False),
        Field("skipInitialDeploys", Truth(), is_compared=False, default=True),
    )

    async def create(self, call: Call[RailwayClient], inputs: EnvironmentInputs) -> Made:
        async def named() -> Data | None:
            found = await _named(call, inputs.project_id, inputs.name)
            return {"environmentCreate": found} if found else None

        existing = await named()
        if existing is not None:
            identity = existing["environmentCreate"]["id"]
            raise Conflict(
                f"environments/{inputs.name}: exists already; adopt it with `pulumi import {self.resource_type} NAME {identity}`"
            )
        wanted: Data = {
            "projectId": inputs.project_id,
            "name": inputs.name,
            "ephemeral": inputs.ephemeral,
            "skipInitialDeploys": inputs.skip_initial_deploys,
        }
        if inputs.source_environment_id is not None:
            wanted["sourceEnvironmentId"] = inputs.source_environment_id
        made = (await call.client.mutate(CREATE, {"input": wanted}, named))["environmentCreate"]
        await _copied(call, made["id"], inputs)
        return Made(made["id"], {})

    async def read(self, call: Call[RailwayClient], recorded: Recorded[EnvironmentInputs]) -> Found | None:
        identity = recorded.identity
        if recorded.inputs is None and "/" in identity:
            # An import may name it, project/name: names are unique in a project.
            project_id, _, name = identity.partition("/")
            named = await _named(call, project_id, name)
            if named is None:
                return None
            identity = named["id"]
        environment = await _environment(call, identity)
        if environment is None:
            return None
        source = environment.get("sourceEnvironment") or {}
        known = recorded.inputs
        inputs = {
            "projectId": environment["projectId"],
            "name": environment["name"],
            "ephemeral": environment["isEphemeral"],
            # The source may be gone by now, and with it the only place that told of it.
            "sourceEnvironmentId": known.source_environment_id if known else source.get("id"),
            "skipInitialDeploys": known.skip_initial_deploys if known else True,
        }
        return Found(environment["id"], inputs, {})

    async def update(self, call: Call[RailwayClient], recorded: Recorded[EnvironmentInputs], inputs: EnvironmentInputs) -> Made:
        async def settled() -> Data | None:
            environment = await _environment(call, recorded.identity)
            return {} if environment and environment["name"] == inputs.name else None

        if await settled() is None:
            await call.client.mutate(RENAME, {"id": recorded.identity, "input": {"name": inputs.name}}, settled)
        await _copied(call, recorded.identity, inputs)
        return Made(recorded.identity, {})

    async def delete(self, call: Call[RailwayClient], recorded: Recorded[EnvironmentInputs]) -> None:
        async def gone() -> Data | None:
            return {} if await _environment(call, recorded.identity) is None else None

        await remove(call, DELETE, {"id": recorded.identity}, gone, f"environment {recorded.identity}")


async def _environment(call: Call[RailwayClient], identity: str) -> Data | None:
    answer = await call.client.query_or_none(READ, id=identity)
    environment: Data | None = (answer or {}).get("environment")
    return None if environment is None or is_gone(environment) else environment


async def _named(call: Call[RailwayClient], project_id: str, name: str) -> Data | None:
    try:
        found = await call.client.query(LIST, projectId=project_id)
    except NotFound:
        return None
    return only([each for each in nodes(found["environments"]) if each["name"] == name])


async def _services(call: Call[RailwayClient], identity: str) -> set[str]:
    answer = await call.client.query_or_none(INSTANCES, id=identity)
    environment = (answer or {}).get("environment")
    return {each["serviceId"] for each in nodes(environment["serviceInstances"])} if environment else set()


async def _copied(call: Call[RailwayClient], identity: str, inputs: EnvironmentInputs) -> None:
    """Instances appear some time after a copy was made; who deploys them at once would not find them."""
    if inputs.source_environment_id is None:
        return
    expected = await _services(call, inputs.source_environment_id)

    async def complete() -> bool | None:
        return True if expected <= await _services(call, identity) else None

    try:
        deadline_s = call.timeout_s or COPY_DEADLINE_S
        await until(call, complete, deadline_s=deadline_s, what=f"copy of {len(expected)} services into {inputs.name}")
    except ProviderError as error:
        reason = f"environments/{inputs.name}: made, but not complete: {error}; run `up` again to go on waiting"
        raise HalfMade(identity, {}, (reason,)) from error
