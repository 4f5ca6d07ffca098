"""Railway's API in process: life cycle, errors as Railway words them, tokens and bounds."""

from __future__ import annotations

from typing import Any

import pytest

from infra.localcloud.railway_api.limits import DEPTH_MAX
from tests.localcloud.control.harness import ApiError, Harness

pytestmark = pytest.mark.anyio
VARIABLES = """query ($p: String!, $e: String!, $s: String, $u: Boolean) {
    variables(projectId: $p, environmentId: $e, serviceId: $s, unrendered: $u) }"""


async def test_project_has_its_environment_and_its_services(cloud: Harness):
    place = await cloud.project()
    await cloud.service(place, "web")
    found = await cloud.gql(
        """query ($i: String!) { project(id: $i) {
            name environments { edges { node { id name } } } services { edges { node { name } } } } }""",
        i=place[0],
    )
    assert found["project"] == {
        "name": "demo",
        "environments": {"edges": [{"node": {"id": place[1], "name": "production"}}]},
        "services": {"edges": [{"node": {"name": "web"}}]},
    }


async def test_project_names_are_not_unique_and_service_names_are(cloud: Harness):
    place = await cloud.project()
    await cloud.project()
    await cloud.service(place, "web")
    with pytest.raises(ApiError, match='A service named "web" already exists in this project') as refused:
        await cloud.service(place, "web")
    assert (refused.value.code, refused.value.status) == ("INTERNAL_SERVER_ERROR", 200)


async def test_environment_can_be_made_copied_renamed_and_deleted(cloud: Harness):
    place = await cloud.project()
    service_id = await cloud.service(place, variables={"A": "1"})
    made = await cloud.gql(
        "mutation ($i: EnvironmentCreateInput!) { environmentCreate(input: $i) { id } }",
        i={"projectId": place[0], "name": "staging", "sourceEnvironmentId": place[1], "skipInitialDeploys": True},
    )
    other = made["environmentCreate"]["id"]
    assert (await cloud.gql(VARIABLES, p=place[0], e=other, s=service_id, u=True))["variables"] == {"A": "1"}
    renamed = await cloud.gql(
        'mutation ($i: String!) { environmentRename(id: $i, input: {name: "qa"}) { name sourceEnvironment { id } } }', i=other
    )
    assert renamed["environmentRename"] == {"name": "qa", "sourceEnvironment": {"id": place[1]}}
    assert await cloud.gql("mutation ($i: String!) { environmentDelete(id: $i) }", i=other) == {"environmentDelete": True}
    await cloud.until(lambda: not cloud.world.departed)
    with pytest.raises(ApiError, match="Environment not found"):
        await cloud.gql("query ($i: String!) { environment(id: $i) { id } }", i=other)
    with pytest.raises(ApiError, match="last environment"):
        await cloud.gql("mutation ($i: String!) { environmentDelete(id: $i) }", i=place[1])


async def settings_of(cloud: Harness, place: tuple[str, str], service_id: str) -> dict[str, Any]:
    found = await cloud.gql("query ($e: String!) { environment(id: $e) { config configEtag } }", e=place[1])
    deploy: dict[str, Any] = found["environment"]["config"]["services"][service_id]["deploy"]
    return deploy


async def test_regions_are_merged_and_null_removes_one(cloud: Harness):
    place = await cloud.project()
    service_id = await cloud.service(place)
    await cloud.update(
        place, service_id, multiRegionConfig={"us-west2": {"numReplicas": 2}, "us-east4-eqdc4a": {"numReplicas": 3}}
    )
    await cloud.update(place, service_id, multiRegionConfig={"us-east4-eqdc4a": None, "europe-west4-drams3a": {}})
    assert (await settings_of(cloud, place, service_id))["multiRegionConfig"] == {
        "us-west2": {"numReplicas": 2},
        "europe-west4-drams3a": {"numReplicas": 1},
    }


async def test_num_replicas_left_out_goes_back_to_one(cloud: Harness):
    """Railway's own trap; a provider that forgets it must fail here and not there."""
    place = await cloud.project()
    service_id = await cloud.service(place)
    await cloud.update(place, service_id, numReplicas=4)
    await cloud.update(place, service_id, startCommand="run")
    assert (await settings_of(cloud, place, service_id))["multiRegionConfig"] == {"us-west2": {"numReplicas": 1}}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"multiRegionConfig": {"us-west2": {"numReplicas": 0}}}, "us-west2.numReplicas: expected 1 to 50, got 0"),
        (
            {"multiRegionConfig": {"us-west2": {"numReplicas": 30}, "us-east4-eqdc4a": {"numReplicas": 21}}},
            "at most 50 .* got 51",
        ),
        ({"multiRegionConfig": {"us-west1": {"numReplicas": 1}}}, "unknown region 'us-west1'"),
        ({"multiRegionConfig": {"us-west2": 2}}, 'expected {"numReplicas": <integer>} or null'),
        ({"multiRegionConfig": []}, "expected an object"),
        ({"numReplicas": 0}, "numReplicas: expected 1 to 50, got 0"),
        ({"healthcheckPath": "health"}, "healthcheckPath: expected a path"),
        ({"overlapSeconds": -1}, "overlap: expected 0 to 3600"),
        ({"cronSchedule": "every day"}, "cronSchedule: expected five fields"),
    ],
)
async def test_wrong_setting_is_refused_with_its_path(cloud: Harness, settings: dict[str, Any], message: str):
    place = await cloud.project()
    service_id = await cloud.service(place)
    with pytest.raises(ApiError, match=message) as refused:
        await cloud.update(place, service_id, **settings)
    assert refused.value.code == "BAD_USER_INPUT"


async def test_instance_shows_what_was_set(cloud: Harness):
    place = await cloud.project()
    service_id = await cloud.service(place)
    settings = {
        "startCommand": "python -m service",
        "preDeployCommand": ["python -m service migrate"],
        "healthcheckPath": "/health/ready",
        "healthcheckTimeout": 30,
        "restartPolicyType": "ALWAYS",
        "restartPolicyMaxRetries": 3,
        "overlapSeconds": 2,
        "drainingSeconds": 10,
        "source": {"image": "valkey/valkey:8"},
    }
    await cloud.update(place, service_id, **settings)
    await cloud.update(place, service_id)  # what is left out stays
    found = await cloud.gql(
        """query ($s: String!, $e: String!) { serviceInstance(serviceId: $s, environmentId: $e) {
            startCommand preDeployCommand healthcheckPath healthcheckTimeout restartPolicyType restartPolicyMaxRetries
            overlapSeconds drainingSeconds source { image } } }""",
        s=service_id,
        e=place[1],
    )
    assert found["serviceInstance"] == settings


async def test_variables_are_rendered_or_shown_as_set(cloud: Harness):
    place = await cloud.project()
    cache = await cloud.service(place, "cache", variables={"PASSWORD": "pw"})
    web = await cloud.service(place, "web")
    await cloud.set_variables(place, None, {"KEY": "k"})
    raw = {"URL": "redis://:${{cache.PASSWORD}}@${{cache.RAILWAY_PRIVATE_DOMAIN}}:6379", "SHARED": "${{shared.KEY}}"}
    await cloud.set_variables(place, web, {**raw, "OLD": "x"})
    await cloud.set_variables(place, web, raw, replace=True)
    assert (await cloud.gql(VARIABLES, p=place[0], e=place[1], s=web, u=True))["variables"] == raw
    shown = (await cloud.gql(VARIABLES, p=place[0], e=place[1], s=web))["variables"]
    address = (await cloud.gql(VARIABLES, p=place[0], e=place[1], s=cache))["variables"]["RAILWAY_PRIVATE_DOMAIN"]
    assert shown["URL"] == f"redis://:pw@{address}:6379"
    assert shown["SHARED"] == "k"
    assert shown["RAILWAY_SERVICE_NAME"] == "web"
    await cloud.gql(
        "mutation ($i: VariableDeleteInput!) { variableDelete(input: $i) }",
        i={"projectId": place[0], "environmentId": place[1], "serviceId": web, "name": "SHARED"},
    )
    assert "SHARED" not in (await cloud.gql(VARIABLES, p=place[0], e=place[1], s=web))["variables"]


async def test_domain_is_an_address_and_goes_with_its_service(cloud: Harness):
    place = await cloud.project()
    service_id = await cloud.service(place)
    made = await cloud.gql(
        """mutation ($s: String!, $e: String!) {
            serviceDomainCreate(input: {serviceId: $s, environmentId: $e, targetPort: 81}) { id domain targetPort } }""",
        s=service_id,
        e=place[1],
    )
    domain = made["serviceDomainCreate"]
    assert domain["domain"].endswith(":8080")
    listed = await cloud.gql(
        """query ($p: String!, $s: String!, $e: String!) {
            domains(projectId: $p, serviceId: $s, environmentId: $e) { serviceDomains { id targetPort } } }""",
        p=place[0],
        s=service_id,
        e=place[1],
    )
    assert listed["domains"]["serviceDomains"] == [{"id": domain["id"], "targetPort": 81}]
    await cloud.gql("mutation ($i: String!) { serviceDelete(id: $i) }", i=service_id)
    await cloud.until(lambda: not cloud.world.endings)
    assert cloud.plane.owners == {}


async def test_domain_over_several_regions_is_in_the_first_by_railways_order(cloud: Harness):
    """Clients send multiRegionConfig sorted by name, where Europe comes before the primary."""
    place = await cloud.project()
    service_id = await cloud.service(place)
    both = {"europe-west4-drams3a": {"numReplicas": 1}, "us-west2": {"numReplicas": 1}}
    await cloud.update(place, service_id, multiRegionConfig=both)
    made = await cloud.gql(
        "mutation ($s: String!, $e: String!) { serviceDomainCreate(input: {serviceId: $s, environmentId: $e}) { domain } }",
        s=service_id,
        e=place[1],
    )
    assert made["serviceDomainCreate"]["domain"].startswith("127.99.1.")


async def test_volume_means_one_replica(cloud: Harness):
    place = await cloud.project()
    service_id = await cloud.service(place)
    made = await cloud.gql(
        "mutation ($i: VolumeCreateInput!) { volumeCreate(input: $i) { id name } }",
        i={"projectId": place[0], "environmentId": place[1], "serviceId": service_id, "mountPath": "/data"},
    )
    with pytest.raises(ApiError, match="1 replica only, got 2"):
        await cloud.update(place, service_id, numReplicas=2)
    assert await cloud.gql("mutation ($i: String!) { volumeDelete(volumeId: $i) }", i=made["volumeCreate"]["id"])


async def test_lists_are_paged_by_cursor(cloud: Harness):
    ids = [(await cloud.project())[0] for _ in range(5)]
    query = """query ($n: Int, $a: String) {
        projects(first: $n, after: $a) { edges { cursor node { id } } pageInfo { hasNextPage endCursor } } }"""
    seen: list[str] = []
    after = None
    while True:
        page = (await cloud.gql(query, n=2, a=after))["projects"]
        seen += [edge["node"]["id"] for edge in page["edges"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert seen == ids
    with pytest.raises(ApiError, match="Invalid cursor"):
        await cloud.gql(query, n=1, a="nonsense")


@pytest.mark.parametrize(
    ("headers", "is_known"),
    [
        ({"Authorization": ""}, False),
        ({"Authorization": "Bearer wrong"}, False),
        ({"Authorization": "Basic account-token-for-tests"}, False),
        ({"Authorization": "", "Project-Access-Token": "account-token-for-tests"}, False),
        ({"Authorization": "bearer account-token-for-tests"}, True),
    ],
)
async def test_only_a_known_token_is_let_in(cloud: Harness, headers: dict[str, str], is_known: bool):
    if is_known:
        assert (await cloud.gql("{ me { workspaces { name } } }", headers=headers))["me"]["workspaces"] == [{"name": "local"}]
        return
    with pytest.raises(ApiError, match="Not Authorized") as refused:
        await cloud.gql("{ me { id } }", headers=headers)
    assert refused.value.status == 200


async def test_project_token_reaches_its_environment_only(cloud: Harness):
    place, other = await cloud.project(), await cloud.project()
    own_service, other_service = await cloud.service(place), await cloud.service(other)
    made = await cloud.gql(
        "mutation ($i: ProjectTokenCreateInput!) { projectTokenCreate(input: $i) }",
        i={"projectId": place[0], "environmentId": place[1], "name": "ci"},
    )
    headers = {"Authorization": "", "Project-Access-Token": made["projectTokenCreate"]}
    assert made["projectTokenCreate"] not in (cloud.directory / "world.json").read_text(), "only its digest is kept"
    found = await cloud.gql("{ projectToken { projectId environmentId name } }", headers=headers)
    assert found["projectToken"] == {"projectId": place[0], "environmentId": place[1], "name": "ci"}
    instance = "query ($s: String!, $e: String!) { serviceInstance(serviceId: $s, environmentId: $e) { id } }"
    assert await cloud.gql(instance, headers=headers, s=own_service, e=place[1])
    refused = [
        ("{ me { id } }", {}),
        ("{ projects { edges { node { id } } } }", {}),
        ('mutation { projectCreate(input: {name: "x"}) { id } }', {}),
        ("mutation ($i: String!) { projectDelete(id: $i) }", {"i": place[0]}),
        ("query ($i: String!) { project(id: $i) { id } }", {"i": other[0]}),
        ("query ($i: String!) { service(id: $i) { id } }", {"i": "no-such-service"}),
        (instance, {"s": other_service, "e": other[1]}),
        (instance, {"s": own_service, "e": other[1]}),
        ('mutation ($i: String!) { serviceUpdate(id: $i, input: {name: "mine"}) { id } }', {"i": own_service}),
        ("mutation ($i: String!) { deploymentRemove(id: $i) }", {"i": "no-such-deployment"}),
    ]
    for query, variables in refused:
        with pytest.raises(ApiError, match="Not Authorized"):
            await cloud.gql(query, headers=headers, **variables)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{ me { id }", "GRAPHQL_PARSE_FAILED"),
        ("{ nonsense }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ project { id } }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ a: me { id } " + "} " * 0 + "}" + " x" * 5000, "GRAPHQL_PARSE_FAILED"),
        ("query ($i: String!) { project(id: $i) { id } }", "BAD_USER_INPUT"),
        ("{" * 1500 + "}" * 1500, "GRAPHQL_PARSE_FAILED"),
    ],
)
async def test_invalid_request_is_answered_with_400(cloud: Harness, query: str, code: str):
    with pytest.raises(ApiError) as refused:
        await cloud.gql(query)
    assert refused.value.status == 400
    assert refused.value.code in (code, "GRAPHQL_VALIDATION_FAILED")


def nested(levels: int) -> str:
    text = "id"
    for level in range(levels):
        text = (
            f"environments {{ edges {{ node {{ {text} }} }} }}"
            if level == 0
            else f"services {{ edges {{ node {{ project {{ {text} }} }} }} }}"
        )
    return text


async def test_deep_query_is_refused(cloud: Harness):
    place = await cloud.project()
    assert await cloud.gql(f"query ($i: String!) {{ project(id: $i) {{ {nested(3)} }} }}", i=place[0])
    with pytest.raises(ApiError, match=f"too deep: expected at most {DEPTH_MAX}"):
        await cloud.gql(f"query ($i: String!) {{ project(id: $i) {{ {nested(9)} }} }}", i=place[0])


async def test_wide_query_is_refused_also_when_fragments_hide_it(cloud: Harness):
    fragments = "fragment F0 on Query { me { id } } " + " ".join(
        f"fragment F{number} on Query {{ {f'...F{number - 1} ' * 10} }}" for number in range(1, 5)
    )
    with pytest.raises(ApiError, match="too complex"):
        await cloud.gql("{ ...F4 } " + fragments)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"query": 1}', b"\xff"])
async def test_body_that_is_no_request_is_answered_with_400(cloud: Harness, body: bytes):
    response = await cloud.client.post("/graphql/v2", content=body)
    assert response.status_code == 400


async def test_large_body_is_cut_off(cloud: Harness):
    response = await cloud.client.post("/graphql/v2", content=b"x" * (3 * 1024 * 1024))
    assert response.status_code == 413


async def test_our_own_mistake_shows_a_trace_id_and_nothing_else(cloud: Harness, monkeypatch: pytest.MonkeyPatch):
    def broken(region: str, owner: str) -> str:
        raise KeyError("a secret in a message")

    place = await cloud.project()
    service_id = await cloud.service(place)
    monkeypatch.setattr(cloud.plane, "allocate", broken)
    with pytest.raises(ApiError, match="Problem processing request") as failed:
        await cloud.gql(
            "mutation ($s: String!, $e: String!) { serviceDomainCreate(input: {serviceId: $s, environmentId: $e}) { id } }",
            s=service_id,
            e=place[1],
        )
    assert failed.value.body["data"] is None
    assert failed.value.body["traceId"]
    assert "secret" not in str(failed.value.body)


async def test_environments_config_shows_values_only_when_asked_to(cloud: Harness):
    """Who reads the config for its regions should not carry passwords around; the etag still follows them."""
    place = await cloud.project()
    service_id = await cloud.service(place, variables={"PASSWORD": "hunter2"})
    query = "query ($e: String!, $d: Boolean) { environment(id: $e) { config(decryptVariables: $d) configEtag } }"

    async def read(is_decrypted: bool) -> tuple[dict[str, Any], str]:
        found = (await cloud.gql(query, e=place[1], d=is_decrypted))["environment"]
        return found["config"]["services"][service_id]["variables"], found["configEtag"]

    hidden, before = await read(False)
    assert hidden == {"PASSWORD": {}}
    assert (await read(True))[0] == {"PASSWORD": {"value": "hunter2"}}
    await cloud.set_variables(place, service_id, {"PASSWORD": "hunter3"})
    assert (await read(False))[1] != before
