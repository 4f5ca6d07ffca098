"""Transitions of a volume's backups, their schedules, and the workflows that make, restore and delete them.

A workflow is Running until the copying is done; a backup shows once it is complete. A daemon that ends in between leaves the
workflow as an Error, and what was half copied is deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct, structs

from infra.localcloud.world.deployments import SERVING
from infra.localcloud.world.effects import Change, Effect, RestartDeployment, RunVolumeWork, with_items
from infra.localcloud.world.errors import BadInput, NotFound, Refused
from infra.localcloud.world.model import Stamp, VolumeBackup, VolumeInstance, Workflow, World

BACKUPS_MAX = 30
WORKFLOWS_KEPT = 100
NAME_CHARACTERS_MAX = 100
PERIODS: dict[str, tuple[timedelta, timedelta, str]] = {
    "DAILY": (timedelta(days=1), timedelta(days=6), "0 0 * * *"),
    "WEEKLY": (timedelta(days=7), timedelta(days=30), "0 0 * * 0"),
    "MONTHLY": (timedelta(days=30), timedelta(days=90), "0 0 1 * *"),
}
"""Kind -> how often, how long kept, and Railway's way to say when (its documentation of backups)."""


class BackUp(Struct, frozen=True):
    stamp: Stamp
    volume_instance_id: str
    name: str | None = None
    kind: str | None = None


class Restore(Struct, frozen=True):
    stamp: Stamp
    volume_instance_id: str
    backup_id: str


class DeleteBackup(Struct, frozen=True):
    stamp: Stamp
    volume_instance_id: str
    backup_id: str


class LockBackup(Struct, frozen=True):
    volume_instance_id: str
    backup_id: str


class SetSchedules(Struct, frozen=True):
    stamp: Stamp
    volume_instance_id: str
    kinds: tuple[str, ...]


class EndWorkflow(Struct, frozen=True):
    """`error` None: done, and what it was about is as it was asked for."""

    stamp: Stamp
    workflow_id: str
    error: str | None = None


def volume_instance(world: World, instance_id: str) -> VolumeInstance:
    if (found := world.volume_instances.get(instance_id)) is None:
        raise NotFound("VolumeInstance")
    return found


def backups_of(world: World, instance_id: str) -> list[VolumeBackup]:
    """Complete ones, oldest first."""
    return [found for found in world.volume_backups.values() if found.volume_instance_id == instance_id and found.is_ready]


def _backup(world: World, instance_id: str, backup_id: str) -> VolumeBackup:
    found = world.volume_backups.get(backup_id)
    if found is None or not found.is_ready or found.volume_instance_id != instance_id:
        raise NotFound("VolumeInstanceBackup")
    return found


def _begun(world: World, stamp: Stamp, backup: VolumeBackup, kind: str) -> Change:
    running = [found for found in world.workflows.values() if found.status == "Running"]
    if any(found.volume_id == backup.volume_id for found in running):
        raise Refused("Another operation is already in progress on this volume")
    workflow = Workflow(stamp.child("workflow"), backup.volume_id, kind, backup.id, "Running")
    ended = [found.id for found in world.workflows.values() if found.status != "Running"]
    forgotten = dict.fromkeys(ended[: max(0, len(world.workflows) + 1 - WORKFLOWS_KEPT)])
    world = with_items(world, workflows={**forgotten, workflow.id: workflow})
    return Change(world, (RunVolumeWork(workflow_id=workflow.id),))


def back_up(world: World, command: BackUp) -> Change:
    instance = volume_instance(world, command.volume_instance_id)
    name = command.name.strip() if command.name else None
    if name is not None and not 1 <= len(name) <= NAME_CHARACTERS_MAX:
        raise BadInput(f"name: expected 1 to {NAME_CHARACTERS_MAX} characters")
    if len(backups_of(world, instance.id)) >= BACKUPS_MAX:
        raise Refused(f"expected at most {BACKUPS_MAX} backups of a volume")
    stamp = command.stamp
    expires = None
    if command.kind is not None:
        expires = _at(_moment(stamp.at) + PERIODS[command.kind][1])
    backup = VolumeBackup(stamp.id, instance.id, instance.volume_id, name, stamp.at, expires, command.kind)
    return _begun(with_items(world, volume_backups={backup.id: backup}), stamp, backup, "backup")


def restore(world: World, command: Restore) -> Change:
    backup = _backup(world, command.volume_instance_id, command.backup_id)
    return _begun(world, command.stamp, backup, "restore")


def delete_backup(world: World, command: DeleteBackup) -> Change:
    backup = _backup(world, command.volume_instance_id, command.backup_id)
    return _begun(world, command.stamp, backup, "delete")


def lock_backup(world: World, command: LockBackup) -> Change:
    backup = _backup(world, command.volume_instance_id, command.backup_id)
    return Change(with_items(world, volume_backups={backup.id: structs.replace(backup, expires_at=None)}))


def set_schedules(world: World, command: SetSchedules) -> Change:
    instance = volume_instance(world, command.volume_instance_id)
    known = world.backup_schedules.get(instance.id, {})
    wanted = {kind: known.get(kind, command.stamp.at) for kind in PERIODS if kind in command.kinds}
    return Change(with_items(world, backup_schedules={instance.id: wanted or None}))


def end_workflow(world: World, command: EndWorkflow) -> Change:
    workflow = world.workflows.get(command.workflow_id)
    if workflow is None:
        return Change(world)
    status = "Complete" if command.error is None else "Error"
    world = with_items(world, workflows={workflow.id: structs.replace(workflow, status=status, error=command.error)})
    backup = world.volume_backups.get(workflow.backup_id)
    if backup is None:
        return Change(world)
    if workflow.kind == "backup":
        made = structs.replace(backup, is_ready=True) if command.error is None else None
        return Change(with_items(world, volume_backups={backup.id: made}))
    if workflow.kind == "delete" and command.error is None:
        return Change(with_items(world, volume_backups={backup.id: None}))
    if workflow.kind == "restore" and command.error is None:
        return Change(world, _restarts(world, backup))
    return Change(world)


def _restarts(world: World, backup: VolumeBackup) -> tuple[Effect, ...]:
    """Whoever has the volume's files open has the old ones."""
    mounted = world.volume_instances.get(backup.volume_instance_id)
    if mounted is None:
        return ()
    place = (mounted.service_id, mounted.environment_id)
    return tuple(
        RestartDeployment(instance_id=found.instance_id, deployment_id=found.id)
        for found in world.deployments.values()
        if (found.service_id, found.environment_id) == place and found.status in SERVING
    )


def due(world: World, now: str) -> list[Callable[[Stamp], Struct]]:
    """What schedules and expiry ask for at this moment; commands that still want their stamp. One per volume at a time."""
    commands: list[Callable[[Stamp], Struct]] = []
    moment = _moment(now)
    busy = {found.volume_id for found in world.workflows.values() if found.status == "Running"}
    for instance_id, kinds in world.backup_schedules.items():
        instance = world.volume_instances.get(instance_id)
        if instance is None or instance.deletes_at is not None or instance.volume_id in busy:
            continue
        for kind, since in kinds.items():
            own = [found.created_at for found in backups_of(world, instance_id) if found.kind == kind]
            if moment - _moment(max([since, *own])) >= PERIODS[kind][0]:
                commands.append(lambda stamp, where=instance_id, kind=kind: BackUp(stamp, where, kind=kind))  # type: ignore[misc]
                busy.add(instance.volume_id)
                break
    for backup in world.volume_backups.values():
        if backup.volume_id in busy or not backup.is_ready or backup.expires_at is None:
            continue
        if _moment(backup.expires_at) <= moment:
            commands.append(lambda stamp, one=backup: DeleteBackup(stamp, one.volume_instance_id, one.id))  # type: ignore[misc]
            busy.add(backup.volume_id)
    return commands


def without_backups(world: World, volume_ids: Iterable[str]) -> World:
    """The world without what hangs on these volumes; the directories are their endings' business."""
    gone = set(volume_ids)
    instances = [found.id for found in world.volume_instances.values() if found.volume_id in gone]
    return with_items(
        world,
        volume_backups={found.id: None for found in world.volume_backups.values() if found.volume_id in gone},
        workflows={found.id: None for found in world.workflows.values() if found.volume_id in gone},
        backup_schedules=dict.fromkeys(instances),
    )


def directory_of(volume_id: str) -> str:
    """Below the cloud's own directory: all backups of a volume, each in a directory named by its id."""
    return f"volume-backups/{volume_id}"


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _at(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


TRANSITIONS: dict[type, Callable[[World, Any], Change]] = {
    BackUp: back_up,
    Restore: restore,
    DeleteBackup: delete_backup,
    LockBackup: lock_backup,
    SetSchedules: set_schedules,
    EndWorkflow: end_workflow,
}
