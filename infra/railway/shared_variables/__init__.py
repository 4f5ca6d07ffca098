"""The complete set of an environment's shared variables, which services refer to as `${{shared.NAME}}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from msgspec import Struct

from infra.provider.definition import Call, Found, Made, Recorded, Resource
from infra.provider.errors import InvalidInput, NotFound
from infra.provider.fields import Field, Output
from infra.provider.properties import UNKNOWN, Properties, Secret, has_unknown, plain
from infra.provider.rules import MapOf, Text
from infra.railway import staging
from infra.railway.addresses import Addressed
from infra.railway.client import Data, RailwayClient
from infra.railway.edits import check_unedited
from infra.railway.names import ID, VARIABLE_NAME
from infra.railway.operations import load
from infra.railway.variables import digest, variables_patch

UPSERT = load(__file__, "upsert.graphql")
READ = load(__file__, "read.graphql")


class SharedVariablesInputs(Struct, frozen=True, rename="camel"):
    project_id: str
    environment_id: str
    variables: dict[str, str]

    @property
    def place(self) -> dict[str, str]:
        return {"projectId": self.project_id, "environmentId": self.environment_id}

    @property
    def identity(self) -> str:
        return f"{self.project_id}/{self.environment_id}"


class SharedVariables(Addressed, Resource[RailwayClient, SharedVariablesInputs]):
    """Setting them deploys nothing: deployments are explicit here."""

    resource_type: ClassVar = "railway:index:SharedVariables"
    address: ClassVar = ("projectId", "environmentId")
    collection: ClassVar = "shared_variables"
    inputs_type: ClassVar = SharedVariablesInputs
    fields: ClassVar = (
        Field("projectId", ID, is_required=True, replaces=True),
        Field("environmentId", ID, is_required=True, replaces=True),
        Field("variables", MapOf(Text(chars_min=0), key=VARIABLE_NAME), is_required=True),
    )
    outputs: ClassVar = (
        Output("digest", is_secret=True, is_stable=False, about="sha256 over names and values, for a Deployment's triggers"),
    )

    def preview(self, inputs: Properties, old_outputs: Mapping[str, Any] | None) -> Properties:
        variables = inputs.get("variables")
        return {"digest": UNKNOWN if has_unknown(variables) else digest(plain(variables))}

    async def create(self, call: Call[RailwayClient], inputs: SharedVariablesInputs) -> Made:
        return await _put(call, inputs)

    async def update(
        self, call: Call[RailwayClient], recorded: Recorded[SharedVariablesInputs], inputs: SharedVariablesInputs
    ) -> Made:
        return await _put(call, inputs, recorded.inputs)

    async def read(self, call: Call[RailwayClient], recorded: Recorded[SharedVariablesInputs]) -> Found | None:
        place = _place_of(recorded.identity)
        found = await _variables(call, place)
        if found is None:
            return None
        # Of an import nobody has said yet which values are secret: until then all of them are.
        shown: Properties = dict(found) if recorded.inputs else {name: Secret(value) for name, value in found.items()}
        return Found(recorded.identity, {**place, "variables": shown}, {"digest": digest(found)})

    async def delete(self, call: Call[RailwayClient], recorded: Recorded[SharedVariablesInputs]) -> None:
        place = _place_of(recorded.identity)

        async def settled() -> Data | None:
            return {} if not await _variables(call, place) else None

        try:
            await call.client.mutate(UPSERT, {"input": {**place, "variables": {}, "replace": True, "skipDeploys": True}}, settled)
        except NotFound:
            return  # the environment went first, and took them along


async def _put(call: Call[RailwayClient], inputs: SharedVariablesInputs, remembered: SharedVariablesInputs | None = None) -> Made:
    async def decide() -> Data:
        found = await _variables(call, inputs.place)
        if found is None:
            raise NotFound(f"shared variables: environment {inputs.environment_id} is gone")
        if remembered is not None:
            there, wish = {"variables": found}, {"variables": inputs.variables}
            before = {"variables": remembered.variables}
            check_unedited("shared variables", SharedVariables.fields, before, there, wish, is_silent=True)
        patch = variables_patch(found, inputs.variables)
        return {"sharedVariables": patch} if patch else {}

    await staging.commit(call, inputs.environment_id, "shared variables", decide)
    return Made(inputs.identity, {"digest": digest(inputs.variables)})


def _place_of(identity: str) -> dict[str, str]:
    parts = identity.split("/")
    if len(parts) != 2:
        raise InvalidInput(f"shared_variables: expected project/environment, got {identity!r}")
    return {"projectId": parts[0], "environmentId": parts[1]}


async def _variables(call: Call[RailwayClient], place: dict[str, str]) -> dict[str, str] | None:
    answer = await call.client.query_or_none(READ, **place)
    return None if answer is None else dict(answer["variables"] or {})
