"""Limits, schedules, credentials and sources: kept, shown where Railway shows them, and refused where they are nonsense."""

from __future__ import annotations

from typing import Any

import pytest

from tests.localcloud.control.harness import ApiError, Harness

pytestmark = pytest.mark.anyio
LIMITS = """query ($s: String!, $e: String!) {
    serviceInstanceLimitOverride(serviceId: $s, environmentId: $e) serviceInstanceLimits(serviceId: $s, environmentId: $e) }"""
SET_LIMITS = "mutation ($i: ServiceInstanceLimitsUpdateInput!) { serviceInstanceLimitsUpdate(input: $i) }"
INSTANCE = """query ($s: String!, $e: String!) { environment(id: $e) { config }
    serviceInstance(serviceId: $s, environmentId: $e) {
    cronSchedule sleepApplication nixpacksPlan source { image repo } } }"""
COMMIT = "mutation ($e: String!, $p: EnvironmentConfig) { environmentPatchCommit(environmentId: $e, patch: $p) }"


async def test_limits_are_an_override_that_can_be_taken_away(cloud: Harness) -> None:
    place = await cloud.project()
    service_id = await cloud.service(place)
    at = {"serviceId": service_id, "environmentId": place[1]}
    plan = (await cloud.gql(LIMITS, s=service_id, e=place[1]))["serviceInstanceLimits"]["containers"]
    await cloud.gql(SET_LIMITS, i={**at, "vCPUs": 0.5, "memoryGB": 2})
    found = await cloud.gql(LIMITS, s=service_id, e=place[1])
    assert found["serviceInstanceLimitOverride"] == {"containers": {"cpu": 0.5, "memoryBytes": 2_000_000_000}}
    assert found["serviceInstanceLimits"] == found["serviceInstanceLimitOverride"]
    await cloud.gql(SET_LIMITS, i={**at, "memoryGB": 2})
    found = await cloud.gql(LIMITS, s=service_id, e=place[1])
    assert found["serviceInstanceLimits"]["containers"] == {**plan, "memoryBytes": 2_000_000_000}
    await cloud.gql(SET_LIMITS, i=at)
    assert (await cloud.gql(LIMITS, s=service_id, e=place[1]))["serviceInstanceLimitOverride"] is None
    with pytest.raises(ApiError, match="vCPUs: expected more than 0"):
        await cloud.gql(SET_LIMITS, i={**at, "vCPUs": 0})


async def test_a_patch_and_an_update_set_the_same(cloud: Harness) -> None:
    """Two ways lead to one instance, and its configuration shows what either has set; a password it never shows."""
    place = await cloud.project()
    one, other = await cloud.service(place, "one"), await cloud.service(place, "other")
    credentials = {"username": "puller", "password": "to-be-hidden"}
    plan = {"phases": {}}
    await cloud.update(
        place, one, cronSchedule="*/15 * * * 1-5", sleepApplication=True, nixpacksPlan=plan, registryCredentials=credentials
    )
    deploy: dict[str, Any] = {"cronSchedule": "*/15 * * * 1-5", "sleepApplication": True, "registryCredentials": credentials}
    patch = {"services": {other: {"deploy": deploy, "build": {"nixpacksPlan": plan}}}}
    await cloud.gql(COMMIT, e=place[1], p=patch)
    shown = [await cloud.gql(INSTANCE, s=service_id, e=place[1]) for service_id in (one, other)]
    assert shown[0]["serviceInstance"] == shown[1]["serviceInstance"]
    config = shown[0]["environment"]["config"]["services"]
    assert config[one] == config[other]
    assert config[one]["deploy"]["registryCredentials"] == {"username": "puller"}
    limits = {"deploy": {"limitOverride": {"containers": {"cpu": 1, "memoryBytes": 10**9}}}, "configFile": "/railway.json"}
    await cloud.gql(COMMIT, e=place[1], p={"services": {other: limits}})
    settings = {found.service_id: found.settings for found in cloud.world.instances.values()}[other]
    assert (settings.limit_vcpus, settings.limit_memory_bytes, settings.railway_config_file) == (1, 10**9, "/railway.json")
    await cloud.gql(COMMIT, e=place[1], p={"services": {other: {"deploy": {"limitOverride": None, "cronSchedule": None}}}})
    settings = {found.service_id: found.settings for found in cloud.world.instances.values()}[other]
    assert (settings.limit_vcpus, settings.cron_schedule) == (None, None)


async def test_source_is_connected_and_disconnected_everywhere(cloud: Harness) -> None:
    place = await cloud.project()
    service_id = await cloud.service(place)
    connect = "mutation ($s: String!, $i: ServiceConnectInput!) { serviceConnect(id: $s, input: $i) { id } }"
    await cloud.gql(connect, s=service_id, i={"repo": "owner/name", "branch": "release"})
    found = await cloud.gql(INSTANCE, s=service_id, e=place[1])
    assert found["serviceInstance"]["source"] == {"image": None, "repo": "owner/name"}
    assert found["environment"]["config"]["services"][service_id]["source"] == {"repo": "owner/name", "branch": "release"}
    for wrong in ({"repo": "no-owner"}, {"repo": "a/b", "image": "c"}):
        with pytest.raises(ApiError):
            await cloud.gql(connect, s=service_id, i=wrong)
    await cloud.gql("mutation ($s: String!) { serviceDisconnect(id: $s) { id } }", s=service_id)
    assert (await cloud.gql(INSTANCE, s=service_id, e=place[1]))["serviceInstance"]["source"] is None


async def test_a_connected_source_is_deployed_at_once(cloud: Harness) -> None:
    """What a service is made with or connected to runs without being asked to, with the variables it was made with."""
    place = await cloud.project()
    made = await cloud.service(place, "made", source={"image": "valkey/valkey:8"}, variables={"A": "1"})
    connected = await cloud.service(place, "connected")
    assert [(one.service_id, one.variables) for one in cloud.world.deployments.values()] == [(made, {"A": "1"})]
    await cloud.gql('mutation ($s: String!) { serviceConnect(id: $s, input: {image: "redis:8"}) { id } }', s=connected)
    await cloud.until(lambda: [one.status for one in cloud.world.deployments.values()] == ["SUCCESS", "SUCCESS"])
    repository = await cloud.service(place, "repository", source={"repo": "owner/name"})
    *_, last = cloud.world.deployments.values()
    await cloud.reached(last.id, "FAILED")
    assert last.service_id == repository
    assert "nothing to deploy" in await cloud.build_log(last.id)


@pytest.mark.parametrize("schedule", ["* * * *", "* * * * * *", "a * * * *", "60m", "@daily", "*/ * * * *"])
async def test_a_schedule_has_five_fields(cloud: Harness, schedule: str) -> None:
    place = await cloud.project()
    service_id = await cloud.service(place)
    with pytest.raises(ApiError, match="cronSchedule: expected five fields"):
        await cloud.update(place, service_id, cronSchedule=schedule)
