"""Deletions that take their time: what goes at once but is not gone yet, and what goes only after a grace.

Theory of operation. Railway's deletes are eventual. A thing that is deleted leaves the world at once, so that nothing can be
done with it and its name is free; it is still shown by its id, with deletedAt, until everything that it ran has ended (its
Endings). Volumes, and projects whose deletion is scheduled, have a grace of 48 hours first, by the cloud's clock, in which
they go on as they were and say when they will go.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct, structs

from infra.localcloud.world import lookup
from infra.localcloud.world.effects import Change, RunEnding, with_items
from infra.localcloud.world.errors import Refused
from infra.localcloud.world.model import (
    CustomDomain,
    Departed,
    Domain,
    Ending,
    Environment,
    Project,
    Service,
    Stamp,
    TcpProxy,
    World,
)

GRACE = timedelta(hours=48)  # Railway's documentation of volumes; its schema's words on projectScheduleDelete
Thing = Project | Environment | Service | Domain | CustomDomain | TcpProxy
_FIELDS: dict[type, str] = {
    Project: "project",
    Environment: "environment",
    Service: "service",
    Domain: "domain",
    CustomDomain: "custom_domain",
    TcpProxy: "tcp_proxy",
}


def departing(change: Change, stamp: Stamp, *things: Thing) -> Change:
    """`change` took `things` out of the world: they are shown until all that it ends has ended, be it nothing but routes."""
    effects = change.effects
    endings = tuple(effect.ending.id for effect in effects if isinstance(effect, RunEnding))
    world = change.world
    if not endings:
        ending = Ending(id=stamp.child(f"departure of {things[0].id}"))
        world = with_items(world, endings={ending.id: ending})
        effects, endings = (*effects, RunEnding(scope=None, ending=ending)), (ending.id,)
    departed = {one.id: Departed(stamp.at, endings, **{_FIELDS[type(one)]: one}) for one in things}  # type: ignore[arg-type]
    return Change(with_items(world, departed=departed), effects)


def grace_from(stamp: Stamp) -> str:
    """When what is deleted now will go."""
    return (datetime.fromisoformat(stamp.at) + GRACE).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class ScheduleProjectDeletion(Struct, frozen=True):
    stamp: Stamp
    project_id: str


class CancelProjectDeletion(Struct, frozen=True):
    stamp: Stamp
    project_id: str


def schedule_project_deletion(world: World, command: ScheduleProjectDeletion) -> Change:
    """Asking again moves nothing."""
    project = lookup.project(world, command.project_id)
    if project.deletes_at is not None:
        return Change(world)
    updated = structs.replace(project, deletes_at=grace_from(command.stamp), updated_at=command.stamp.at)
    return Change(with_items(world, projects={project.id: updated}))


def cancel_project_deletion(world: World, command: CancelProjectDeletion) -> Change:
    project = require_scheduled(world, command.project_id)
    updated = structs.replace(project, deletes_at=None, updated_at=command.stamp.at)
    return Change(with_items(world, projects={project.id: updated}))


def require_scheduled(world: World, project_id: str) -> Project:
    project = lookup.project(world, project_id)
    if project.deletes_at is None:
        raise Refused("Project is not scheduled for deletion")
    return project


def projects_to_come(world: World) -> dict[str, str]:
    """Project -> when its grace ends."""
    return {found.id: found.deletes_at for found in world.projects.values() if found.deletes_at}


def volumes_to_come(world: World) -> dict[str, str]:
    return {found.volume_id: found.deletes_at for found in world.volume_instances.values() if found.deletes_at}


TRANSITIONS: dict[type, Callable[[World, Any], Change]] = {
    ScheduleProjectDeletion: schedule_project_deletion,
    CancelProjectDeletion: cancel_project_deletion,
}
