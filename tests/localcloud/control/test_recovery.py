"""Promotion, backups and restores as asked for over HTTP; what PostgreSQL does then is in plane/test_failover.py."""

from __future__ import annotations

import pytest

from tests.localcloud.control.harness import Harness

pytestmark = pytest.mark.anyio


async def project(cloud: Harness) -> tuple[str, str]:
    """(ref, identifier of its standby), both ready."""
    new = {"name": "users", "organization_id": "org", "db_pass": "password", "region": "us-west-1"}
    ref = (await cloud.client.post("/v1/projects", json=new)).json()["ref"]
    await cloud.until(lambda: cloud.world.supabase[ref].status == "ACTIVE_HEALTHY")
    await cloud.client.post(f"/v1/projects/{ref}/read-replicas/setup", json={"read_replica_region": "eu-central-1"})
    await cloud.until(lambda: cloud.world.supabase[ref].replicas[0].is_ready)
    return ref, cloud.world.supabase[ref].replicas[0].identifier


async def test_a_standby_is_promoted_by_name_and_the_project_is_healthy_again(cloud: Harness) -> None:
    ref, identifier = await project(cloud)
    response = await cloud.client.post("/_local/databases/promote", json={"name": "users/standby"})
    assert (response.status_code, response.json()) == (200, {"promoted": identifier, "ref": ref})
    assert f"promote db-{identifier}" in cloud.plane.calls
    assert cloud.world.supabase[ref].status == "ACTIVE_HEALTHY"


async def test_a_primary_that_is_down_stays_down_until_it_is_promoted_or_called_up(cloud: Harness) -> None:
    """A crash is mended in place; only who asks for it loses what the standby had not received."""
    ref, _ = await project(cloud)
    cloud.plane.also_running.add(f"db-{ref}")
    down = {"key": "users/primary", "action": "down"}
    assert (await cloud.client.post("/_local/faults/processes", json=down)).status_code == 200
    cloud.plane.end(f"db-{ref}", -9)
    await cloud.until(lambda: cloud.world.supabase[ref].status == "ACTIVE_UNHEALTHY")
    shown = (await cloud.client.get("/_local/status")).json()["databases"]
    assert [found["is_held"] for found in shown] == [True, False]
    assert (await cloud.client.post("/_local/databases/promote", json={"name": "standby"})).status_code == 200
    assert cloud.world.supabase[ref].status == "ACTIVE_HEALTHY"
    cloud.plane.also_running.add(f"db-{ref}")
    await cloud.client.post("/_local/faults/processes", json=down)
    cloud.plane.end(f"db-{ref}", -9)
    await cloud.until(lambda: cloud.world.supabase[ref].status == "ACTIVE_UNHEALTHY")
    await cloud.client.delete("/_local/faults")
    await cloud.until(lambda: cloud.world.supabase[ref].status == "ACTIVE_HEALTHY")


async def test_a_backup_is_made_listed_and_restored(cloud: Harness) -> None:
    ref, _ = await project(cloud)
    before = (await cloud.client.get(f"/v1/projects/{ref}/database/backups")).json()
    assert (before["pitr_enabled"], before["backups"]) == (False, [])
    assert (await cloud.client.post("/_local/databases/restore", json={"name": "primary"})).status_code == 503
    assert cloud.world.supabase[ref].status == "ACTIVE_HEALTHY", "a restore that failed leaves everything up"
    made = await cloud.client.post("/_local/databases/backup", json={"name": "primary"})
    assert made.json()["id"] == "backup-1"
    assert [one["name"] for one in (await cloud.client.get("/_local/databases/backups")).json()["backups"]] == ["users/primary"]
    listed = (await cloud.client.get(f"/v1/projects/{ref}/database/backups")).json()
    assert (listed["pitr_enabled"], [one["status"] for one in listed["backups"]]) == (True, ["COMPLETED"])
    asked = {"recovery_time_target_unix": 2000}
    assert (await cloud.client.post(f"/v1/projects/{ref}/database/backups/restore-pitr", json=asked)).status_code == 201
    assert f"restore db-{ref} 2000.0" in cloud.plane.calls
    at = {"name": "primary", "at": "1970-01-01T01:00:00+00:00"}
    assert (await cloud.client.post("/_local/databases/restore", json=at)).status_code == 200
    assert f"restore db-{ref} 3600.0" in cloud.plane.calls
    assert cloud.world.supabase[ref].status == "ACTIVE_HEALTHY"


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/_local/databases/promote", {"name": "primary"}, 400),
        ("/_local/databases/backup", {"name": "standby"}, 400),
        ("/_local/databases/backup", {"name": "api"}, 400),
        ("/_local/databases/backup", {"name": "nothing"}, 404),
        ("/_local/databases/restore", {"name": "primary", "at": "yesterday"}, 400),
        ("/_local/databases/restore", {"name": "primary", "at": "2026-01-01T00:00:00"}, 400),
        ("/v1/projects/{ref}/database/backups/restore-pitr", {"recovery_time_target_unix": "x"}, 400),
        ("/v1/projects/{ref}/database/backups/restore-pitr", {"recovery_time_target_unix": 1}, 400),
    ],
)
async def test_a_wrong_request_is_refused(cloud: Harness, path: str, body: object, status: int) -> None:
    ref, _ = await project(cloud)
    assert (await cloud.client.post(path.format(ref=ref), json=body)).status_code == status
    assert (await cloud.client.post(path.format(ref=ref), json=body, headers={"Authorization": ""})).status_code == 401
    assert not [call for call in cloud.plane.calls if call.startswith(("promote", "restore"))]
