"""Transition of a change that brings services of its own: a template's, or those that a configuration file asks for.

They come into one environment, each with its volumes, together with the patch that sets them up; what the patch says of services
that are there already is done as well. One change: all of it or nothing, and one deployment for each service.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct, structs

from infra.localcloud.world import lookup
from infra.localcloud.world.effects import Change, with_items
from infra.localcloud.world.errors import Refused
from infra.localcloud.world.model import Service, Stamp, World
from infra.localcloud.world.patch_content import EnvironmentChanges, NewService, NewVolume, ServicePatch
from infra.localcloud.world.patches import CommitPatch, commit_patch, with_created
from infra.localcloud.world.places import CreateVolume, RenameVolume, create_volume, rename_volume
from infra.localcloud.world.projects import checked_name


class AddServices(Struct, frozen=True):
    """`patch` and `changes` are of what is there. `is_numbering`: a name that is taken gets a number, or else it is refused.

    With `seen`, the world in which the caller decided, it is refused where the environment is not what it was there.
    """

    stamp: Stamp
    environment_id: str
    services: tuple[NewService, ...]
    volumes: tuple[NewVolume, ...] = ()
    patch: dict[str, Any] = {}
    changes: tuple[ServicePatch, ...] = ()
    message: str | None = None
    is_numbering: bool = False
    seen: World | None = None


def add_services(world: World, command: AddServices) -> Change:
    environment = lookup.environment(world, command.environment_id)
    if command.seen is not None and _content(world, environment.id) != _content(command.seen, environment.id):
        raise Refused("The environment has changed meanwhile: operation is already in progress")
    stamp = command.stamp
    renamed: dict[str, str] = {}
    for one in command.services:
        name = checked_name("Service", one.name)
        taken = {found.name for found in world.services.values() if found.project_id == environment.project_id}
        if name in taken and not command.is_numbering:
            raise Refused(f'A service named "{name}" already exists in this project')
        name = renamed[one.name] = _free_name(name, taken)
        service = Service(one.service_id, environment.project_id, name, one.icon, stamp.at, stamp.at)
        world = with_items(world, services={service.id: service})
    changes = EnvironmentChanges((*(_with_names(one.changes, renamed) for one in command.services), *command.changes))
    world = with_created(world, stamp, environment.id, changes)
    for number, volume in enumerate((*(one for each in command.services for one in each.volumes), *command.volumes)):
        world = _with_volume(world, command, structs.replace(stamp, id=stamp.child(f"volume:{number}")), volume)
    patch = {"services": {**{one.service_id: one.patch for one in command.services}, **command.patch}}
    return commit_patch(world, CommitPatch(stamp, environment.id, patch, changes, command.message))


def _content(world: World, environment_id: str) -> list[Any]:
    """What a configuration says of an environment: no deployments, which come and go by themselves."""
    tables: tuple[dict[str, Any], ...] = (world.domains, world.custom_domains, world.tcp_proxies, world.volume_instances)
    return [
        {found.service_id: found.settings for found in world.instances.values() if found.environment_id == environment_id},
        *({key: one for key, one in table.items() if one.environment_id == environment_id} for table in tables),
        *(
            {key: one for key, one in table.items() if key.partition("/")[0] == environment_id}
            for table in (world.variables, world.sealed)
        ),
    ]


def _free_name(name: str, taken: set[str]) -> str:
    return next(each for each in (name, *(f"{name}-{number}" for number in range(1, len(taken) + 2))) if each not in taken)


def _with_names(changes: ServicePatch, renamed: dict[str, str]) -> ServicePatch:
    """What new services say of each other goes by the names that they got."""
    variables = {}
    for key, value in changes.variables.items():
        for old, new in renamed.items():
            value = value and value.replace(f"${{{{{old}.", f"${{{{{new}.")
        variables[key] = value
    return structs.replace(changes, variables=variables)


def _with_volume(world: World, command: AddServices, stamp: Stamp, wanted: NewVolume) -> World:
    environment = lookup.environment(world, command.environment_id)
    made = CreateVolume(stamp, environment.project_id, environment.id, wanted.service_id, wanted.mount_path, wanted.region)
    world = create_volume(world, made).world
    return rename_volume(world, RenameVolume(stamp, stamp.id, wanted.name)).world
