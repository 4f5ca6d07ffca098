"""Backups and restores take their time, and what Railway says of a failed one reaches the user."""

from __future__ import annotations

import grpc.aio
import pytest

from tests.provider.driving import Driver, InitFailed, Kept
from tests.railway.contract import Ground
from tests.railway.fake import FakeRailway
from tests.railway.lifecycle import with_backup, with_volume

pytestmark = pytest.mark.anyio


async def ground(driver: Driver) -> tuple[Ground, dict[str, str]]:
    made = Ground(driver, await driver.create("Project", "p", name="p"))
    _, at = await made.service()
    return made, dict(at)


async def test_failed_workflow_is_an_error_with_its_reason(driver: Driver, fake: FakeRailway) -> None:
    made, at = await ground(driver)
    at = dict(await with_backup(made, at))
    fake.workflow_errors = ["disk is full", "snapshot is damaged"]
    with pytest.raises(grpc.aio.AioRpcError, match="Railway says: disk is full"):
        await driver.create("VolumeBackup", "b", volumeInstanceId=at["volumeInstanceId"], name="second")
    place = {"volumeInstanceId": at["volumeInstanceId"], "backupId": at["backupId"]}
    with pytest.raises(grpc.aio.AioRpcError, match="Railway says: snapshot is damaged"):
        await driver.create("VolumeRestore", "r", **place)
    await driver.create("VolumeRestore", "r", **place)
    assert fake.restored == [at["backupId"], at["backupId"]]


async def test_restore_is_done_once_and_again_for_another_backup(driver: Driver, fake: FakeRailway) -> None:
    made, at = await ground(driver)
    at = dict(await with_backup(made, at))
    other = await driver.create("VolumeBackup", "b", volumeInstanceId=at["volumeInstanceId"], name="second")
    place = {"volumeInstanceId": at["volumeInstanceId"]}
    kept = await driver.create("VolumeRestore", "r", **place, backupId=at["backupId"])
    assert await driver.up(kept, **place, backupId=at["backupId"]) == []
    assert await driver.up(kept, **place, backupId=other.identity) == ["backupId"]
    assert fake.restored == [at["backupId"], other.identity]
    await driver.delete(kept)
    assert fake.restored == [at["backupId"], other.identity]


async def test_backup_that_was_made_but_not_locked_is_locked_by_the_next_up(driver: Driver, fake: FakeRailway) -> None:
    made, at = await ground(driver)
    at = dict(await with_volume(made, at))
    wanted = {"volumeInstanceId": at["volumeInstanceId"], "name": "precious", "locked": True}
    fake.faults["volumeInstanceBackupLock"] = ["503"] * 20
    kept = Kept(driver.urn("VolumeBackup", "b"))
    checked, _ = await driver.check(kept, wanted)
    with pytest.raises(InitFailed, match="made, but not locked"):
        await driver.create_into(kept, checked)
    fake.faults.clear()
    await driver.up(kept, **wanted)
    assert fake.backups[kept.identity]["expiresAt"] is None
    assert await driver.refresh(kept)
    assert await driver.up(kept, **wanted) == []
    assert len(fake.backups) == 1


async def test_order_of_schedules_is_no_change(driver: Driver) -> None:
    _, at = await ground(driver)
    place = {name: at[name] for name in ("projectId", "environmentId", "serviceId")}
    kept = await driver.create("Volume", "v", **place, mountPath="/data", backupSchedules=["MONTHLY", "DAILY"])
    assert await driver.refresh(kept)
    assert await driver.up(kept, **place, mountPath="/data", backupSchedules=["DAILY", "MONTHLY"]) == []
    assert await driver.up(kept, **place, mountPath="/data", backupSchedules=[]) == ["backupSchedules"]
    assert await driver.refresh(kept)
    assert await driver.up(kept, **place, mountPath="/data", backupSchedules=[]) == []


async def test_volume_is_imported_by_its_name(driver: Driver, fake: FakeRailway) -> None:
    _, at = await ground(driver)
    place = {name: at[name] for name in ("projectId", "environmentId", "serviceId")}
    kept = await driver.create("Volume", "v", **place, mountPath="/data")
    found = Kept(kept.urn, f"{at['projectId']}/{at['environmentId']}/{fake.volumes[kept.identity]['volume']['name']}")
    assert await driver.refresh(found)
    assert found.identity == kept.identity
    assert await driver.up(found, **place, mountPath="/data") == []
