"""metrics: processor and memory of each replica, summed over what the caller does not ask apart."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.localcloud.control.harness import ApiError, Harness

pytestmark = pytest.mark.anyio
START = 2_000_000_000  # in the future: the sampler's own looks are never within the window that is asked for
QUERY = """query ($m: [MetricMeasurement!]!, $s: DateTime!, $e: String, $v: String, $g: [MetricTag!], $r: Int) {
    metrics(measurements: $m, startDate: $s, environmentId: $e, serviceId: $v, groupBy: $g, sampleRateSeconds: $r) {
        measurement tags { region deploymentInstanceId serviceId } values { ts value } } }"""


def since(epoch_s: int = START) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).isoformat()


async def measured(cloud: Harness, **more: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await cloud.gql(QUERY, **{"m": ["CPU_USAGE", "MEMORY_USAGE_GB"], "s": since(), **more}))[
        "metrics"
    ]
    return found


async def two_replicas(cloud: Harness) -> tuple[tuple[str, str], str]:
    both = {"us-west2": {"numReplicas": 1}, "europe-west4-drams3a": {"numReplicas": 1}}
    place, service_id, _ = await cloud.web(multiRegionConfig=both)
    for step in range(3):
        for number, key in enumerate(cloud.plane.running, 1):
            cloud.plane.usage[key] = (number * 1_000_000_000, 100 + number * step)
        cloud.conductor.metrics.sample(START + 10 * step - 10)
    return place, service_id


async def test_replicas_are_summed_unless_they_are_asked_for_apart(cloud: Harness) -> None:
    place, service_id = await two_replicas(cloud)
    cpus, memory = await measured(cloud, e=place[1])
    assert cpus["values"] == [{"ts": START, "value": pytest.approx(0.3)}, {"ts": START + 10, "value": pytest.approx(0.3)}]
    assert [one["value"] for one in memory["values"]] == [3.0, 3.0]
    by_region = await measured(cloud, m=["MEMORY_USAGE_GB"], g=["REGION", "SERVICE_ID"])
    assert {one["tags"]["region"]: one["values"][0]["value"] for one in by_region} == {
        "us-west2": 1.0,
        "europe-west4-drams3a": 2.0,
    }
    assert {one["tags"]["serviceId"] for one in by_region} == {service_id}
    assert len(await measured(cloud, m=["CPU_USAGE"], g=["DEPLOYMENT_INSTANCE_ID"])) == 2


async def test_what_is_not_measured_has_no_result_and_spoils_no_other(cloud: Harness) -> None:
    """Railway's CLI asks for limits, disks and networks in the same query."""
    await two_replicas(cloud)
    found = await measured(cloud, m=["CPU_LIMIT", "NETWORK_RX_GB", "CPU_USAGE"], g=["VOLUME_ID"])
    assert [one["measurement"] for one in found] == ["CPU_USAGE"]
    of_volume = """query ($s: DateTime!, $v: String) {
        metrics(measurements: [DISK_USAGE_GB, CPU_USAGE], startDate: $s, volumeId: $v) { measurement } }"""
    assert (await cloud.gql(of_volume, s=since(), v="a volume"))["metrics"] == []


async def test_buckets_are_means_and_the_window_holds(cloud: Harness) -> None:
    await two_replicas(cloud)
    (coarse,) = await measured(cloud, m=["MEMORY_USAGE_GB"], r=20)
    assert coarse["values"] == [{"ts": START, "value": 3.0}]
    (late,) = await measured(cloud, m=["MEMORY_USAGE_GB"], s=since(START + 5))
    assert [one["ts"] for one in late["values"]] == [START + 10]
    assert await measured(cloud, s=since(START + 50)) == []


async def test_a_process_that_was_restarted_is_not_compared_with_the_one_before(cloud: Harness) -> None:
    """Its processor time begins at zero: the difference would be less than nothing."""
    await cloud.web()
    (key,) = cloud.plane.running
    for at, pid, cpu_s in ((0, 1, 50.0), (10, 2, 0.5), (20, 2, 5.5)):
        cloud.plane.usage[key], cloud.plane.pids[key] = (1, cpu_s), pid
        cloud.conductor.metrics.sample(START + at)
    (cpus,) = await measured(cloud, m=["CPU_USAGE"])
    assert cpus["values"] == [{"ts": START + 20, "value": 0.5}]


async def test_samples_go_with_their_service(cloud: Harness) -> None:
    _, service_id = await two_replicas(cloud)
    keys = list(cloud.plane.running)
    await cloud.gql("mutation ($i: String!) { serviceDelete(id: $i) }", i=service_id)
    cloud.conductor.metrics.sample(START + 100)
    assert [cloud.conductor.metrics.of(key) for key in keys] == [[], []]


@pytest.mark.parametrize("wrong", [{"s": "yesterday"}, {"s": "2026-11-24T00:00:00"}, {"r": 0}, {"v": "nothing"}])
async def test_a_wrong_question_is_refused(cloud: Harness, wrong: dict[str, Any]) -> None:
    with pytest.raises(ApiError):
        await measured(cloud, **wrong)


async def test_usage_is_estimated_from_what_was_measured(cloud: Harness) -> None:
    """0.3 processors and 3 GB for a whole month, in minutes; a project that runs nothing costs nothing."""
    place, _ = await two_replicas(cloud)
    other = await cloud.project()
    query = """query ($m: [MetricMeasurement!]!, $p: String) {
        estimatedUsage(measurements: $m, projectId: $p) { measurement estimatedValue projectId } }"""
    every = {"m": ["CPU_USAGE", "MEMORY_USAGE_GB", "DISK_USAGE_GB"]}
    found = (await cloud.gql(query, p=place[0], **every))["estimatedUsage"]
    values = {one["measurement"]: one["estimatedValue"] for one in found}
    assert values.keys() == {"CPU_USAGE", "MEMORY_USAGE_GB"}, "what is not measured is not told"
    month_min = values["MEMORY_USAGE_GB"] / 3
    assert month_min / (24 * 60) in (28, 29, 30, 31)
    assert values["CPU_USAGE"] == pytest.approx(0.3 * month_min, rel=0.5)
    assert (await cloud.gql(query, p=other[0], **every))["estimatedUsage"] == []
    assert (await cloud.gql(query, **every))["estimatedUsage"] == found
