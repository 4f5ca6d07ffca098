"""The complete set of one service's variables in one environment: what is not in it is removed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Container, Mapping
from typing import Any, ClassVar

from infra.provider.definition import Call, Found, Made, Recorded, Resource
from infra.provider.errors import NotFound
from infra.provider.fields import Field, Output
from infra.provider.properties import UNKNOWN, Properties, Secret, has_unknown, plain
from infra.provider.rules import MapOf, Text
from infra.railway import staging
from infra.railway.addresses import Addressed
from infra.railway.client import Data, RailwayClient
from infra.railway.edits import check_unedited
from infra.railway.names import VARIABLE_NAME
from infra.railway.operations import load
from infra.railway.placed import PLACE_FIELDS, PlacedInputs, place_of

UPSERT = load(__file__, "upsert.graphql")
READ = load(__file__, "read.graphql")

PROVIDED = "RAILWAY_"
"""Railway lists its own variables among ours; those we did not set are not ours."""


class VariablesInputs(PlacedInputs, frozen=True):
    variables: dict[str, str]


class Variables(Addressed, Resource[RailwayClient, VariablesInputs]):
    """Variables as a whole. Setting them deploys nothing: deployments are explicit here."""

    resource_type: ClassVar = "railway:index:Variables"
    collection: ClassVar = "variables"
    inputs_type: ClassVar = VariablesInputs
    fields: ClassVar = (
        *PLACE_FIELDS,
        Field("variables", MapOf(Text(chars_min=0), key=VARIABLE_NAME), is_required=True),
    )
    outputs: ClassVar = (
        Output("digest", is_secret=True, is_stable=False, about="sha256 over names and values, for a Deployment's triggers"),
    )

    def preview(self, inputs: Properties, old_outputs: Mapping[str, Any] | None) -> Properties:
        """The digest is a function of the variables, so a preview knows it as soon as it knows them."""
        variables = inputs.get("variables")
        return {"digest": UNKNOWN if has_unknown(variables) else digest(plain(variables))}

    async def create(self, call: Call[RailwayClient], inputs: VariablesInputs) -> Made:
        return await self._put(call, inputs, None)

    async def update(self, call: Call[RailwayClient], recorded: Recorded[VariablesInputs], inputs: VariablesInputs) -> Made:
        return await self._put(call, inputs, recorded.inputs)

    async def _put(self, call: Call[RailwayClient], inputs: VariablesInputs, remembered: VariablesInputs | None) -> Made:
        what = f"variables of service {inputs.service_id}"

        async def decide() -> Data:
            ours = inputs.variables.keys() | (remembered.variables.keys() if remembered else set())
            found = await variables_of(call, inputs.place, ours)
            if found is None:
                raise NotFound(f"{what}: the service is gone")
            if remembered is not None:
                there, wish = {"variables": found}, {"variables": inputs.variables}
                check_unedited(what, self.fields, {"variables": remembered.variables}, there, wish, is_silent=True)
            patch = variables_patch(found, inputs.variables)
            return {"services": {inputs.service_id: {"variables": patch}}} if patch else {}

        await staging.commit(call, inputs.environment_id, what, decide)
        return Made(inputs.identity, {"digest": digest(inputs.variables)})

    async def read(self, call: Call[RailwayClient], recorded: Recorded[VariablesInputs]) -> Found | None:
        place = recorded.inputs.place if recorded.inputs else place_of(recorded.identity)
        set_by_us = recorded.inputs.variables if recorded.inputs else {}
        found = await variables_of(call, place, set_by_us)
        if found is None:
            return None
        # Of an import nobody has said yet which values are secret: until then all of them are.
        shown: Properties = dict(found) if recorded.inputs else {name: Secret(value) for name, value in found.items()}
        return Found(recorded.identity, {**place, "variables": shown}, {"digest": digest(found)})

    async def delete(self, call: Call[RailwayClient], recorded: Recorded[VariablesInputs]) -> None:
        place = recorded.inputs.place if recorded.inputs else place_of(recorded.identity)
        if (place["environmentId"], place["serviceId"]) in call.client.with_variables:
            return  # the program moved them into its Service, which holds them now

        async def settled() -> Data | None:
            return {} if not await variables_of(call, place, {}) else None

        try:
            await call.client.mutate(UPSERT, {"input": {**place, "variables": {}, "replace": True, "skipDeploys": True}}, settled)
        except NotFound:
            return  # the service went first, and took its variables along


def variables_patch(found: Mapping[str, str], wanted: Mapping[str, str]) -> Data:
    """What a patch of the environment's configuration says to turn `found` into `wanted`; empty when they agree."""
    patch: Data = {name: None for name in found if name not in wanted}
    return patch | {name: {"value": value} for name, value in wanted.items() if found.get(name) != value}


async def variables_of(call: Call[RailwayClient], place: Mapping[str, str], ours: Container[str]) -> dict[str, str] | None:
    answer = await call.client.query_or_none(READ, **place)
    if answer is None:
        return None
    found: Mapping[str, str] = answer["variables"] or {}
    return {name: value for name, value in found.items() if name in ours or not name.startswith(PROVIDED)}


def digest(variables: Mapping[str, str]) -> str:
    """One text that changes exactly when a name or a value does. Secret: short values could be guessed from it."""
    canonical = json.dumps(dict(variables), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()
