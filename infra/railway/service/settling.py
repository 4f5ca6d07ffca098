"""A service's instance brought to what is wanted: settings, limits, credentials and variables as one change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from infra.provider.definition import Call
from infra.provider.errors import NotFound
from infra.provider.fields import Field
from infra.provider.waiting import until
from infra.railway import staging
from infra.railway.client import Data, RailwayClient
from infra.railway.edits import check_unedited
from infra.railway.operations import load
from infra.railway.service.instance import (
    Instance,
    ServiceInputs,
    change_of,
    config_patch,
    inputs_from,
    is_disconnected,
    parsed,
    settings_of,
)
from infra.railway.variables import variables_of, variables_patch

INSTANCE = load(__file__, "instance.graphql")
DISCONNECT = load(__file__, "disconnect.graphql")

APPEAR_DEADLINE_S = 60.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What is there; `variables` is empty where the program does not name them."""

    instance: Instance
    variables: Mapping[str, str]


async def settle(
    call: Call[RailwayClient], identity: str, inputs: ServiceInputs, remembered: ServiceInputs | None, fields: Sequence[Field]
) -> None:
    """Returns when everything is as wanted. `remembered` is what the state says was there; None where it cannot say."""
    what = f"services/{inputs.name}"

    async def there() -> Seen | None:
        return await _seen(call, identity, inputs, remembered)

    async def decide() -> Data:
        now = await there()
        if now is None:
            raise NotFound(f"{what}: its instance in environment {inputs.environment_id} is gone")
        if remembered is not None:
            _check_unedited(what, fields, remembered, now, inputs)
        return patch_of(identity, now, inputs, remembered)

    appearance = f"{what}: its instance in environment {inputs.environment_id}"
    found = await until(call, there, deadline_s=APPEAR_DEADLINE_S, what=appearance)
    if is_disconnected(found.instance, inputs):
        await _disconnect(call, identity, inputs)
    if patch_of(identity, found, inputs, remembered):
        await staging.commit(call, inputs.environment_id, what, decide)


def patch_of(identity: str, found: Seen, wanted: ServiceInputs, remembered: ServiceInputs | None) -> Data:
    """The patch of the environment's configuration from what is there to what is wanted; empty when they agree."""
    sections = config_patch(change_of(found.instance, wanted, remembered))
    if wanted.variables is not None and (variables := variables_patch(found.variables, wanted.variables)):
        sections["variables"] = variables
    return {"services": {identity: sections}} if sections else {}


def _check_unedited(what: str, fields: Sequence[Field], remembered: ServiceInputs, found: Seen, wanted: ServiceInputs) -> None:
    settings = settings_of(wanted)
    staged = [each for each in fields if each.name in settings]
    check_unedited(what, staged, settings_of(remembered), inputs_from(found.instance, remembered), settings)
    if wanted.variables is not None and remembered.variables is not None:
        there, wish = {"variables": found.variables}, {"variables": wanted.variables}
        before = {"variables": remembered.variables}
        check_unedited(f"variables of {what}", fields, before, there, wish, is_silent=True)


async def _seen(call: Call[RailwayClient], identity: str, wanted: ServiceInputs, remembered: ServiceInputs | None) -> Seen | None:
    instance = await instance_of(call, identity, wanted.environment_id)
    if instance is None:
        return None
    if wanted.variables is None:
        return Seen(instance, {})
    ours = wanted.variables.keys() | ((remembered.variables if remembered else None) or {}).keys()
    variables = await variables_of(call, {**wanted.place, "serviceId": identity}, ours)
    return None if variables is None else Seen(instance, variables)


async def instance_of(call: Call[RailwayClient], identity: str, environment_id: str) -> Instance | None:
    answer = await call.client.query_or_none(INSTANCE, serviceId=identity, environmentId=environment_id)
    return None if answer is None or answer["serviceInstance"] is None else parsed(answer, identity)


async def _disconnect(call: Call[RailwayClient], identity: str, inputs: ServiceInputs) -> None:
    async def settled() -> Data | None:
        now = await instance_of(call, identity, inputs.environment_id)
        return {} if now and not is_disconnected(now, inputs) else None

    await call.client.mutate(DISCONNECT, {"id": identity}, settled)
