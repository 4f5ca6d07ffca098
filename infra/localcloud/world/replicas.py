"""Transitions of a deployment's replicas: what the conductor found out about its processes, and what that makes of its status."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct, structs

from infra.localcloud.world import lookup
from infra.localcloud.world.deployments import SERVING, S, moved
from infra.localcloud.world.effects import Change, RoutesChanged, with_items
from infra.localcloud.world.model import DeploymentStatus, Replica, ReplicaStatus, Stamp, World

REMOVED_REPLICAS_KEPT = 50


class AddReplicas(Struct, frozen=True):
    deployment_id: str
    replicas: tuple[Replica, ...]


class SetReplica(Struct, frozen=True):
    deployment_id: str
    key: str
    status: ReplicaStatus
    restarts: int | None = None


class RecordStop(Struct, frozen=True):
    deployment_id: str


class FallAsleep(Struct, frozen=True):
    """`doors`: replica -> the address where whoever comes waits from now on."""

    stamp: Stamp
    deployment_id: str
    doors: dict[str, str]


class RetireReplicas(Struct, frozen=True):
    """Their processes are gone; they stay on record so that their logs can be found."""

    deployment_id: str
    keys: tuple[str, ...]


def add_replicas(world: World, command: AddReplicas) -> Change:
    deployment = lookup.deployment(world, command.deployment_id)
    gone = [found for found in deployment.replicas if found.status is ReplicaStatus.REMOVED]
    forgotten = gone[: max(0, len(gone) - REMOVED_REPLICAS_KEPT)]
    kept = (found for found in deployment.replicas if found not in forgotten)
    updated = structs.replace(deployment, replicas=(*kept, *command.replicas))
    return Change(with_items(world, deployments={deployment.id: updated}))


def set_replica(world: World, command: SetReplica) -> Change:
    """A deployment crashed when no replica runs or will run again; it is well again as soon as one runs."""
    deployment = lookup.deployment(world, command.deployment_id)
    replicas = tuple(
        structs.replace(found, status=command.status, restarts=found.restarts if command.restarts is None else command.restarts)
        if found.key == command.key
        else found
        for found in deployment.replicas
    )
    status = deployment.status
    if status in SERVING and replicas:
        status = settled_status(replicas)
    present = [found for found in replicas if found.status is not ReplicaStatus.REMOVED]
    has_ended = bool(present) and all(found.status is ReplicaStatus.EXITED for found in present)
    is_stopped = has_ended and not deployment.settings.is_scheduled
    updated = structs.replace(deployment, replicas=replicas, status=status, is_stopped=is_stopped)
    return Change(with_items(world, deployments={deployment.id: updated}), (RoutesChanged(),))


def record_stop(world: World, command: RecordStop) -> Change:
    deployment = lookup.deployment(world, command.deployment_id)
    replicas = tuple(
        found if found.status is ReplicaStatus.REMOVED else structs.replace(found, status=ReplicaStatus.EXITED)
        for found in deployment.replicas
    )
    updated = structs.replace(deployment, replicas=replicas, is_stopped=True, status=settled_status(replicas))
    return Change(with_items(world, deployments={deployment.id: updated}), (RoutesChanged(),))


def fall_asleep(world: World, command: FallAsleep) -> Change:
    deployment = lookup.deployment(world, command.deployment_id)
    world = moved(world, deployment, S.SLEEPING, command.stamp)
    replicas = tuple(
        structs.replace(found, status=ReplicaStatus.STOPPED, door=door) if (door := command.doors.get(found.key)) else found
        for found in deployment.replicas
    )
    updated = structs.replace(world.deployments[deployment.id], replicas=replicas)
    return Change(with_items(world, deployments={deployment.id: updated}), (RoutesChanged(),))


def settled_status(replicas: tuple[Replica, ...]) -> DeploymentStatus:
    """SLEEPING or CRASHED when at least one replica is and none is up or coming up."""
    alive = (ReplicaStatus.RUNNING, ReplicaStatus.RESTARTING, ReplicaStatus.INITIALIZING)
    if any(found.status in alive for found in replicas):
        return S.SUCCESS
    if any(found.status is ReplicaStatus.STOPPED for found in replicas):
        return S.SLEEPING
    return S.CRASHED if any(found.status is ReplicaStatus.CRASHED for found in replicas) else S.SUCCESS


def retire_replicas(world: World, command: RetireReplicas) -> Change:
    deployment = world.deployments.get(command.deployment_id)
    if deployment is None:  # forgotten or deleted meanwhile; its replicas went with it
        return Change(world)
    replicas = tuple(
        structs.replace(found, status=ReplicaStatus.REMOVED) if found.key in command.keys else found
        for found in deployment.replicas
    )
    updated = structs.replace(deployment, replicas=replicas)
    return Change(with_items(world, deployments={deployment.id: updated}), (RoutesChanged(),))


TRANSITIONS: dict[type, Callable[[World, Any], Change]] = {
    AddReplicas: add_replicas,
    SetReplica: set_replica,
    RecordStop: record_stop,
    FallAsleep: fall_asleep,
    RetireReplicas: retire_replicas,
}
