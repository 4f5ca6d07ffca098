"""Deletions that finish later: what is shown meanwhile, by whose clock, and what can still be called off."""

from __future__ import annotations

import pytest

from infra.localcloud.world import lookup
from tests.localcloud.control.harness import ApiError, Harness

pytestmark = pytest.mark.anyio
HOURS_48_S = 48 * 3600.0
VOLUMES = """query ($e: String!) { environment(id: $e) { volumeInstances { edges { node {
    volumeId isPendingDeletion deletedAt state } } } } }"""
VOLUME_CREATE = "mutation ($i: VolumeCreateInput!) { volumeCreate(input: $i) { id } }"


async def volumes(cloud: Harness, place: tuple[str, str]) -> list[dict[str, object]]:
    found = await cloud.gql(VOLUMES, e=place[1])
    return [edge["node"] for edge in found["environment"]["volumeInstances"]["edges"]]


async def volume(cloud: Harness, place: tuple[str, str], service_id: str) -> str:
    asked = {"projectId": place[0], "environmentId": place[1], "serviceId": service_id, "mountPath": "/data"}
    return str((await cloud.gql(VOLUME_CREATE, i=asked))["volumeCreate"]["id"])


async def test_a_deleted_volume_is_pending_for_two_days_of_the_clouds_clock(cloud):
    """Railway's promise to whoever deleted the wrong one, and what its own CLI shows as `Deletes on`."""
    place = await cloud.project()
    service_id = await cloud.service(place)
    made = await volume(cloud, place, service_id)
    await cloud.gql("mutation ($i: String!) { volumeDelete(volumeId: $i) }", i=made)
    (shown,) = await volumes(cloud, place)
    assert (shown["isPendingDeletion"], shown["state"]) == (True, "READY")
    assert str(shown["deletedAt"]) > cloud.keeper.clock.timestamp()
    assert lookup.volume_of(cloud.world, service_id, place[1]) == made, "its data stay mounted"

    cloud.keeper.clock.advance(HOURS_48_S - 5)
    assert len(await volumes(cloud, place)) == 1
    cloud.keeper.clock.advance(5)
    await cloud.until(lambda: not cloud.world.volumes and not cloud.world.endings)
    assert await volumes(cloud, place) == []


async def test_another_volume_takes_the_place_of_a_pending_one(cloud):
    """A replacement creates the new one while the old one waits for its end; more replicas may come as well."""
    place = await cloud.project()
    service_id = await cloud.service(place)
    old = await volume(cloud, place, service_id)
    with pytest.raises(ApiError, match="one volume only"):
        await volume(cloud, place, service_id)
    await cloud.gql("mutation ($i: String!) { volumeDelete(volumeId: $i) }", i=old)
    await cloud.update(place, service_id, multiRegionConfig={"us-west2": {"numReplicas": 2}})
    await cloud.update(place, service_id, multiRegionConfig={"us-west2": {"numReplicas": 1}})
    new = await volume(cloud, place, service_id)
    assert lookup.volume_of(cloud.world, service_id, place[1]) == new
    update = 'mutation ($i: String!) { volumeInstanceUpdate(volumeId: $i, input: {mountPath: "/other"}) }'
    with pytest.raises(ApiError, match="pending deletion"):
        await cloud.gql(update, i=old)


async def test_a_volume_outlives_its_service_and_goes_with_its_environment(cloud: Harness) -> None:
    """Terraform's provider deletes the service first and its volume then; Railway's CLI detaches by saying null."""
    place = await cloud.project()
    service_id = await cloud.service(place)
    made = await volume(cloud, place, service_id)
    directory = cloud.directory / "volumes" / made
    directory.mkdir(parents=True)
    update = "mutation ($v: String!, $s: String) { volumeInstanceUpdate(volumeId: $v, input: { serviceId: $s }) }"
    await cloud.gql(update, v=made, s=None)
    assert lookup.staying_volume(cloud.world, service_id, place[1]) is None
    await cloud.gql(update, v=made, s=service_id)
    await cloud.gql("mutation ($i: String!) { serviceDelete(id: $i) }", i=service_id)
    await cloud.until(lambda: not cloud.world.endings)
    (left,) = cloud.world.volume_instances.values()
    assert (left.volume_id, left.service_id, left.mount_path) == (made, None, "/data")
    assert directory.is_dir()
    other = await cloud.service(place, "other")
    await cloud.gql(update, v=made, s=other)
    await cloud.gql("mutation ($i: String!) { projectDelete(id: $i) }", i=place[0])
    await cloud.until(lambda: not cloud.world.endings)
    assert not cloud.world.volumes
    assert not directory.exists()


async def test_a_scheduled_project_goes_on_until_its_grace_ends_or_it_is_called_off(cloud):
    """A slip of the hand costs nothing for two days."""
    place, _, deployment_id = await cloud.web()
    await cloud.gql("mutation ($i: String!) { projectScheduleDelete(id: $i) }", i=place[0])
    listed = await cloud.gql("{ projects { edges { node { id deletedAt } } } }")
    assert [edge["node"]["deletedAt"] > "2026" for edge in listed["projects"]["edges"]] == [True]
    assert cloud.status(deployment_id) == "SUCCESS"
    await cloud.gql("mutation ($i: String!) { projectScheduleDeleteCancel(id: $i) }", i=place[0])
    cloud.keeper.clock.advance(HOURS_48_S + 1)
    assert (await cloud.gql("query ($i: String!) { project(id: $i) { deletedAt } }", i=place[0]))["project"] == {
        "deletedAt": None
    }

    await cloud.gql("mutation ($i: String!) { projectScheduleDelete(id: $i) }", i=place[0])
    cloud.keeper.clock.advance(HOURS_48_S)
    await cloud.until(lambda: not cloud.world.projects and not cloud.world.endings and not cloud.world.departed)
    assert not cloud.plane.running
    with pytest.raises(ApiError, match="not found"):
        await cloud.gql("query ($i: String!) { project(id: $i) { id } }", i=place[0])


async def test_what_is_deleted_shows_when_until_it_is_gone(cloud):
    """Clients that look again after a delete find deletedAt, and not a thing that still seems to be there."""
    place, service_id, _ = await cloud.web()
    made = await cloud.gql(
        "mutation ($i: TCPProxyCreateInput!) { tcpProxyCreate(input: $i) { id } }",
        i={"serviceId": service_id, "environmentId": place[1], "applicationPort": 6379},
    )
    linger = {"deletions": {"linger_s": 60}}
    assert (await cloud.client.post("/_local/faults", json=linger)).json()["deletions"] == {"linger_s": 60.0}
    proxies = "query ($s: String!, $e: String!) { tcpProxies(serviceId: $s, environmentId: $e) { syncStatus deletedAt } }"
    await cloud.gql("mutation ($i: String!) { tcpProxyDelete(id: $i) }", i=made["tcpProxyCreate"]["id"])
    (proxy,) = (await cloud.gql(proxies, s=service_id, e=place[1]))["tcpProxies"]
    assert (proxy["syncStatus"], proxy["deletedAt"] is not None) == ("DELETING", True)

    await cloud.gql("mutation ($i: String!) { projectDelete(id: $i) }", i=place[0])
    by_id = """query ($p: String!, $e: String!, $s: String!) { project(id: $p) { deletedAt services { edges { node { id } } } }
        environment(id: $e) { deletedAt } service(id: $s) { deletedAt project { deletedAt } } }"""
    shown = await cloud.gql(by_id, p=place[0], e=place[1], s=service_id)
    assert all(shown[kind]["deletedAt"] for kind in ("project", "environment", "service"))
    assert shown["service"]["project"]["deletedAt"]
    assert not shown["project"]["services"]["edges"]
    listed = "query ($d: Boolean) { projects(includeDeleted: $d) { edges { node { id } } } }"
    assert not (await cloud.gql(listed))["projects"]["edges"]
    assert len((await cloud.gql(listed, d=True))["projects"]["edges"]) == 1
    with pytest.raises(ApiError, match="not found"):
        await cloud.service(place)

    await cloud.until(lambda: not cloud.plane.running)
    cloud.keeper.clock.advance(60)
    await cloud.until(lambda: not cloud.world.departed)
    with pytest.raises(ApiError, match="not found"):
        await cloud.gql(by_id, p=place[0], e=place[1], s=service_id)
