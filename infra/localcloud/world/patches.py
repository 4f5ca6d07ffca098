"""Transitions of patches: changes of an environment that are staged first and committed as one.

    (none) -> STAGED -> COMMITTED;  a commit that is refused leaves it STAGED, with the reason

There is at most one staged patch per environment. APPLYING never shows: a commit is one transition. Each service that a
commit changes is deployed once, however much of it changed, and not at all where only its replicas did.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import Struct, structs

from infra.localcloud.world import lookup
from infra.localcloud.world.deployments import new_deployment
from infra.localcloud.world.effects import Change, Effect, ScaleInstance, with_items
from infra.localcloud.world.errors import BadInput, Refused
from infra.localcloud.world.model import Instance, Patch, Settings, Stamp, World
from infra.localcloud.world.patch_content import EnvironmentChanges, ServicePatch
from infra.localcloud.world.patch_networking import with_networking
from infra.localcloud.world.services import DeleteService, UpdateInstance, delete_service, update_instance
from infra.localcloud.world.variables import DeleteVariable, UpsertVariables, delete_variable, refers_to_shared, upsert_variables

COMMITTED_KEPT = 20


class StageChanges(Struct, frozen=True):
    """`patch` is the whole staged patch as it will be shown; `changes` is the same, parsed. An empty one unstages."""

    stamp: Stamp
    environment_id: str
    patch: dict[str, Any]
    changes: EnvironmentChanges


class CommitPatch(Struct, frozen=True):
    """`is_staged`: it is the staged patch, which is none any more afterwards."""

    stamp: Stamp
    environment_id: str
    patch: dict[str, Any]
    changes: EnvironmentChanges
    message: str | None
    is_staged: bool = False
    is_skipping_deploys: bool = False


class RecordRefusal(Struct, frozen=True):
    """Why the staged patch could not be committed."""

    stamp: Stamp
    environment_id: str
    reason: str


def staged_patch(world: World, environment_id: str) -> Patch | None:
    own = (found for found in world.patches.values() if found.environment_id == environment_id)
    return next((found for found in own if found.status == "STAGED"), None)


def stage_changes(world: World, command: StageChanges) -> Change:
    """Refused here rather than at the commit where a service is not there: a typing mistake is best heard at once."""
    lookup.environment(world, command.environment_id)
    world_then = with_created(world, command.stamp, command.environment_id, command.changes)
    for service in command.changes.services:
        lookup.instance(world_then, service.service_id, command.environment_id)
    before = staged_patch(world, command.environment_id)
    if not command.patch:
        return Change(with_items(world, patches={before.id: None})) if before else Change(world)
    stamp = command.stamp
    patch = Patch(
        id=before.id if before else stamp.id,
        environment_id=command.environment_id,
        status="STAGED",
        patch=command.patch,
        created_at=before.created_at if before else stamp.at,
        updated_at=stamp.at,
    )
    return Change(with_items(world, patches={patch.id: patch}))


def record_refusal(world: World, command: RecordRefusal) -> Change:
    found = staged_patch(world, command.environment_id)
    if found is None:
        return Change(world)
    updated = structs.replace(found, last_applied_error=command.reason, updated_at=command.stamp.at)
    return Change(with_items(world, patches={found.id: updated}))


def commit_patch(world: World, command: CommitPatch) -> Change:
    lookup.environment(world, command.environment_id)
    staged = staged_patch(world, command.environment_id) if command.is_staged else None
    if command.is_staged and (staged is None or staged.patch != command.patch):
        raise Refused(
            "Staged changes have changed: operation is already in progress" if staged else "No staged changes to commit"
        )
    world = with_created(world, command.stamp, command.environment_id, command.changes)
    before = world
    effects: list[Effect] = []
    for service in command.changes.services:
        world, more = _applied(world, command, service)
        effects.extend(more)
    world = _with_variables(world, command, None, command.changes.shared_variables, command.changes.shared_sealed)
    if not command.is_skipping_deploys:
        for instance in _to_deploy(before, world, command):
            derived = structs.replace(command.stamp, id=command.stamp.child(f"deploy:{instance.id}"))
            change = new_deployment(world, instance, derived, reason="deploy")
            world = change.world
            # The new deployment brings the new placement: scaling the one that leaves would be for nothing.
            effects = [one for one in effects if one != ScaleInstance(instance_id=instance.id)]
            effects.extend(change.effects)
    stamp = command.stamp
    patch = Patch(
        id=staged.id if staged else stamp.id,
        environment_id=command.environment_id,
        status="COMMITTED",
        patch=command.patch,
        created_at=staged.created_at if staged else stamp.at,
        updated_at=stamp.at,
        applied_at=stamp.at,
        message=command.message,
    )
    own = [found for found in world.patches.values() if found.environment_id == command.environment_id]
    committed = [found.id for found in own if found.status == "COMMITTED"]
    forgotten = dict.fromkeys(committed[: max(0, len(committed) + 1 - COMMITTED_KEPT)])
    return Change(with_items(world, patches={**forgotten, patch.id: patch}), tuple(effects))


def with_created(world: World, stamp: Stamp, environment_id: str, changes: EnvironmentChanges) -> World:
    """Instances for the services that the patch creates here; nothing where there is one already."""
    project_id = lookup.environment(world, environment_id).project_id
    here = {found.service_id for found in world.instances.values() if found.environment_id == environment_id}
    made = {}
    for patch in changes.services:
        if not patch.is_created or patch.service_id in here:
            continue
        service = lookup.service(world, patch.service_id)
        if service.project_id != project_id:
            raise BadInput(f"services.{service.id}: expected a service of the environment's project")
        instance = Instance(
            id=stamp.child(f"instance:{environment_id}:{service.id}"),
            project_id=project_id,
            environment_id=environment_id,
            service_id=service.id,
            created_at=stamp.at,
            updated_at=stamp.at,
            settings=Settings(home_region=world.workspace.preferred_region),
        )
        made[instance.id] = instance
    return with_items(world, instances=made)


def _applied(world: World, command: CommitPatch, service: ServicePatch) -> tuple[World, tuple[Effect, ...]]:
    instance = lookup.instance(world, service.service_id, command.environment_id)
    if service.is_deleted:
        deleted = delete_service(world, DeleteService(command.stamp, service.service_id, command.environment_id))
        return deleted.world, deleted.effects
    effects: tuple[Effect, ...] = ()
    if service.changes or service.regions is not None:
        count = instance.settings.num_replicas  # a patch names what changes; nothing else goes back to its default
        update = UpdateInstance(
            command.stamp, service.service_id, command.environment_id, service.changes, service.regions, count
        )
        change = update_instance(world, update)
        world, effects = change.world, change.effects
    world, more = with_networking(world, command.stamp, instance, service)
    world = _with_variables(world, command, service.service_id, service.variables, service.sealed)
    return world, (*effects, *more)


def _with_variables(
    world: World, command: CommitPatch, service_id: str | None, values: dict[str, str | None], sealed: tuple[str, ...]
) -> World:
    if not values and not sealed:
        return world
    after: dict[str, str | None] = {**lookup.variables_of(world, command.environment_id, service_id), **values}
    project_id = lookup.environment(world, command.environment_id).project_id
    for name in [name for name, value in values.items() if value is None]:
        deletion = DeleteVariable(command.stamp, project_id, command.environment_id, service_id, name, is_skipping_deploys=True)
        world = delete_variable(world, deletion).world
    upsert = UpsertVariables(
        stamp=command.stamp,
        project_id=project_id,
        environment_id=command.environment_id,
        service_id=service_id,
        values={name: value for name, value in after.items() if value is not None},
        is_replacing=True,
        is_skipping_deploys=True,
        sealed=sealed,
    )
    return upsert_variables(world, upsert).world


def _to_deploy(before: World, after: World, command: CommitPatch) -> Iterable[Instance]:
    """What is not what it was and has something to run: an image or a release, whether or not it ever served."""
    environment_id = command.environment_id
    has_shared_changed = _variables(before, environment_id, None) != _variables(after, environment_id, None)
    for instance in after.instances.values():
        if instance.environment_id != environment_id or (old := before.instances.get(instance.id)) is None:
            continue
        settings = structs.replace(instance.settings, regions=old.settings.regions)
        has_changed = settings != old.settings or _variables(before, environment_id, instance.service_id) != _variables(
            after, environment_id, instance.service_id
        )
        is_affected = has_changed or (has_shared_changed and refers_to_shared(after, instance))
        if is_affected and (instance.settings.image is not None or instance.release is not None):
            yield instance


def _variables(world: World, environment_id: str, service_id: str | None) -> dict[str, str]:
    return lookup.variables_of(world, environment_id, service_id)
