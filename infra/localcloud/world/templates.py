"""Transition of a template: its services come into one environment, each with its volume, and are deployed as one change."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, structs

from infra.localcloud.world import lookup
from infra.localcloud.world.effects import Change, with_items
from infra.localcloud.world.model import Service, Stamp, World
from infra.localcloud.world.patch_content import EnvironmentChanges, ServicePatch
from infra.localcloud.world.patches import CommitPatch, commit_patch, with_created
from infra.localcloud.world.places import CreateVolume, create_volume
from infra.localcloud.world.projects import checked_name


class TemplateService(Struct, frozen=True):
    """`patch` is its part of the environment's patch as it will be shown, `changes` the same parsed; `domains` are the target
    ports of its service domains, which need addresses and are therefore made afterwards."""

    service_id: str
    name: str
    icon: str | None
    patch: dict[str, Any]
    changes: ServicePatch
    mount_paths: tuple[str, ...] = ()
    domains: tuple[int | None, ...] = ()


class DeployTemplate(Struct, frozen=True):
    stamp: Stamp
    environment_id: str
    services: tuple[TemplateService, ...]


def deploy_template(world: World, command: DeployTemplate) -> Change:
    """All of it or nothing. A name that is taken gets a number, in what the template's services say of each other too."""
    environment = lookup.environment(world, command.environment_id)
    stamp = command.stamp
    renamed: dict[str, str] = {}
    for one in command.services:
        name = renamed[one.name] = _free_name(world, environment.project_id, checked_name("Service", one.name))
        service = Service(one.service_id, environment.project_id, name, one.icon, stamp.at, stamp.at)
        world = with_items(world, services={service.id: service})
    changes = EnvironmentChanges(tuple(_with_names(one.changes, renamed) for one in command.services))
    patch = {"services": {one.service_id: one.patch for one in command.services}}
    world = with_created(world, stamp, environment.id, changes)
    for one in command.services:
        for path in one.mount_paths:
            derived = structs.replace(stamp, id=stamp.child(f"volume:{one.service_id}:{path}"))
            mount = CreateVolume(derived, environment.project_id, environment.id, one.service_id, path, None)
            world = create_volume(world, mount).world
    return commit_patch(world, CommitPatch(stamp, environment.id, patch, changes, None))


def _free_name(world: World, project_id: str, name: str) -> str:
    taken = {found.name for found in world.services.values() if found.project_id == project_id}
    return next(each for each in (name, *(f"{name}-{number}" for number in range(1, len(taken) + 2))) if each not in taken)


def _with_names(changes: ServicePatch, renamed: dict[str, str]) -> ServicePatch:
    variables = {}
    for key, value in changes.variables.items():
        for old, new in renamed.items():
            value = value and value.replace(f"${{{{{old}.", f"${{{{{new}.")
        variables[key] = value
    return structs.replace(changes, variables=variables)
