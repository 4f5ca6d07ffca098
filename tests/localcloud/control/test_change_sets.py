"""Change sets: what Railway's CLI asks for when it plans and applies a configuration file (`railway config`)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.localcloud.control.harness import ApiError, Harness

pytestmark = pytest.mark.anyio
PREVIEW = """mutation ($e: String!, $i: JSON!) { environmentPreviewChangeSet(environmentId: $e, input: $i) {
    changeSet diagnostics } }"""
APPLY = """mutation ($e: String!, $i: JSON!, $t: String) {
    environmentApplyChangeSet(environmentId: $e, input: $i, baseConfigEtag: $t) {
        id status deploymentId diagnostics changes { kind path status } } }"""
RESULT = "query ($e: String!, $i: String!) { environmentChangeSetApply(environmentId: $e, id: $i) { id status } }"
ENVIRONMENT = "query ($e: String!) { environment(id: $e) { configEtag canvasGroupRefs config(decryptVariables: true) } }"
CACHE = {
    "address": "database.cache", "type": "database", "engine": "redis", "name": "cache", "image": "railwayapp/redis:8.2",
    "source": {"type": "image", "image": "railwayapp/redis:8.2"}, "defaultMountPath": "/bitnami",
}  # fmt: skip


def change_set(*changes: dict[str, Any]) -> dict[str, Any]:
    return {"version": 1, "changes": list(changes), "diagnostics": []}


def create(resource: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "resource.create", "address": resource["address"], "resource": resource, "path": "p", "summary": "s"}


def service(name: str, **more: Any) -> dict[str, Any]:
    return {"address": f"service.{name}", "type": "service", "name": name, **more}


def update(address: str, field: str, after: Any) -> dict[str, Any]:
    return {"kind": "resource.update", "address": address, "field": field, "before": None, "after": after}


async def applied(cloud: Harness, place: tuple[str, str], *changes: dict[str, Any], etag: str | None = None) -> dict[str, Any]:
    done = (await cloud.gql(APPLY, e=place[1], i=change_set(*changes), t=etag))["environmentApplyChangeSet"]
    assert done["status"] == "applied"
    return dict(done)


async def previewed(cloud: Harness, place: tuple[str, str], *changes: dict[str, Any]) -> list[dict[str, Any]]:
    """The changes that are left; and nothing was done."""
    before = cloud.world
    found = await cloud.gql(PREVIEW, e=place[1], i=change_set(*changes))
    assert cloud.world is before
    left: list[dict[str, Any]] = found["environmentPreviewChangeSet"]["changeSet"]["changes"]
    return left


async def config_of(cloud: Harness, place: tuple[str, str]) -> dict[str, Any]:
    """By the names of services."""
    config = (await cloud.gql(ENVIRONMENT, e=place[1]))["environment"]["config"]
    return {cloud.world.services[key].name: found for key, found in config["services"].items()}


async def web_and_cache(cloud: Harness) -> tuple[str, str]:
    place = await cloud.project()
    web = service(
        "web",
        deploy={"startCommand": "python main.py"},
        variables={
            "URL": {"type": "reference", "resource": "database.cache", "output": "REDIS_URL"},
            "TEAM": {"type": "sharedReference", "name": "TEAM"},
            "MODE": {"type": "literal", "value": "fast"},
            "KEPT": {"type": "preserve"},
            "KEY": {"generator": 'secret(8, "ab")'},
        },
        networking={"serviceDomains": {"web": {}}, "tcpProxies": {"9000": {}}},
    )
    data = {"volume": "volume.files", "mountPath": "/files"}
    disk = service("disk", volumeAttachments={"files": data})
    config = {"region": "europe-west4-drams3a", "sizeMB": 50_000}
    volume = {"address": "volume.files", "type": "volume", "name": "files", "config": config}
    changes = (create(CACHE), create(web), create(disk), create(volume))
    assert len(await previewed(cloud, place, *changes)) == 4
    done = await applied(cloud, place, *changes)
    assert [(one["kind"], one["path"], one["status"]) for one in done["changes"]] == [("resource.create", "p", "applied")] * 4
    assert done["deploymentId"] == next(iter(cloud.world.deployments)), "the cache; the others have nothing to run yet"
    assert await cloud.gql(RESULT, e=place[1], i=done["id"]) == {
        "environmentChangeSetApply": {"id": done["id"], "status": "applied"}
    }
    await cloud.reached(done["deploymentId"], "SUCCESS")
    await cloud.until(lambda: cloud.conductor.workers.is_idle)
    return place


async def test_what_a_file_asks_for_is_there_with_all_that_it_needs(cloud: Harness) -> None:
    place = await web_and_cache(cloud)
    found = await config_of(cloud, place)
    variables = found["web"]["variables"]
    assert {name: variables[name]["value"] for name in ("URL", "TEAM", "MODE")} == {
        "URL": "${{cache.REDIS_URL}}", "TEAM": "${{shared.TEAM}}", "MODE": "fast"
    }  # fmt: skip
    assert set(variables["KEY"]["value"]) <= {"a", "b"}
    assert "KEPT" not in variables
    assert len(found["web"]["networking"]["serviceDomains"]) == 1
    assert found["web"]["networking"]["tcpProxies"] == {"9000": {}}
    assert found["web"]["deploy"] == {"startCommand": "python main.py", "multiRegionConfig": {"us-west2": {"numReplicas": 1}}}
    assert [one["mountPath"] for one in found["cache"]["volumeMounts"].values()] == ["/bitnami"]
    mounted = {cloud.world.volumes[key].name: one for key, one in found["disk"]["volumeMounts"].items()}
    assert mounted == {"files": {"mountPath": "/files"}}
    assert len(cloud.world.deployments) == 1
    config = (await cloud.gql(ENVIRONMENT, e=place[1]))["environment"]["config"]
    volumes = {cloud.world.volumes[key].name: one for key, one in config["volumes"].items()}
    assert volumes["files"] == {"region": "europe-west4-drams3a", "sizeMB": 50_000}
    assert [one["region"] for one in volumes.values()] == ["us-west2", "europe-west4-drams3a"]


async def test_a_second_plan_is_empty(cloud: Harness) -> None:
    """The CLI compares texts, often without values; what would change nothing is taken out here."""
    place = await web_and_cache(cloud)
    unchanged = (
        update("service.web", "deploy", {"startCommand": "python main.py"}),
        update("service.web", "networking", {"tcpProxies": {"9000": {}}}),
        update("service.web", "source", None),
        update("service.disk", "volumeAttachments", {"files": {"volume": "volume.files", "mountPath": "/files"}}),
        update("volume.files", "config", {"region": "europe-west4-drams3a", "sizeMB": None}),
        {"kind": "variable.set", "address": "service.web", "variable": "MODE", "after": {"type": "literal", "value": "fast"}},
        {"kind": "variable.delete", "address": "service.web", "variable": "ABSENT"},
    )
    assert await previewed(cloud, place, *unchanged) == []


async def test_an_update_has_the_section_as_the_file_has_it(cloud: Harness) -> None:
    """What a file does not say any more goes back to its default; limits and credentials are not a file's."""
    place = await web_and_cache(cloud)
    service_id = next(key for key, one in cloud.world.services.items() if one.name == "web")
    regions = {"us-west2": {"numReplicas": 2}, "us-east4-eqdc4a": {"numReplicas": 1}}
    await cloud.update(place, service_id, healthcheckPath="/ready", overlapSeconds=5, multiRegionConfig=regions)
    limit = {"serviceId": service_id, "environmentId": place[1], "vCPUs": 1}
    await cloud.gql("mutation ($i: ServiceInstanceLimitsUpdateInput!) { serviceInstanceLimitsUpdate(input: $i) }", i=limit)
    regions = {"europe-west4-drams3a": {"numReplicas": 3}}
    deploy = {"startCommand": "python two.py", "multiRegionConfig": regions, "ipv6EgressEnabled": False}
    changes = (
        update("service.web", "deploy", deploy),
        update("service.web", "networking", {"tcpProxies": {"9001": {}}}),
        {"kind": "variable.set", "address": "service.web", "variable": "MODE", "after": {"type": "literal", "value": "slow"}},
        {"kind": "variable.delete", "address": "service.web", "variable": "TEAM"},
        {"kind": "resource.delete", "address": "database.cache"},
    )
    assert await previewed(cloud, place, *changes) == list(changes)
    await applied(cloud, place, *changes)
    found = await config_of(cloud, place)
    assert set(found) == {"web", "disk"}
    assert found["web"]["deploy"] == {
        "startCommand": "python two.py", "multiRegionConfig": regions, "limitOverride": {"containers": {"cpu": 1.0}}
    }  # fmt: skip
    assert found["web"]["networking"]["tcpProxies"] == {"9001": {}}
    assert found["web"]["variables"]["MODE"] == {"value": "slow"}
    assert "TEAM" not in found["web"]["variables"]


async def test_a_file_may_choose_a_dockerfile(cloud: Harness) -> None:
    """As the files that this project renders do; the API's enum of builders has no name for it."""
    place = await cloud.project()
    build = {"builder": "DOCKERFILE", "dockerfilePath": "service/Dockerfile"}
    await applied(cloud, place, create(service("web", build=build)))
    assert (await config_of(cloud, place))["web"]["build"] == build
    (service_id,) = cloud.world.services
    asked = "query ($s: String!, $e: String!) { serviceInstance(serviceId: $s, environmentId: $e) { builder dockerfilePath } }"
    found = await cloud.gql(asked, s=service_id, e=place[1])
    assert found["serviceInstance"] == {"builder": "RAILPACK", "dockerfilePath": "service/Dockerfile"}


async def test_somebody_elses_change_since_the_plan_is_not_overwritten(cloud: Harness) -> None:
    place = await web_and_cache(cloud)
    etag = (await cloud.gql(ENVIRONMENT, e=place[1]))["environment"]["configEtag"]
    change = {"kind": "variable.set", "address": "service.web", "variable": "A", "after": {"type": "literal", "value": "1"}}
    await applied(cloud, place, change, etag=etag)
    with pytest.raises(ApiError, match="plan again"):
        await applied(cloud, place, {**change, "variable": "B"}, etag=etag)
    assert "B" not in (await config_of(cloud, place))["web"]["variables"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "bucket.create", "address": "bucket.a"}, "expected changes of the kinds"),
        ({"kind": ["resource.create"], "address": "service.a"}, "expected changes of the kinds"),
        (create(service("a", variables=["A"])), "service.a.variables: expected an object"),
        (update("service.web", "networking", "all"), "service.web.networking: expected an object"),
        (update("service.web", "deploy", {"multiRegionConfig": "here"}), "multiRegionConfig: expected an object"),
        ({"kind": "resource.create", "address": "service.a"}, "service.a: expected a resource with a name"),
        (create({"address": "bucket.a", "type": "bucket", "name": "a"}), "bucket.a: the local cloud has no buckets"),
        (create({**CACHE, "name": "pg", "engine": "postgres"}), "runs redis, not postgres"),
        (create({"address": "database.a", "type": "volume", "name": "a"}), "database.a: expected volume.NAME"),
        (create(service("a", cdn={"enabled": True})), "service.a.cdn: not known"),
        (create(service("a", deploy={"numReplicas": 2})), "deploy.numReplicas: expected multiRegionConfig"),
        (create(service("a", source={"type": "github", "repo": "a/b", "checkSuites": True})), "source.checkSuites: not known"),
        (create(service("a", variables={"A": {"type": "literal"}})), "service.a.A: expected a value"),
        (create(service("disk")), "already exists in this project"),
        (update("service.nobody", "deploy", {}), "service.nobody: no such service"),
        (update("service.web", "groupId", "g"), "service.web.groupId: the local cloud cannot change it"),
        (update("volume.files", "config", {"sizeMB": 1}), "neither moves nor resizes volumes"),
        (
            create({"address": "volume.a", "type": "volume", "name": "a", "config": {"sizeMB": 1}}),
            "config.sizeMB: expected 50000",
        ),
        (
            create({"address": "volume.a", "type": "volume", "name": "a", "config": {"region": "x"}}),
            "config.region: expected one",
        ),
        (update("volume.none", "config", {}), "volume.none: no such volume"),
        (update("service.disk", "volumeAttachments", {}), "does not take a volume away"),
        (
            update("service.web", "volumeAttachments", {"f": {"volume": "volume.files", "mountPath": "/f"}}),
            "is mounted elsewhere",
        ),
        ({"kind": "resource.delete", "address": "volume.files"}, "a file deletes services only"),
    ],
)
async def test_what_cannot_be_done_is_refused_in_the_plan_already(cloud: Harness, change: dict[str, Any], message: str) -> None:
    place = await web_and_cache(cloud)
    before = cloud.world
    for query in (PREVIEW, APPLY):
        with pytest.raises(ApiError, match=message):
            await cloud.gql(query, e=place[1], i=change_set(change))
    assert cloud.world is before


@pytest.mark.parametrize("given", [{}, {"version": 2, "changes": []}, {"version": 1, "changes": {}}, change_set({})])
async def test_what_is_no_change_set_is_refused(cloud: Harness, given: dict[str, Any]) -> None:
    place = await cloud.project()
    with pytest.raises(ApiError, match=r"input(\.changes)?: expected"):
        await cloud.gql(PREVIEW, e=place[1], i=given)
