"""One variable: of a service, or without a service one that all services of the environment may refer to.

A sealed variable can be read by nobody any more, not by us either. What was set is taken to stand, and only that it is still
there can be seen; its digest is what a Deployment's triggers go by. There is no unsealing: that makes a new variable.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from msgspec import Struct

from infra.provider.comparison import Change
from infra.provider.definition import Call, Found, Made, Recorded, Resource
from infra.provider.errors import Conflict, InvalidInput, NotFound
from infra.provider.fields import Field, Output
from infra.provider.properties import UNKNOWN, Properties, has_unknown, plain
from infra.provider.rules import Text, Truth
from infra.railway import staging
from infra.railway.addresses import Addressed
from infra.railway.client import Data, RailwayClient, nodes
from infra.railway.edits import check_unedited
from infra.railway.names import ID, VARIABLE_NAME
from infra.railway.operations import load
from infra.railway.variables import digest

READ = load(__file__, "read.graphql")
DELETE = load(__file__, "delete.graphql")


class VariableInputs(Struct, frozen=True, rename="camel"):
    project_id: str
    environment_id: str
    name: str
    value: str
    service_id: str | None = None
    sealed: bool = False

    @property
    def place(self) -> Data:
        return {"projectId": self.project_id, "environmentId": self.environment_id, "serviceId": self.service_id}

    @property
    def identity(self) -> str:
        return "/".join((self.project_id, self.environment_id, self.service_id or SHARED, self.name))


class Seen(Struct, frozen=True):
    """`value` is None where it is sealed."""

    value: str | None
    is_sealed: bool


SHARED = "shared"
"""In ids, in place of a service."""


class Variable(Addressed, Resource[RailwayClient, VariableInputs]):
    """Setting or sealing one deploys nothing: deployments are explicit here."""

    resource_type: ClassVar = "railway:index:Variable"
    collection: ClassVar = "variables"
    inputs_type: ClassVar = VariableInputs
    deletes_before_replace: ClassVar = True  # a name is there once
    fields: ClassVar = (
        Field("projectId", ID, is_required=True, replaces=True),
        Field("environmentId", ID, is_required=True, replaces=True),
        Field("serviceId", ID, replaces=True, about="without it the variable is shared by the environment's services"),
        Field("name", VARIABLE_NAME, is_required=True, replaces=True),
        Field("value", Text(chars_min=0), is_required=True, is_secret=True),
        Field("sealed", Truth(), default=False),
    )
    outputs: ClassVar = (
        Output("digest", is_secret=True, is_stable=False, about="sha256 of the value, for a Deployment's triggers"),
    )

    def diff(self, old_inputs: Properties, old_outputs: Properties, new_inputs: Properties) -> tuple[Change, ...]:
        """As usual, but there is no way back from a seal."""
        was_sealed = plain(old_inputs.get("sealed")) is True
        return tuple(
            dataclasses.replace(each, replaces=True) if each.field == "sealed" and was_sealed else each
            for each in super().diff(old_inputs, old_outputs, new_inputs)
        )

    def preview(self, inputs: Properties, old_outputs: Mapping[str, Any] | None) -> Properties:
        value = inputs.get("value")
        return {"digest": UNKNOWN if has_unknown(value) else _digest(plain(value))}

    async def create(self, call: Call[RailwayClient], inputs: VariableInputs) -> Made:
        with call.client.waves.announced(inputs.environment_id, call.ticket):
            return await self._create(call, inputs)

    async def _create(self, call: Call[RailwayClient], inputs: VariableInputs) -> Made:
        seen = await _seen(call, inputs.place, inputs.name)
        if seen is not None and (seen.is_sealed or seen.value != inputs.value):
            raise Conflict(
                f"variables/{inputs.name}: exists already with another value; "
                f"adopt it with `pulumi import {self.resource_type} NAME {inputs.identity}`"
            )
        return await self._put(call, inputs, None)

    async def update(self, call: Call[RailwayClient], recorded: Recorded[VariableInputs], inputs: VariableInputs) -> Made:
        return await self._put(call, inputs, recorded.inputs)

    async def _put(self, call: Call[RailwayClient], inputs: VariableInputs, remembered: VariableInputs | None) -> Made:
        what = f"variables/{inputs.name}"

        async def decide() -> Data:
            seen = await _seen(call, inputs.place, inputs.name)
            if seen is not None and not seen.is_sealed and not inputs.sealed and seen.value == inputs.value:
                return {}
            if remembered is not None and seen is not None and not seen.is_sealed:
                # A sealed value cannot be looked at: nobody knows whether it was edited.
                there, wish = {"value": seen.value}, {"value": inputs.value}
                check_unedited(what, self.fields, {"value": remembered.value}, there, wish, is_silent=True)
            return _patch(inputs)

        await staging.commit(call, inputs.environment_id, what, decide)
        return Made(inputs.identity, {"digest": _digest(inputs.value)})

    async def read(self, call: Call[RailwayClient], recorded: Recorded[VariableInputs]) -> Found | None:
        place, name = _place_of(recorded.identity)
        seen = await _seen(call, place, name)
        if seen is None:
            return None
        value = seen.value
        if value is None:
            value = recorded.inputs.value if recorded.inputs else ""
        inputs = {**place, "name": name, "value": value, "sealed": seen.is_sealed}
        return Found(recorded.identity, inputs, {"digest": _digest(value)})

    async def delete(self, call: Call[RailwayClient], recorded: Recorded[VariableInputs]) -> None:
        place, name = _place_of(recorded.identity)

        async def gone() -> Data | None:
            return {} if await _seen(call, place, name) is None else None

        if await gone() is not None:
            return
        try:
            await call.client.mutate(DELETE, {"input": {**place, "name": name}}, gone)
        except NotFound:
            return  # its service went first, and took it along


def _patch(inputs: VariableInputs) -> Data:
    entry: Data = {"value": inputs.value, "isSealed": True} if inputs.sealed else {"value": inputs.value}
    if inputs.service_id is None:
        return {"sharedVariables": {inputs.name: entry}}
    return {"services": {inputs.service_id: {"variables": {inputs.name: entry}}}}


def _place_of(identity: str) -> tuple[Data, str]:
    parts = identity.split("/")
    if len(parts) != 4:
        raise InvalidInput(f"variables: expected project/environment/service/name or .../{SHARED}/name, got {identity!r}")
    project_id, environment_id, service_id, name = parts
    place: Data = {"projectId": project_id, "environmentId": environment_id}
    return {**place, "serviceId": None if service_id == SHARED else service_id}, name


async def _seen(call: Call[RailwayClient], place: Data, name: str) -> Seen | None:
    after: str | None = None
    while True:
        answer = await call.client.query_or_none(READ, **place, after=after)
        if answer is None or answer["environment"] is None:
            return None
        value = (answer["variables"] or {}).get(name)
        page = answer["environment"]["variables"]
        for each in nodes(page):
            if (each["name"], each["serviceId"]) == (name, place["serviceId"]):
                return Seen(None, is_sealed=True) if each["isSealed"] else Seen(value, is_sealed=False)
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"] or not after:
            return None if value is None else Seen(value, is_sealed=False)


def _digest(value: str) -> str:
    return digest({"value": value})
