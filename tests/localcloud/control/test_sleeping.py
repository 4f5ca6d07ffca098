"""sleepApplication: asleep after ten minutes of the cloud's clock without a packet, awake with the next connection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.localcloud.control.harness import Harness, running

pytestmark = pytest.mark.anyio
QUIET_S = 600.0
DOMAIN = "mutation ($i: ServiceDomainCreateInput!) { serviceDomainCreate(input: $i) { domain } }"


async def looked(cloud: Harness) -> None:
    """One more look of whoever puts services to sleep, without waiting a second for it; nobody else is at work before it."""
    await cloud.until(lambda: cloud.conductor.workers.is_idle)
    await cloud.conductor.sleeping.look()


async def sleeper(cloud: Harness, **settings: Any) -> tuple[tuple[str, str], str, str]:
    place, service_id, deployment_id = await cloud.web(sleepApplication=True, **settings)
    await cloud.gql(DOMAIN, i={"serviceId": service_id, "environmentId": place[1], "targetPort": 9000})
    await looked(cloud)
    return place, service_id, deployment_id


async def asleep(cloud: Harness, deployment_id: str) -> None:
    cloud.keeper.clock.advance(QUIET_S)
    await cloud.reached(deployment_id, "SLEEPING")
    await cloud.until(lambda: not cloud.plane.running and cloud.conductor.workers.is_idle)


def upstreams(cloud: Harness, region: str = "us-west2") -> list[tuple[str, int]]:
    return [
        place for route in cloud.plane.routes[region] for group in route.upstreams.values() for place in group if route.upstreams
    ]


async def test_a_service_that_sends_nothing_sleeps_and_the_next_connection_wakes_it(cloud: Harness) -> None:
    regions = {"us-west2": {"numReplicas": 1}, "europe-west4-drams3a": {"numReplicas": 1}}
    _, _, deployment_id = await sleeper(cloud, multiRegionConfig=regions)
    await cloud.until(lambda: ("127.99.1.3", 9000) in upstreams(cloud))
    before = upstreams(cloud)
    await asleep(cloud, deployment_id)
    assert {found.status for found in cloud.world.deployments[deployment_id].replicas} == {"STOPPED"}
    assert len(cloud.plane.doors) == 2
    (door, ports, knock) = next(iter(cloud.plane.doors.values()))
    assert set(ports) == {8080, 9000}, "the replica's own port, and what its domain asks for"
    assert (door, 9000) in upstreams(cloud)

    knock()
    knock()  # a second visitor needs no second waking
    await cloud.reached(deployment_id, "SUCCESS")
    await cloud.until(lambda: not cloud.plane.doors and len(cloud.plane.running) == 2)
    assert upstreams(cloud) == before
    assert [call for call in cloud.plane.calls if call.startswith("on to 127")], "whoever waited went on"
    assert not [owner for owner in cloud.plane.owners if owner.startswith("door:")]
    assert "asleep: nothing was sent for 10 minutes\nwoken" in await cloud.build_log(deployment_id)


async def test_what_is_sent_keeps_a_service_awake(cloud: Harness) -> None:
    _, _, deployment_id = await sleeper(cloud)
    (replica,) = cloud.world.deployments[deployment_id].replicas
    cloud.keeper.clock.advance(QUIET_S - 10)
    cloud.plane.sent[replica.key] = 7
    await looked(cloud)
    cloud.keeper.clock.advance(QUIET_S - 10)
    await looked(cloud)
    assert cloud.conductor.workers.is_idle, "the ten minutes began anew"
    assert cloud.status(deployment_id) == "SUCCESS"
    await asleep(cloud, deployment_id)


async def test_a_service_that_may_not_sleep_stays_awake(cloud: Harness) -> None:
    _, _, deployment_id = await cloud.web()
    await looked(cloud)
    cloud.keeper.clock.advance(QUIET_S * 2)
    await looked(cloud)
    assert cloud.conductor.workers.is_idle
    assert cloud.status(deployment_id) == "SUCCESS"


@pytest.mark.parametrize("ending", ["deploymentRestart", "deploymentRemove", "serviceDelete"])
async def test_whoever_ends_the_sleep_closes_the_door(cloud: Harness, ending: str) -> None:
    """An address that nobody leads to any more must not stay taken, nor its visitors wait for ever."""
    _, service_id, deployment_id = await sleeper(cloud)
    await asleep(cloud, deployment_id)
    what = service_id if ending == "serviceDelete" else deployment_id
    await cloud.gql(f"mutation ($i: String!) {{ {ending}(id: $i) }}", i=what)
    await cloud.until(lambda: cloud.conductor.workers.is_idle and not cloud.world.endings)
    await looked(cloud)
    assert cloud.plane.doors == {}
    assert not [owner for owner in cloud.plane.owners if owner.startswith("door:")]
    assert len(cloud.plane.running) == (1 if ending == "deploymentRestart" else 0)


async def test_a_new_deployment_takes_the_place_of_one_that_sleeps(cloud: Harness) -> None:
    place, service_id, old = await sleeper(cloud)
    await asleep(cloud, old)
    new = await cloud.deploy(place, service_id)
    await cloud.reached(new, "SUCCESS")
    await cloud.reached(old, "REMOVED")
    await looked(cloud)
    assert cloud.plane.doors == {}


async def test_after_a_restart_of_the_cloud_everything_is_awake(tmp_path: Path) -> None:
    async with running(tmp_path) as cloud:
        _, _, deployment_id = await sleeper(cloud)
        await asleep(cloud, deployment_id)
    async with running(tmp_path) as cloud:
        await cloud.reached(deployment_id, "SUCCESS")
        await cloud.until(lambda: len(cloud.plane.running) == 1)
