"""Backups of a volume are copies of its files: made, restored, kept as long as asked for, and gone with the volume."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from infra.localcloud.conducting.clock import new_stamp
from infra.localcloud.world.departures import GRACE
from infra.localcloud.world.volume_backups import BackUp, DeleteBackup, due
from tests.localcloud.control.harness import DEADLINE_S, ApiError, Harness, running

pytestmark = pytest.mark.anyio
LIST = "query ($i: String!) { volumeInstanceBackupList(volumeInstanceId: $i) { id name expiresAt scheduleId } }"
CREATE = "mutation ($i: String!, $n: String) { volumeInstanceBackupCreate(volumeInstanceId: $i, name: $n) { workflowId } }"
STATUS = "query ($w: String!) { workflowStatus(workflowId: $w) { status error } }"
SCHEDULE = """mutation ($i: String!, $k: [VolumeInstanceBackupScheduleKind!]!) {
    volumeInstanceBackupScheduleUpdate(volumeInstanceId: $i, kinds: $k) }"""


def on_backup(operation: str) -> str:
    selection = "" if operation.endswith("Lock") else "{ workflowId }"
    return f"mutation ($i: String!, $b: String!) {{ {operation}(volumeInstanceId: $i, volumeInstanceBackupId: $b) {selection} }}"


async def volume(cloud: Harness) -> tuple[str, Path, str]:
    """(volume instance, its directory, the deployment that has it)."""
    place, service_id, deployment_id = await cloud.web()
    wanted = {"projectId": place[0], "environmentId": place[1], "serviceId": service_id, "mountPath": "/data"}
    made = await cloud.gql("mutation ($i: VolumeCreateInput!) { volumeCreate(input: $i) { id } }", i=wanted)
    directory = cloud.directory / "volumes" / made["volumeCreate"]["id"]
    directory.mkdir(parents=True)
    (instance_id,) = cloud.world.volume_instances
    return instance_id, directory, deployment_id


async def done(cloud: Harness, answer: dict[str, Any]) -> dict[str, Any]:
    (workflow,) = answer.values()
    await cloud.until(lambda: cloud.world.workflows[workflow["workflowId"]].status != "Running")
    result: dict[str, Any] = (await cloud.gql(STATUS, w=workflow["workflowId"]))["workflowStatus"]
    return result


async def test_a_backup_tells_its_size_and_who_asked_for_it(cloud: Harness) -> None:
    instance_id, directory, _ = await volume(cloud)
    (directory / "rows").write_bytes(bytes(2_600_000))
    await done(cloud, await cloud.gql(CREATE, i=instance_id, n="first"))
    asked = """query ($i: String!) { me { id } volumeInstanceBackupList(volumeInstanceId: $i) {
        usedMB referencedMB volumeInstanceSizeMB creatorId } }"""
    found = await cloud.gql(asked, i=instance_id)
    wanted = {"usedMB": 3, "referencedMB": 3, "volumeInstanceSizeMB": 50_000, "creatorId": found["me"]["id"]}
    assert found["volumeInstanceBackupList"] == [wanted]


async def test_restore_brings_the_files_back_and_restarts_who_has_them(cloud: Harness) -> None:
    instance_id, directory, deployment_id = await volume(cloud)
    (directory / "kept").mkdir()
    (directory / "kept" / "file").write_text("before")
    assert await done(cloud, await cloud.gql(CREATE, i=instance_id, n="first")) == {"status": "Complete", "error": None}
    ((found),) = (await cloud.gql(LIST, i=instance_id))["volumeInstanceBackupList"]
    assert (found["name"], found["expiresAt"]) == ("first", None)
    (directory / "kept" / "file").write_text("after")
    (directory / "new").write_text("after")
    keys = set(cloud.plane.running)
    result = await done(cloud, await cloud.gql(on_backup("volumeInstanceBackupRestore"), i=instance_id, b=found["id"]))
    assert result["status"] == "Complete"
    assert {path.name for path in directory.iterdir()} == {"kept"}
    assert (directory / "kept" / "file").read_text() == "before"
    await cloud.until(lambda: any(call.startswith("stop") for call in cloud.plane.calls) and set(cloud.plane.running) == keys)
    assert cloud.status(deployment_id) == "SUCCESS"
    deleted = await done(cloud, await cloud.gql(on_backup("volumeInstanceBackupDelete"), i=instance_id, b=found["id"]))
    assert deleted["status"] == "Complete"
    assert (await cloud.gql(LIST, i=instance_id))["volumeInstanceBackupList"] == []
    assert not any((cloud.directory / "volume-backups").glob("*/*"))


async def test_backups_go_with_their_volume(cloud: Harness) -> None:
    instance_id, directory, _ = await volume(cloud)
    await done(cloud, await cloud.gql(CREATE, i=instance_id))
    await cloud.gql(SCHEDULE, i=instance_id, k=["DAILY"])
    await cloud.gql("mutation ($i: String!) { volumeDelete(volumeId: $i) }", i=directory.name)
    cloud.keeper.clock.advance(GRACE.total_seconds())
    await cloud.until(lambda: cloud.world.volumes == {})
    assert (cloud.world.volume_backups, cloud.world.workflows, cloud.world.backup_schedules) == ({}, {}, {})
    await cloud.until(lambda: not directory.exists() and not (cloud.directory / "volume-backups" / directory.name).exists())
    assert (await cloud.gql(STATUS, w="gone"))["workflowStatus"]["status"] == "NotFound"
    with pytest.raises(ApiError, match="VolumeInstance not found"):
        await cloud.gql(CREATE, i=instance_id)


async def test_schedules_make_backups_in_their_time_and_expiry_takes_them(cloud: Harness) -> None:
    instance_id, _, _ = await volume(cloud)
    await cloud.gql(SCHEDULE, i=instance_id, k=["WEEKLY", "DAILY"])
    start = datetime.now(UTC)

    def at(**later: float) -> list[Any]:
        return [command(new_stamp()) for command in due(cloud.world, (start + timedelta(**later)).isoformat())]

    assert at(hours=23) == []
    (command,) = at(hours=25)
    assert (type(command), command.kind) == (BackUp, "DAILY")
    await cloud.keeper.apply(command)
    await cloud.until(lambda: all(found.status == "Complete" for found in cloud.world.workflows.values()))
    assert at(minutes=1) == [], "one was made just now"
    ((found),) = (await cloud.gql(LIST, i=instance_id))["volumeInstanceBackupList"]
    assert found["scheduleId"] is not None
    expired = [command for command in at(days=6, hours=1) if isinstance(command, DeleteBackup)]
    made = [command.kind for command in at(days=6, hours=1) if isinstance(command, BackUp)]
    assert (expired, made) == ([], ["DAILY"]), "one thing at a time for each volume"
    await cloud.gql(SCHEDULE, i=instance_id, k=[])
    assert [type(command) for command in at(days=6, hours=1)] == [DeleteBackup]
    await cloud.gql(on_backup("volumeInstanceBackupLock"), i=instance_id, b=found["id"])
    assert at(days=60) == [], "a locked one stays"


async def test_workflow_that_a_killed_daemon_left_is_an_error_and_no_backup(tmp_path: Path) -> None:
    async with running(tmp_path) as cloud:
        instance_id, _, _ = await volume(cloud)
        cloud.keeper.on_effects = lambda effects: None  # as if it was killed before the copying began
        begun = (await cloud.gql(CREATE, i=instance_id))["volumeInstanceBackupCreate"]["workflowId"]
        with pytest.raises(ApiError, match="operation is already in progress"):
            await cloud.gql(CREATE, i=instance_id)
    async with running(tmp_path) as cloud:
        await cloud.until(lambda: cloud.world.workflows[begun].status == "Error")
        assert (await cloud.gql(LIST, i=instance_id))["volumeInstanceBackupList"] == []
        assert (await done(cloud, await cloud.gql(CREATE, i=instance_id)))["status"] == "Complete"


async def test_volume_that_a_killed_daemon_had_put_aside_comes_back(tmp_path: Path) -> None:
    """Killed between its two renames, a restore has the volume under another name; a replica would begin on an empty one."""
    async with running(tmp_path) as cloud:
        instance_id, directory, _ = await volume(cloud)
        (directory / "file").write_text("mine")
        await done(cloud, await cloud.gql(CREATE, i=instance_id))
        ((found),) = (await cloud.gql(LIST, i=instance_id))["volumeInstanceBackupList"]
        cloud.keeper.on_effects = lambda effects: None
        begun = (await cloud.gql(on_backup("volumeInstanceBackupRestore"), i=instance_id, b=found["id"])).popitem()[1]
        directory.rename(directory.with_name(f"{directory.name}.old"))
    async with running(tmp_path) as cloud:
        await cloud.until(lambda: cloud.world.workflows[begun["workflowId"]].status == "Error")
        assert (directory / "file").read_text() == "mine"
        assert not directory.with_name(f"{directory.name}.old").exists()


async def test_a_copy_that_fails_says_so_in_few_words(cloud: Harness) -> None:
    instance_id, directory, _ = await volume(cloud)
    for number in range(50):
        os.mkfifo(directory / f"pipe-{number}")
    result = await done(cloud, await cloud.gql(CREATE, i=instance_id))
    assert result["status"] == "Error"
    assert len(result["error"]) <= 300


async def test_nothing_is_copied_any_more_once_the_volume_is_gone(cloud: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy under way would put files where the volume's directories were deleted."""
    instance_id, directory, _ = await volume(cloud)
    begun, may_go_on, ended = threading.Event(), threading.Event(), threading.Event()
    copied, delete = shutil.copytree, cloud.conductor._delete_directories
    seen: list[bool] = []

    def slowly(source: Path, target: Path, **more: Any) -> None:
        begun.set()
        assert may_go_on.wait(DEADLINE_S)
        copied(source, target, **more)
        ended.set()

    def deleted(names: tuple[str, ...]) -> None:
        seen.append(ended.is_set())
        delete(names)

    monkeypatch.setattr(shutil, "copytree", slowly)
    monkeypatch.setattr(cloud.conductor, "_delete_directories", deleted)
    await cloud.gql(CREATE, i=instance_id)
    assert await asyncio.to_thread(begun.wait, DEADLINE_S)
    asyncio.get_running_loop().call_later(0.2, may_go_on.set)
    await cloud.gql("mutation ($i: String!) { volumeDelete(volumeId: $i) }", i=directory.name)
    cloud.keeper.clock.advance(GRACE.total_seconds())
    await cloud.until(lambda: cloud.world.volumes == {})
    await cloud.until(lambda: cloud.world.endings == {})
    assert seen == [True]
    assert not (cloud.directory / "volume-backups" / directory.name).exists()
