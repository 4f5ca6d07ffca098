# ruff: noqa: N803 -- arguments have the names that the schema gives them
"""Backups of volumes, their schedules, and the workflows behind them."""

from __future__ import annotations

import uuid

from msgspec import Struct

from infra.localcloud.conducting.clock import new_stamp
from infra.localcloud.railway_api import views
from infra.localcloud.railway_api.call import Call, Info
from infra.localcloud.railway_api.resolvers_account import call_of, refuse_given
from infra.localcloud.railway_api.volume_sizes import VOLUME_MB, used_mb
from infra.localcloud.world import volume_backups as backups
from infra.localcloud.world.errors import NotAuthorized
from infra.localcloud.world.model import Stamp, VolumeBackup


def _check_access(call: Call, instance_id: str) -> None:
    """A stranger does not learn whether it exists."""
    found = call.world.volume_instances.get(instance_id)
    if found is None and not call.principal.is_account:
        raise NotAuthorized
    call.access.environment((found or backups.volume_instance(call.world, instance_id)).environment_id)


def _schedule_id(instance_id: str, kind: str) -> str:
    return str(uuid.uuid5(uuid.UUID(instance_id), f"schedule:{kind}"))


def _backup_view(call: Call, found: VolumeBackup) -> views.View:
    async def size_mb(info: object) -> int:
        return round(await used_mb(call.cloud.conductor.volumes.backup_directory(found.volume_id, found.id)))

    return {
        "id": found.id,
        "externalId": found.id,
        "name": found.name,
        "createdAt": found.created_at,
        "expiresAt": found.expires_at,
        "scheduleId": _schedule_id(found.volume_instance_id, found.kind) if found.kind else None,
        "creatorId": None if found.kind else call.cloud.user_id,
        "usedMB": size_mb,
        "referencedMB": size_mb,  # a copy of everything, which shares nothing with others
        "volumeInstanceSizeMB": VOLUME_MB,
    }


def volume_instance_backup_list(_: None, info: Info, volumeInstanceId: str) -> list[views.View]:
    call = call_of(info)
    _check_access(call, volumeInstanceId)
    return [_backup_view(call, found) for found in backups.backups_of(call.world, volumeInstanceId)]


def volume_instance_backup_schedule_list(_: None, info: Info, volumeInstanceId: str) -> list[views.View]:
    call = call_of(info)
    _check_access(call, volumeInstanceId)
    return [
        {
            "id": _schedule_id(volumeInstanceId, kind),
            "kind": kind,
            "name": kind.capitalize(),
            "cron": backups.PERIODS[kind][2],
            "retentionSeconds": int(backups.PERIODS[kind][1].total_seconds()),
            "createdAt": since,
        }
        for kind, since in call.world.backup_schedules.get(volumeInstanceId, {}).items()
    ]


def workflow_status(_: None, info: Info, workflowId: str) -> views.View:
    call = call_of(info)
    found = call.world.workflows.get(workflowId)
    if found is None:
        return {"status": "NotFound", "error": None}
    call.access.volume(found.volume_id)
    return {"status": found.status, "error": found.error}


async def _begun(info: Info, instance_id: str, stamp: Stamp, command: Struct) -> views.View:
    call = call_of(info)
    _check_access(call, instance_id)
    await call.apply(command)
    return {"workflowId": stamp.child("workflow")}


async def volume_instance_backup_create(_: None, info: Info, volumeInstanceId: str, name: str | None = None) -> views.View:
    stamp = new_stamp()
    return await _begun(info, volumeInstanceId, stamp, backups.BackUp(stamp, volumeInstanceId, name))


async def volume_instance_backup_restore(
    _: None,
    info: Info,
    volumeInstanceId: str,
    volumeInstanceBackupId: str,
    replicaServiceIds: list[str] | None = None,
    wipeServiceIds: list[str] | None = None,
) -> views.View:
    refuse_given(
        {"replicaServiceIds": replicaServiceIds, "wipeServiceIds": wipeServiceIds}, "replicaServiceIds", "wipeServiceIds"
    )
    stamp = new_stamp()
    return await _begun(info, volumeInstanceId, stamp, backups.Restore(stamp, volumeInstanceId, volumeInstanceBackupId))


async def volume_instance_backup_delete(_: None, info: Info, volumeInstanceId: str, volumeInstanceBackupId: str) -> views.View:
    stamp = new_stamp()
    return await _begun(info, volumeInstanceId, stamp, backups.DeleteBackup(stamp, volumeInstanceId, volumeInstanceBackupId))


async def volume_instance_backup_lock(_: None, info: Info, volumeInstanceId: str, volumeInstanceBackupId: str) -> bool:
    call = call_of(info)
    _check_access(call, volumeInstanceId)
    await call.apply(backups.LockBackup(volumeInstanceId, volumeInstanceBackupId))
    return True


async def volume_instance_backup_schedule_update(_: None, info: Info, volumeInstanceId: str, kinds: list[str]) -> bool:
    call = call_of(info)
    _check_access(call, volumeInstanceId)
    await call.apply(backups.SetSchedules(new_stamp(), volumeInstanceId, tuple(kinds)))
    return True


QUERIES = {
    "volumeInstanceBackupList": volume_instance_backup_list,
    "volumeInstanceBackupScheduleList": volume_instance_backup_schedule_list,
    "workflowStatus": workflow_status,
}
MUTATIONS = {
    "volumeInstanceBackupCreate": volume_instance_backup_create,
    "volumeInstanceBackupDelete": volume_instance_backup_delete,
    "volumeInstanceBackupLock": volume_instance_backup_lock,
    "volumeInstanceBackupRestore": volume_instance_backup_restore,
    "volumeInstanceBackupScheduleUpdate": volume_instance_backup_schedule_update,
}
