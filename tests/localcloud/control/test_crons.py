"""Schedules: when they are due, and that a service with one runs then and at no other time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.localcloud.plane.interface import ReplicaSpec
from infra.localcloud.world.cron import next_after, parse_schedule
from infra.localcloud.world.errors import BadInput
from tests.localcloud.control.harness import Harness

MOMENTS = st.datetimes(datetime(2024, 1, 1), datetime(2032, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the zone is given beside


def due(text: str, at: str) -> str | None:
    found = next_after(parse_schedule(text), datetime.fromisoformat(at).replace(tzinfo=UTC))
    return found.strftime("%Y-%m-%d %H:%M") if found else None


@pytest.mark.parametrize(
    ("text", "at", "expected"),
    [
        ("*/15 * * * *", "2026-01-01 00:00:00", "2026-01-01 00:15"),
        ("*/15 * * * *", "2026-01-01 00:14:59", "2026-01-01 00:15"),
        ("0 3 * * *", "2026-01-01 03:00:00", "2026-01-02 03:00"),
        ("30 6 * * 1-5", "2026-01-02 07:00:00", "2026-01-05 06:30"),
        ("0 0 29 2 *", "2026-01-01 00:00:00", "2028-02-29 00:00"),
        ("0 0 30 2 *", "2026-01-01 00:00:00", None),
        ("0 12 1 * 0", "2026-01-02 00:00:00", "2026-01-04 12:00"),  # the first of a month or a Sunday
        ("0 12 1 * 7", "2026-01-30 00:00:00", "2026-02-01 12:00"),
        ("10-40/10,55 8,20 * * *", "2026-01-01 08:40:00", "2026-01-01 08:55"),
        ("5/20 * * * *", "2026-12-31 23:45:00", "2027-01-01 00:05"),
    ],
)
def test_when_it_is_due(text: str, at: str, expected: str | None) -> None:
    assert due(text, at) == expected


@pytest.mark.parametrize(
    "text",
    ["* * * * *", "*/4 * * * *", "0,58 * * * *", "60 * * * *", "0 24 * * *", "0 0 0 * *", "0 0 * 13 *", "0 0 * * 8",
     "5-1 * * * *", "*/0 * * * *", "0 0 * *", "0 0 * * * *", "a * * * *", "-1 * * * *", "0 0 * * MON", "", "1- * * * *",
     "٣ * * * *"],
)  # fmt: skip
def test_what_is_no_schedule_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="cronSchedule: "):
        parse_schedule(text)


@given(MOMENTS, st.sampled_from(["*/7 2 * * *", "0 */5 1,15 * *", "20 4 * 2 1", "0 0 31 * *", "*/5 * * * *"]))
def test_the_next_time_is_later_and_there_is_none_in_between(at: datetime, text: str) -> None:
    schedule = parse_schedule(text)
    found = next_after(schedule, at)
    assert found is not None
    assert found > at
    assert next_after(schedule, found - timedelta(seconds=1)) == found
    assert next_after(schedule, at + (found - at) / 2) == found


@pytest.mark.anyio
async def test_a_service_with_a_schedule_runs_when_it_is_due_and_not_before(cloud: Harness) -> None:
    _, _, deployment_id = await cloud.web(cronSchedule="0 * * * *", healthcheckPath="/health")
    assert (cloud.plane.running, cloud.world.deployments[deployment_id].replicas) == ({}, ())
    crons = cloud.conductor.crons

    async def ran(count: int) -> None:
        await cloud.until(lambda: cloud.plane.calls.count("run_once /venv/bin/python -m service") == count)
        await cloud.until(lambda: not crons.under_way)

    crons.look()
    await ran(0)
    cloud.keeper.clock.advance(3600)
    await ran(1)
    assert [one.status for one in cloud.world.deployments[deployment_id].replicas] == ["EXITED"]
    assert (cloud.status(deployment_id), cloud.world.deployments[deployment_id].is_stopped) == ("SUCCESS", False)
    cloud.keeper.clock.advance(10 * 3600)  # ten were due: what was missed is made up for once
    await ran(2)
    cloud.plane.pre_deploy_fails = True
    cloud.keeper.clock.advance(3600)
    await ran(3)
    assert cloud.status(deployment_id) == "CRASHED"
    assert "ended with exit code 1" in await cloud.build_log(deployment_id)
    cloud.plane.pre_deploy_fails = False
    cloud.keeper.clock.advance(3600)
    await ran(4)
    assert cloud.status(deployment_id) == "SUCCESS"


@pytest.mark.anyio
async def test_a_run_that_is_still_going_lets_the_next_one_be_skipped(cloud: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, deployment_id = await cloud.web(cronSchedule="0 * * * *")
    going, began = asyncio.Event(), 0

    async def slow(spec: ReplicaSpec, timeout_s: float) -> None:
        nonlocal began
        began += 1
        await going.wait()

    monkeypatch.setattr(cloud.plane, "run_once", slow)
    cloud.keeper.clock.advance(3600)
    await cloud.until(lambda: began == 1)
    cloud.keeper.clock.advance(3600)
    log = cloud.conductor.build_logs
    await cloud.until(lambda: any("skipped" in line.message for line in log.read(deployment_id)))
    going.set()
    await cloud.until(lambda: not cloud.conductor.crons.under_way)
    await cloud.until(lambda: [one.status for one in cloud.world.deployments[deployment_id].replicas] == ["EXITED"])
    assert began == 1
