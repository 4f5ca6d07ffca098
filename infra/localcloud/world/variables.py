"""Transitions of variables. A change redeploys what runs with it unless the caller says skipDeploys, as on Railway."""

from __future__ import annotations

import re

from msgspec import Struct, structs

from infra.localcloud.world import lookup
from infra.localcloud.world.deployments import new_deployment
from infra.localcloud.world.effects import Change, Effect, with_items
from infra.localcloud.world.errors import BadInput, NotFound
from infra.localcloud.world.model import Instance, Stamp, World

VARIABLES_MAX = 500
VALUE_CHARACTERS_MAX = 32_768
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")


class UpsertVariables(Struct, frozen=True):
    """`service_id` None means shared variables of the environment; `sealed` names those that nobody may read from now on.

    A replacement leaves sealed variables that it does not name: who replaces has not been shown them.
    """

    stamp: Stamp
    project_id: str
    environment_id: str
    service_id: str | None
    values: dict[str, str]
    is_replacing: bool = False
    is_skipping_deploys: bool = False
    sealed: tuple[str, ...] = ()


class ConfigureShared(Struct, frozen=True):
    """Gives a shared variable to services under its own name, as a reference, and takes it from others."""

    stamp: Stamp
    project_id: str
    environment_id: str
    name: str
    enabled: tuple[str, ...]
    disabled: tuple[str, ...]


class DeleteVariable(Struct, frozen=True):
    stamp: Stamp
    project_id: str
    environment_id: str
    service_id: str | None
    name: str
    is_skipping_deploys: bool = False


def checked_variables(values: dict[str, str]) -> dict[str, str]:
    """BadInput for a bad name or value; messages never show a value."""
    for name, value in values.items():
        if not NAME.fullmatch(name):
            raise BadInput(f"variable {name[:40]!r}: expected a name of letters, digits and _ that starts with no digit")
        if not isinstance(value, str):
            raise BadInput(f"variable {name}: expected a string")
        if len(value) > VALUE_CHARACTERS_MAX:
            raise BadInput(f"variable {name}: expected at most {VALUE_CHARACTERS_MAX} characters, got {len(value)}")
        if "\0" in value:
            raise BadInput(f"variable {name}: a process environment cannot hold a NUL character")
    return dict(values)


def without_sealed(world: World) -> World:
    """The world as variables may be shown: a sealed value is empty, also where another variable refers to it."""
    shown = {
        key: {name: "" if name in sealed else value for name, value in world.variables.get(key, {}).items()}
        for key, sealed in world.sealed.items()
    }
    return with_items(world, variables=shown)


def upsert_variables(world: World, command: UpsertVariables) -> Change:
    _check_place(world, command.project_id, command.environment_id, command.service_id)
    key = lookup.variable_key(command.environment_id, command.service_id)
    before = world.variables.get(key, {})
    sealed = world.sealed.get(key, ())
    kept = {name: before[name] for name in sealed if name in before} if command.is_replacing else before
    after = {**kept, **checked_variables(command.values)}
    if len(after) > VARIABLES_MAX:
        raise BadInput(f"expected at most {VARIABLES_MAX} variables, got {len(after)}")
    sealed = tuple(sorted({*sealed, *command.sealed} & after.keys()))
    world = with_items(world, variables={key: after}, sealed={key: sealed or None})
    if command.is_skipping_deploys or after == before:
        return Change(world)
    return _redeployed(world, command.environment_id, command.service_id, command.stamp)


def delete_variable(world: World, command: DeleteVariable) -> Change:
    _check_place(world, command.project_id, command.environment_id, command.service_id)
    key = lookup.variable_key(command.environment_id, command.service_id)
    before = world.variables.get(key, {})
    if command.name not in before:
        return Change(world)
    sealed = tuple(name for name in world.sealed.get(key, ()) if name != command.name)
    after = {name: value for name, value in before.items() if name != command.name}
    world = with_items(world, variables={key: after}, sealed={key: sealed or None})
    if command.is_skipping_deploys:
        return Change(world)
    return _redeployed(world, command.environment_id, command.service_id, command.stamp)


def configure_shared(world: World, command: ConfigureShared) -> Change:
    _check_place(world, command.project_id, command.environment_id, None)
    if command.name not in lookup.variables_of(world, command.environment_id, None):
        raise NotFound("Variable")
    effects: list[Effect] = []
    for service_id in (*command.enabled, *command.disabled):
        stamp = structs.replace(command.stamp, id=command.stamp.child(service_id))
        place = (command.project_id, command.environment_id, service_id)
        if service_id in command.enabled:
            reference = {command.name: f"${{{{shared.{command.name}}}}}"}
            change = upsert_variables(world, UpsertVariables(stamp, *place, reference))
        else:
            change = delete_variable(world, DeleteVariable(stamp, *place, command.name))
        world = change.world
        effects.extend(change.effects)
    return Change(world, tuple(effects))


def _check_place(world: World, project_id: str, environment_id: str, service_id: str | None) -> None:
    if lookup.environment(world, environment_id).project_id != project_id:
        raise BadInput("environmentId must be an environment of the project")
    if service_id is not None:
        lookup.instance(world, service_id, environment_id)


def _redeployed(world: World, environment_id: str, service_id: str | None, stamp: Stamp) -> Change:
    """New deployments for whatever runs with these variables: one service, or all that refer to shared ones."""
    effects: list[Effect] = []
    for instance in list(world.instances.values()):
        if instance.environment_id == environment_id and _is_running_with(world, instance, service_id):
            derived = structs.replace(stamp, id=stamp.child(f"deploy:{instance.id}"))
            change = new_deployment(world, instance, derived, reason="deploy")
            world = change.world
            effects.extend(change.effects)
    return Change(world, tuple(effects))


def _is_running_with(world: World, instance: Instance, service_id: str | None) -> bool:
    if instance.active_deployment_id is None:
        return False
    if service_id is not None:
        return instance.service_id == service_id
    return refers_to_shared(world, instance)


def refers_to_shared(world: World, instance: Instance) -> bool:
    own = lookup.variables_of(world, instance.environment_id, instance.service_id)
    return any("shared." in value for value in own.values())
