"""A Railway environment: one isolated copy of a project's services."""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct

from infra.provider.definition import Call, Found, Made, Recorded, Resource
from infra.provider.errors import Conflict
from infra.provider.fields import Field
from infra.railway.client import Data, RailwayClient, nodes
from infra.railway.names import ENVIRONMENT_NAME, ID
from infra.railway.operations import load
from infra.railway.removal import remove

CREATE = load(__file__, "create.graphql")
LIST = load(__file__, "list.graphql")
READ = load(__file__, "read.graphql")
RENAME = load(__file__, "rename.graphql")
DELETE = load(__file__, "delete.graphql")


class EnvironmentInputs(Struct, frozen=True, rename="camel"):
    project_id: str
    name: str


class Environment(Resource[RailwayClient, EnvironmentInputs]):
    """An empty environment; nothing is copied into it and nothing in it is deployed by its creation."""

    resource_type: ClassVar = "railway:index:Environment"
    collection: ClassVar = "environments"
    inputs_type: ClassVar = EnvironmentInputs
    fields: ClassVar = (
        Field("projectId", ID, is_required=True, replaces=True),
        Field("name", ENVIRONMENT_NAME, is_required=True),
    )

    async def create(self, call: Call[RailwayClient], inputs: EnvironmentInputs) -> Made:
        async def named() -> Data | None:
            found = await call.client.query(LIST, projectId=inputs.project_id)
            same = [each for each in nodes(found["environments"]) if each["name"] == inputs.name]
            return {"environmentCreate": same[0]} if same else None

        existing = await named()
        if existing is not None:
            identity = existing["environmentCreate"]["id"]
            raise Conflict(
                f"environments/{inputs.name}: exists already; adopt it with `pulumi import {self.resource_type} NAME {identity}`"
            )
        wanted = {"projectId": inputs.project_id, "name": inputs.name, "skipInitialDeploys": True}
        made = (await call.client.mutate(CREATE, {"input": wanted}, named))["environmentCreate"]
        return Made(made["id"], {})

    async def read(self, call: Call[RailwayClient], recorded: Recorded[EnvironmentInputs]) -> Found | None:
        environment = await _environment(call, recorded.identity)
        if environment is None:
            return None
        inputs = {"projectId": environment["projectId"], "name": environment["name"]}
        return Found(environment["id"], inputs, {})

    async def update(self, call: Call[RailwayClient], recorded: Recorded[EnvironmentInputs], inputs: EnvironmentInputs) -> Made:
        async def settled() -> Data | None:
            environment = await _environment(call, recorded.identity)
            return {} if environment and environment["name"] == inputs.name else None

        await call.client.mutate(RENAME, {"id": recorded.identity, "input": {"name": inputs.name}}, settled)
        return Made(recorded.identity, {})

    async def delete(self, call: Call[RailwayClient], recorded: Recorded[EnvironmentInputs]) -> None:
        async def gone() -> Data | None:
            return {} if await _environment(call, recorded.identity) is None else None

        await remove(call, DELETE, {"id": recorded.identity}, gone, f"environment {recorded.identity}")


async def _environment(call: Call[RailwayClient], identity: str) -> Data | None:
    answer = await call.client.query_or_none(READ, id=identity)
    environment: Data | None = (answer or {}).get("environment")
    return None if environment is None or environment.get("deletedAt") else environment
