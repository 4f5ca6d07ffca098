"""During the overlap requests meet the new deployment, or the old one where somebody says so."""

from __future__ import annotations

import pytest

from tests.localcloud.control.harness import Harness

pytestmark = pytest.mark.anyio


async def test_requests_meet_the_side_that_is_switched_on_until_the_overlap_ends(cloud: Harness) -> None:
    assert (await cloud.client.post("/_local/overlap", json={"requests_meet": "old"})).status_code == 200
    assert (await cloud.client.get("/_local/status")).json()["overlap"] == {"requests_meet": "old"}
    _, _, first = await cloud.web(overlapSeconds=3600)
    made = await cloud.gql("mutation ($i: String!) { deploymentRedeploy(id: $i) { id } }", i=first)
    second = made["deploymentRedeploy"]["id"]
    log = cloud.conductor.build_logs
    await cloud.until(lambda: any(line.message == "deployment is live" for line in log.read(second)))

    def upstreams() -> set[str]:
        found = [route for route in cloud.plane.routes["us-west2"] if route.upstreams]
        return {host for route in found for host, _ in route.upstreams["us-west2"]}

    def addresses(deployment_id: str) -> set[str]:
        return {replica.address for replica in cloud.world.deployments[deployment_id].replicas}

    assert (cloud.status(second), upstreams()) == ("SUCCESS", addresses(first))
    await cloud.client.post("/_local/overlap", json={"requests_meet": "new"})
    await cloud.until(lambda: upstreams() == addresses(second))
    await cloud.client.post("/_local/overlap", json={"requests_meet": "old"})
    await cloud.until(lambda: upstreams() == addresses(first))
    await cloud.client.post("/_local/time", json={"advance_s": 3600})
    await cloud.reached(first, "REMOVED")
    assert upstreams() == addresses(second), "off the routes before the old one is told to end"
    stopped = cloud.plane.calls.index("stop 0")
    assert cloud.plane.calls[:stopped][-1].startswith("routes")


@pytest.mark.parametrize("wrong", [{}, {"requests_meet": "both"}, {"x": 1}])
async def test_a_wrong_switch_is_refused_or_means_the_default(cloud: Harness, wrong: dict[str, object]) -> None:
    response = await cloud.client.post("/_local/overlap", json=wrong)
    assert response.status_code == (200 if not wrong else 400)
