"""The cloud's clock goes forward on request, and what waits for it is woken."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from infra.localcloud.world_clock import ADVANCE_S_MAX, WorldClock
from tests.localcloud.control.harness import Harness

pytestmark = pytest.mark.anyio
HOUR_S = 3600.0


async def advance(cloud: Harness, duration_s: float) -> None:
    response = await cloud.client.post("/_local/time", json={"advance_s": duration_s})
    assert response.status_code == 200, response.text


async def test_a_sleeper_wakes_when_its_time_has_come_and_not_before() -> None:
    clock = WorldClock()
    sleeping = asyncio.create_task(clock.sleep(2 * HOUR_S))
    await asyncio.sleep(0)
    clock.advance(HOUR_S)
    for _ in range(5):
        await asyncio.sleep(0)
    assert not sleeping.done()
    clock.advance(HOUR_S)
    async with asyncio.timeout(5):
        await sleeping


def test_the_offset_outlives_the_daemon(tmp_path: Path) -> None:
    WorldClock(tmp_path / "clock.json").advance(HOUR_S)
    assert WorldClock(tmp_path / "clock.json").offset_s == HOUR_S


@pytest.mark.parametrize("wrong", [-1.0, ADVANCE_S_MAX * 2, float("nan")])
def test_there_is_no_way_back_and_no_way_beyond_what_dates_can_say(wrong: float) -> None:
    clock = WorldClock()
    with pytest.raises(ValueError, match="expected 0 to"):
        clock.advance(wrong)
    assert clock.offset_s == 0


async def test_what_is_made_after_the_move_has_the_later_time(cloud: Harness) -> None:
    _, _, first = await cloud.web()
    await advance(cloud, 24 * HOUR_S)
    second = await cloud.gql("mutation ($i: String!) { deploymentRedeploy(id: $i) { id createdAt } }", i=first)
    made = cloud.world.deployments
    moved = datetime.fromisoformat(made[second["deploymentRedeploy"]["id"]].created_at) - datetime.fromisoformat(
        made[first].created_at
    )
    assert timedelta(hours=24) <= moved < timedelta(hours=25)
    await cloud.reached(second["deploymentRedeploy"]["id"], "SUCCESS")
    query = "query ($i: String!) { buildLogs(deploymentId: $i) { timestamp } }"
    lines = (await cloud.gql(query, i=second["deploymentRedeploy"]["id"]))["buildLogs"]
    assert all(line["timestamp"] >= made[second["deploymentRedeploy"]["id"]].created_at for line in lines)


async def test_a_long_overlap_ends_when_the_clock_is_moved(cloud: Harness) -> None:
    _, _, first = await cloud.web(overlapSeconds=3600)
    second = await cloud.gql("mutation ($i: String!) { deploymentRedeploy(id: $i) { id } }", i=first)
    log = cloud.conductor.build_logs
    made = second["deploymentRedeploy"]["id"]
    await cloud.until(lambda: any(line.message == "deployment is live" for line in log.read(made)))  # here the overlap begins
    assert cloud.status(first) == "REMOVING"
    await advance(cloud, HOUR_S)
    await cloud.reached(first, "REMOVED")


async def test_an_hourly_limit_begins_anew_after_an_hour(cloud: Harness) -> None:
    await cloud.client.post("/_local/faults", json={"rate_limit": {"requests_per_hour": 1}})
    ask = {"query": "{ me { id } }"}
    assert [(await cloud.client.post("/graphql/v2", json=ask)).status_code for _ in range(2)] == [200, 429]
    await advance(cloud, HOUR_S)
    assert (await cloud.client.post("/graphql/v2", json=ask)).status_code == 200


@pytest.mark.parametrize("wrong", [{"advance_s": -1}, {"advance_s": 1e12}, {}, {"advance_s": "1h"}, {"back_s": 1}])
async def test_a_wrong_move_is_refused(cloud: Harness, wrong: object) -> None:
    assert (await cloud.client.post("/_local/time", json=wrong)).status_code == 400
    assert (await cloud.client.get("/_local/time")).json()["offset_s"] == 0
