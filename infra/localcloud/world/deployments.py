"""Transitions of deployments.

    QUEUED -> INITIALIZING -> BUILDING -> DEPLOYING -> SUCCESS -> REMOVING -> REMOVED
       |           |             |            |          |  ^         ^
       +-----------+-------------+------------+-> FAILED |  +- CRASHED+   (also QUEUED.. -> REMOVED by cancel)
                                                         +-----^
                                                         +- SLEEPING, and back, or REMOVING

The table NEXT is the whole rule; a step that is not in it is refused. The conductor meets that refusal when somebody
cancelled or removed a deployment under its hands.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct, structs

from infra.localcloud.world import lookup
from infra.localcloud.world.effects import (
    CancelDeployment,
    Change,
    Effect,
    RemoveDeployment,
    RestartDeployment,
    RoutesChanged,
    RunDeployment,
    StopDeployment,
    with_items,
)
from infra.localcloud.world.errors import Refused
from infra.localcloud.world.model import (
    DEPLOYMENTS_KEPT_PER_INSTANCE,
    Deployment,
    DeploymentStatus,
    Instance,
    ReplicaStatus,
    Settings,
    Stamp,
    World,
)

S = DeploymentStatus
UNDER_WAY = (S.QUEUED, S.INITIALIZING, S.BUILDING, S.DEPLOYING)
SERVING = (S.SUCCESS, S.SLEEPING, S.CRASHED)
ENDED = (S.FAILED, S.REMOVED, S.SKIPPED)
QUEUED_PER_INSTANCE_MAX = 10

NEXT: dict[DeploymentStatus, tuple[DeploymentStatus, ...]] = {
    S.QUEUED: (S.INITIALIZING, S.FAILED, S.REMOVED),
    S.INITIALIZING: (S.BUILDING, S.FAILED, S.REMOVED, S.QUEUED),
    S.BUILDING: (S.DEPLOYING, S.FAILED, S.REMOVED, S.QUEUED),
    S.DEPLOYING: (S.SUCCESS, S.FAILED, S.REMOVED, S.QUEUED),
    S.SUCCESS: (S.CRASHED, S.SLEEPING, S.REMOVING),
    S.SLEEPING: (S.SUCCESS, S.REMOVING),
    S.CRASHED: (S.SUCCESS, S.REMOVING),
    S.REMOVING: (S.REMOVED,),
    S.REMOVED: (),
    S.FAILED: (),
}


class CreateDeployment(Struct, frozen=True):
    """Deploys the instance as it is set now. `release` is a bundle just uploaded, which becomes the instance's newest."""

    stamp: Stamp
    service_id: str
    environment_id: str
    release: str | None = None


class RepeatDeployment(Struct, frozen=True):
    """deploymentRedeploy: the old one's release and settings with the variables and the placement of now."""

    stamp: Stamp
    deployment_id: str


class RollBack(Struct, frozen=True):
    """deploymentRollback: the old one's image or release and its variables, which become the current ones again."""

    stamp: Stamp
    deployment_id: str


class AskRemoval(Struct, frozen=True):
    stamp: Stamp
    deployment_id: str


class AskStop(Struct, frozen=True):
    """deploymentStop: it stays the active one, without processes, until it is restarted or replaced."""

    stamp: Stamp
    deployment_id: str


class AskRestart(Struct, frozen=True):
    stamp: Stamp
    deployment_id: str


class AskCancel(Struct, frozen=True):
    stamp: Stamp
    deployment_id: str


class MoveDeployment(Struct, frozen=True):
    """The conductor's own steps."""

    stamp: Stamp
    deployment_id: str
    status: DeploymentStatus


class RecordRendered(Struct, frozen=True):
    deployment_id: str
    rendered: dict[str, str]


class RecordPreDeploy(Struct, frozen=True):
    deployment_id: str


class Activate(Struct, frozen=True):
    """The new deployment's replicas are up: it becomes the one that serves, the one before starts to leave."""

    stamp: Stamp
    deployment_id: str


class RecordPlacement(Struct, frozen=True):
    """A scaling is done: the active deployment now has this placement."""

    deployment_id: str
    regions: dict[str, int]
    num_replicas: int


def new_deployment(
    world: World,
    instance: Instance,
    stamp: Stamp,
    *,
    reason: str,
    settings: Settings | None = None,
    release: str | None = None,
    variables: dict[str, str] | None = None,
) -> Change:
    """A QUEUED deployment of the instance. Older ended ones beyond the number kept are forgotten."""
    before = lookup.deployments_of(world, instance.id)
    if sum(found.status is S.QUEUED for found in before) >= QUEUED_PER_INSTANCE_MAX:
        raise Refused("Deploying too quickly: operation is already in progress")
    deployment = Deployment(
        id=stamp.id,
        project_id=instance.project_id,
        environment_id=instance.environment_id,
        service_id=instance.service_id,
        instance_id=instance.id,
        status=S.QUEUED,
        settings=settings or instance.settings,
        release=release or instance.release,
        variables=lookup.variables_of(world, instance.environment_id, instance.service_id) if variables is None else variables,
        created_at=stamp.at,
        updated_at=stamp.at,
        status_updated_at=stamp.at,
        reason=reason,
    )
    ended = [found for found in before if found.status in ENDED]
    forgotten = ended[: max(0, len(before) + 1 - DEPLOYMENTS_KEPT_PER_INSTANCE)]
    world = with_items(world, deployments={**{found.id: None for found in forgotten}, deployment.id: deployment})
    return Change(world, (RunDeployment(instance_id=instance.id, deployment_id=deployment.id),))


def create_deployment(world: World, command: CreateDeployment) -> Change:
    instance = lookup.instance(world, command.service_id, command.environment_id)
    if command.release is not None:
        instance = structs.replace(instance, release=command.release, updated_at=command.stamp.at)
        world = with_items(world, instances={instance.id: instance})
    return new_deployment(world, instance, command.stamp, reason="deploy")


def deployed_with_source(world: World, instances: Iterable[Instance], stamp: Stamp) -> Change:
    """A deployment of each of them that has a source, as connecting one asks for. A repository's fails: none is fetched."""
    effects: list[Effect] = []
    for instance in instances:
        if instance.settings.image is None and instance.settings.repo is None:
            continue
        derived = structs.replace(stamp, id=stamp.child(f"deploy:{instance.id}"))
        change = new_deployment(world, instance, derived, reason="deploy")
        world = change.world
        effects.extend(change.effects)
    return Change(world, tuple(effects))


def repeat_deployment(world: World, command: RepeatDeployment) -> Change:
    old = lookup.deployment(world, command.deployment_id)
    instance = world.instances[old.instance_id]
    now = instance.settings
    settings = structs.replace(old.settings, regions=now.regions, num_replicas=now.num_replicas)
    return new_deployment(world, instance, command.stamp, reason="redeploy", settings=settings, release=old.release)


def can_roll_back(world: World, deployment: Deployment) -> bool:
    """Railway wants a deployment that once worked and is not the one that serves."""
    instance = world.instances[deployment.instance_id]
    is_past = deployment.status in (S.REMOVED, S.REMOVING) and deployment.rendered is not None
    return is_past and instance.active_deployment_id != deployment.id


def roll_back(world: World, command: RollBack) -> Change:
    old = lookup.deployment(world, command.deployment_id)
    if not can_roll_back(world, old):
        raise Refused("Deployment cannot be rolled back to")
    instance = structs.replace(world.instances[old.instance_id], release=old.release, updated_at=command.stamp.at)
    key = lookup.variable_key(old.environment_id, old.service_id)
    world = with_items(world, instances={instance.id: instance}, variables={key: old.variables})
    settings = structs.replace(instance.settings, image=old.settings.image)
    return new_deployment(
        world, instance, command.stamp, reason="rollback", settings=settings, release=old.release, variables=old.variables
    )


def ask_removal(world: World, command: AskRemoval) -> Change:
    deployment = lookup.deployment(world, command.deployment_id)
    if deployment.status in UNDER_WAY:
        return _cancelled(world, deployment, command.stamp)
    if deployment.status in ENDED or deployment.status is S.REMOVING:
        return Change(world)
    world = moved(world, deployment, S.REMOVING, command.stamp)
    instance = world.instances[deployment.instance_id]
    if instance.active_deployment_id == deployment.id:
        world = with_items(world, instances={instance.id: structs.replace(instance, active_deployment_id=None)})
    return Change(world, (RoutesChanged(), RemoveDeployment(instance_id=instance.id, deployment_id=deployment.id)))


def ask_stop(world: World, command: AskStop) -> Change:
    deployment = lookup.deployment(world, command.deployment_id)
    if deployment.status not in SERVING:
        raise Refused("Deployment is not running and cannot be stopped")
    if deployment.settings.is_scheduled:  # nothing of it is kept running: what can be ended is its schedule
        return ask_removal(world, AskRemoval(command.stamp, deployment.id))
    return Change(world, (StopDeployment(instance_id=deployment.instance_id, deployment_id=deployment.id),))


def ask_restart(world: World, command: AskRestart) -> Change:
    deployment = lookup.deployment(world, command.deployment_id)
    if deployment.status not in SERVING:
        raise Refused("Deployment is not running and cannot be restarted")
    return Change(world, (RestartDeployment(instance_id=deployment.instance_id, deployment_id=deployment.id),))


def ask_cancel(world: World, command: AskCancel) -> Change:
    deployment = lookup.deployment(world, command.deployment_id)
    if deployment.status not in UNDER_WAY:
        raise Refused("Deployment cannot be cancelled: it is not in progress")
    return _cancelled(world, deployment, command.stamp)


def _cancelled(world: World, deployment: Deployment, stamp: Stamp) -> Change:
    world = moved(world, deployment, S.REMOVED, stamp)
    return Change(world, (CancelDeployment(instance_id=deployment.instance_id, deployment_id=deployment.id),))


def moved(world: World, deployment: Deployment, status: DeploymentStatus, stamp: Stamp) -> World:
    if status not in NEXT[deployment.status]:
        raise Refused(f"Deployment is {deployment.status} and cannot become {status}")
    moved = structs.replace(deployment, status=status, updated_at=stamp.at, status_updated_at=stamp.at)
    return with_items(world, deployments={deployment.id: moved})


def move_deployment(world: World, command: MoveDeployment) -> Change:
    deployment = lookup.deployment(world, command.deployment_id)
    return Change(moved(world, deployment, command.status, command.stamp), (RoutesChanged(),))


def record_rendered(world: World, command: RecordRendered) -> Change:
    deployment = lookup.deployment(world, command.deployment_id)
    return Change(with_items(world, deployments={deployment.id: structs.replace(deployment, rendered=command.rendered)}))


def record_pre_deploy(world: World, command: RecordPreDeploy) -> Change:
    deployment = lookup.deployment(world, command.deployment_id)
    return Change(with_items(world, deployments={deployment.id: structs.replace(deployment, is_pre_deploy_done=True)}))


def activate(world: World, command: Activate) -> Change:
    deployment = lookup.deployment(world, command.deployment_id)
    instance = world.instances[deployment.instance_id]
    old = lookup.active_deployment(world, instance)
    world = moved(world, deployment, S.SUCCESS, command.stamp)
    world = with_items(world, instances={instance.id: structs.replace(instance, active_deployment_id=deployment.id)})
    if old is not None and old.status in SERVING:
        world = moved(world, old, S.REMOVING, command.stamp)
    return Change(world, (RoutesChanged(),))


def record_placement(world: World, command: RecordPlacement) -> Change:
    deployment = lookup.deployment(world, command.deployment_id)
    settings = structs.replace(deployment.settings, regions=command.regions, num_replicas=command.num_replicas)
    return Change(with_items(world, deployments={deployment.id: structs.replace(deployment, settings=settings)}))


class Interrupted(Struct, frozen=True):
    """The local cloud was ended while this was under way: back to the queue, with nothing left of its replicas."""

    stamp: Stamp
    deployment_id: str


def interrupted(world: World, command: Interrupted) -> Change:
    deployment = lookup.deployment(world, command.deployment_id)
    if deployment.status is not S.QUEUED:
        world = moved(world, deployment, S.QUEUED, command.stamp)
    replicas = tuple(structs.replace(found, status=ReplicaStatus.REMOVED) for found in deployment.replicas)
    world = with_items(world, deployments={deployment.id: structs.replace(world.deployments[deployment.id], replicas=replicas)})
    return Change(world, (RunDeployment(instance_id=deployment.instance_id, deployment_id=deployment.id),))
