"""Staged changes: nothing happens until the commit, and then each service that changed is deployed once."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.localcloud.railway_api.environment_config import changes_of
from infra.localcloud.world.errors import BadInput
from infra.localcloud.world.patch_content import EnvironmentChanges, ServicePatch, merged
from tests.localcloud.control.harness import ApiError, Harness

pytestmark = pytest.mark.anyio
STAGED = "{ id status lastAppliedError message patch }"


async def stage(cloud: Harness, place: tuple[str, str], patch: Any, *, merge: bool = False) -> dict[str, Any]:
    query = f"""mutation ($e: String!, $i: EnvironmentConfig!, $m: Boolean) {{
        environmentStageChanges(environmentId: $e, input: $i, merge: $m) {STAGED} }}"""
    found: dict[str, Any] = (await cloud.gql(query, e=place[1], i=patch, m=merge))["environmentStageChanges"]
    return found


async def commit_staged(cloud: Harness, place: tuple[str, str], **more: Any) -> str:
    query = """mutation ($e: String!, $m: String, $s: Boolean) {
        environmentPatchCommitStaged(environmentId: $e, commitMessage: $m, skipDeploys: $s) }"""
    return str((await cloud.gql(query, e=place[1], **more))["environmentPatchCommitStaged"])


async def commit(cloud: Harness, place: tuple[str, str], patch: Any) -> str:
    query = "mutation ($e: String!, $p: EnvironmentConfig) { environmentPatchCommit(environmentId: $e, patch: $p) }"
    return str((await cloud.gql(query, e=place[1], p=patch))["environmentPatchCommit"])


async def staged(cloud: Harness, place: tuple[str, str]) -> dict[str, Any]:
    query = f"query ($e: String!) {{ environmentStagedChanges(environmentId: $e) {STAGED} }}"
    found: dict[str, Any] = (await cloud.gql(query, e=place[1]))["environmentStagedChanges"]
    return found


async def etag(cloud: Harness, place: tuple[str, str]) -> str:
    found = await cloud.gql("query ($e: String!) { environment(id: $e) { configEtag } }", e=place[1])
    return str(found["environment"]["configEtag"])


async def test_many_changes_become_one_deployment(cloud: Harness) -> None:
    place, service_id, first = await cloud.web()
    before = await etag(cloud, place)
    one = {"services": {service_id: {"variables": {"A": {"value": "1"}, "B": {"value": "2"}}, "deploy": {"drainingSeconds": 3}}}}
    await stage(cloud, place, one)
    more = {"services": {service_id: {"variables": {"C": {"value": "3"}}}}, "sharedVariables": {"S": {"value": "x"}}}
    found = await stage(cloud, place, more, merge=True)
    assert found["patch"]["services"][service_id]["variables"] == {"A": {}, "B": {}, "C": {}}, "values only when asked for"
    assert (list(cloud.world.deployments), await etag(cloud, place)) == ([first], before), "nothing happened yet"
    assert await commit_staged(cloud, place, m="three of them") == found["id"]
    (_, second) = cloud.world.deployments.values()
    assert second.variables == {"A": "1", "B": "2", "C": "3"}
    assert second.settings.draining_s == 3
    assert second.settings.start_command == "python -m service", "what the patch does not name stays"
    await cloud.reached(second.id, "SUCCESS")
    query = "query ($i: String!) { environmentPatch(id: $i) { status message appliedAt } }"
    committed = (await cloud.gql(query, i=found["id"]))["environmentPatch"]
    assert (committed["status"], committed["message"]) == ("COMMITTED", "three of them")
    assert committed["appliedAt"]
    assert ((await staged(cloud, place))["patch"], await etag(cloud, place) != before) == ({}, True)


async def test_staging_again_replaces_and_an_empty_patch_unstages(cloud: Harness) -> None:
    place, service_id, _ = await cloud.web()
    first = await stage(cloud, place, {"sharedVariables": {"A": {"value": "1"}}})
    again = await stage(cloud, place, {"services": {service_id: {"variables": {"B": None}}}})
    assert (again["id"], again["patch"]) == (first["id"], {"services": {service_id: {"variables": {"B": None}}}})
    assert (await stage(cloud, place, {}))["patch"] == {}
    with pytest.raises(ApiError, match="No staged changes"):
        await commit_staged(cloud, place)


async def test_a_refused_commit_changes_nothing_and_says_why(cloud: Harness) -> None:
    place, service_id, first = await cloud.web()
    wrong = {"services": {service_id: {"variables": {"A": {"value": "1"}}, "deploy": {"drainingSeconds": 999_999}}}}
    await stage(cloud, place, wrong)
    with pytest.raises(ApiError, match="expected 0 to 3600 seconds"):
        await commit_staged(cloud, place)
    found = await staged(cloud, place)
    assert found["status"] == "STAGED"
    assert "expected 0 to 3600 seconds" in found["lastAppliedError"]
    assert list(cloud.world.deployments) == [first]
    assert cloud.world.variables.get(f"{place[1]}/{service_id}", {}) == {}


async def test_replicas_alone_scale_and_deploy_nothing(cloud: Harness) -> None:
    place, service_id, first = await cloud.web()
    await commit(cloud, place, {"services": {service_id: {"deploy": {"multiRegionConfig": {"us-west2": {"numReplicas": 2}}}}}})
    await cloud.until(lambda: len(cloud.plane.running) == 2)
    assert list(cloud.world.deployments) == [first]


async def test_an_image_given_by_a_patch_is_deployed(cloud: Harness) -> None:
    place = await cloud.project()
    service_id = await cloud.service(place, "cache")
    await commit(cloud, place, {"services": {service_id: {"source": {"image": "valkey/valkey:8"}}}})
    (found,) = cloud.world.deployments.values()
    await cloud.reached(found.id, "SUCCESS")


async def test_a_commit_mends_what_never_came_up(cloud: Harness) -> None:
    """Nothing serves yet, so nothing but the commit itself can bring the corrected settings up."""
    cloud.plane.start_fails = True
    place = await cloud.project()
    service_id = await cloud.service(place)
    await cloud.update(place, service_id, startCommand="python -m nothing")
    await cloud.reached(await cloud.upload(place, service_id), "FAILED")
    cloud.plane.start_fails = False
    await commit(cloud, place, {"services": {service_id: {"deploy": {"startCommand": "python -m service"}}}})
    (_, second) = cloud.world.deployments.values()
    await cloud.reached(second.id, "SUCCESS")


async def test_deploys_can_be_skipped_and_services_deleted(cloud: Harness) -> None:
    place, service_id, first = await cloud.web()
    other = await cloud.service(place, "other")
    await stage(cloud, place, {"services": {service_id: {"variables": {"A": {"value": "1"}}}, other: {"isDeleted": True}}})
    await commit_staged(cloud, place, s=True)
    assert list(cloud.world.deployments) == [first]
    assert list(cloud.world.services) == [service_id]


async def test_shared_variables_reach_only_who_refers_to_them(cloud: Harness) -> None:
    place, service_id, _ = await cloud.web()
    await commit(cloud, place, {"sharedVariables": {"S": {"value": "1"}}})
    assert len(cloud.world.deployments) == 1
    both = {"services": {service_id: {"variables": {"T": {"value": "${{shared.S}}"}}}}, "sharedVariables": {"S": {"value": "2"}}}
    await commit(cloud, place, both)
    await cloud.until(lambda: all(found.status in ("SUCCESS", "REMOVED") for found in cloud.world.deployments.values()))
    assert len(cloud.world.deployments) == 2
    await commit(cloud, place, {"sharedVariables": {"S": None}})
    assert len(cloud.world.deployments) == 3


async def test_a_project_token_commits_in_its_environment_only(cloud: Harness) -> None:
    place, other = await cloud.project(), await cloud.project()
    made = await cloud.gql(
        "mutation ($i: ProjectTokenCreateInput!) { projectTokenCreate(input: $i) }",
        i={"projectId": place[0], "environmentId": place[1], "name": "ci"},
    )
    headers = {"Authorization": "", "Project-Access-Token": made["projectTokenCreate"]}
    query = "mutation ($e: String!, $p: EnvironmentConfig) { environmentPatchCommit(environmentId: $e, patch: $p) }"
    patch = {"sharedVariables": {"A": {"value": "1"}}}
    assert await cloud.gql(query, headers, e=place[1], p=patch)
    with pytest.raises(ApiError, match="Not Authorized"):
        await cloud.gql(query, headers, e=other[1], p=patch)


async def test_patches_go_with_their_environment(cloud: Harness) -> None:
    place = await cloud.project()
    await stage(cloud, place, {"sharedVariables": {"A": {"value": "1"}}})
    await cloud.gql("mutation ($i: String!) { projectDelete(id: $i) }", i=place[0])
    assert cloud.world.patches == {}


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        ([], "patch: expected an object"),
        ({"buckets": {}}, "patch.buckets: not known"),
        ({"services": {"s": []}}, "services.s: expected an object"),
        ({"services": {"s": {"volumeMounts": {}}}}, "services.s.volumeMounts: not known"),
        ({"services": {"s": {"deploy": {"requiredMountPath": "/x"}}}}, "deploy.requiredMountPath: not known"),
        ({"services": {"s": {"deploy": {"startCommand": 1}}}}, "startCommand: expected a text or null"),
        ({"services": {"s": {"deploy": {"restartPolicyType": "MAYBE"}}}}, "restartPolicyType: expected one of"),
        ({"services": {"s": {"deploy": {"drainingSeconds": True}}}}, "drainingSeconds: expected an integer"),
        ({"services": {"s": {"deploy": {"multiRegionConfig": {"us-west2": 2}}}}}, "multiRegionConfig.us-west2"),
        ({"services": {"s": {"isDeleted": "yes"}}}, "isDeleted: expected true or false"),
        ({"services": {"s": {"variables": {"A": "plain"}}}}, "variables.A: expected an object"),
        ({"sharedVariables": {"1A": {"value": "x"}}}, "expected a name of letters"),
        ({"sharedVariables": {"A": {"value": 5}}}, "variable A: expected a string"),
    ],
)
def test_a_patch_that_is_not_understood_is_refused_with_its_path(patch: Any, message: str) -> None:
    with pytest.raises(BadInput) as refused:
        changes_of(patch)
    assert message in str(refused.value)


def test_hidden_values_that_come_back_change_nothing() -> None:
    assert changes_of({"services": {"s": {"variables": {"A": {}}}}}) == EnvironmentChanges((ServicePatch("s"),))


json_objects = st.recursive(st.none() | st.integers(), lambda inner: st.dictionaries(st.sampled_from("abc"), inner), max_leaves=8)


@given(st.dictionaries(st.sampled_from("abc"), json_objects), st.dictionaries(st.sampled_from("abc"), json_objects))
def test_merging_twice_is_merging_once(below: dict[str, Any], above: dict[str, Any]) -> None:
    """A client that lost the answer sends the same patch again."""
    once = merged(below, above)
    assert merged(once, above) == once


async def test_patch_brings_services_into_an_environment_made_empty(cloud: Harness) -> None:
    """So does Railway's CLI duplicate one: an empty environment, then the other's config with isCreated in each service."""
    place, service_id, _ = await cloud.web(drainingSeconds=3)
    made = await cloud.gql(
        "mutation ($i: EnvironmentCreateInput!) { environmentCreate(input: $i) { id } }",
        i={"projectId": place[0], "name": "copy"},
    )
    copy = (place[0], made["environmentCreate"]["id"])
    read = "query ($e: String!) { environment(id: $e) { config(decryptVariables: true) } }"
    config = (await cloud.gql(read, e=place[1]))["environment"]["config"]
    with pytest.raises(ApiError, match="ServiceInstance not found"):
        await commit(cloud, copy, config)
    for service in config["services"].values():
        service["isCreated"] = True
    await commit(cloud, copy, config)
    twin = (await cloud.gql(read, e=copy[1]))["environment"]["config"]["services"][service_id]
    assert twin["deploy"] == config["services"][service_id]["deploy"]
    await commit(cloud, copy, config)  # one that is there is changed, not made again
    assert len([one for one in cloud.world.instances.values() if one.environment_id == copy[1]]) == 1


async def test_patch_does_not_bring_services_of_another_project(cloud: Harness) -> None:
    _, service_id, _ = await cloud.web()
    stranger = await cloud.project()
    with pytest.raises(ApiError, match="expected a service of the environment's project"):
        await commit(cloud, stranger, {"services": {service_id: {"isCreated": True}}})
