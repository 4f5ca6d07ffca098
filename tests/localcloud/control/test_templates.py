"""Templates: what Railway's CLI does for `add --database` and `deploy --template`."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest

from infra.localcloud.railway_api.template_config import evaluated
from tests.localcloud.control.harness import ApiError, Harness

pytestmark = pytest.mark.anyio
DETAIL = "query ($c: String!) { template(code: $c) { id name serializedConfig } }"
DEPLOY = "mutation ($i: TemplateDeployV2Input!) { templateDeployV2(input: $i) { projectId workflowId } }"
SERVICES = "query ($p: String!) { project(id: $p) { services { edges { node { id name } } } } }"


async def deployed(cloud: Harness, place: tuple[str, str], config: dict[str, Any]) -> dict[str, str]:
    """Name -> id of the project's services afterwards."""
    template = (await cloud.gql(DETAIL, c="redis"))["template"]
    asked = {"projectId": place[0], "environmentId": place[1], "templateId": template["id"], "serializedConfig": config}
    assert await cloud.gql(DEPLOY, i=asked) == {"templateDeployV2": {"projectId": place[0], "workflowId": None}}
    edges = (await cloud.gql(SERVICES, p=place[0]))["project"]["services"]["edges"]
    return {edge["node"]["name"]: edge["node"]["id"] for edge in edges}


async def variables(cloud: Harness, place: tuple[str, str], service_id: str) -> dict[str, str]:
    query = "query ($p: String!, $e: String!, $s: String!) { variables(projectId: $p, environmentId: $e, serviceId: $s) }"
    values: dict[str, str] = (await cloud.gql(query, p=place[0], e=place[1], s=service_id))["variables"]
    return values


async def test_a_database_of_a_template_runs_with_volume_password_and_proxy(cloud: Harness) -> None:
    """Once, with all it needs: the volume must be there before its first and only deployment."""
    place = await cloud.project()
    config = (await cloud.gql(DETAIL, c="redis"))["template"]["serializedConfig"]
    service_id = (await deployed(cloud, place, config))["Redis"]
    (deployment,) = cloud.world.deployments.values()
    await cloud.reached(deployment.id, "SUCCESS")
    (volume,) = cloud.world.volume_instances.values()
    assert (volume.service_id, volume.mount_path) == (service_id, "/data")
    found = await variables(cloud, place, service_id)
    (spec,) = cloud.plane.running.values()
    assert re.fullmatch("[a-zA-Z]{32}", found["REDIS_PASSWORD"])
    assert spec.argv[:2] == ("--requirepass", found["REDIS_PASSWORD"])
    assert spec.cwd == cloud.directory / "volumes" / volume.volume_id
    (proxy,) = cloud.world.tcp_proxies.values()
    assert found["REDIS_URL"] == f"redis://default:{found['REDIS_PASSWORD']}@{spec.address}:6379"
    assert found["REDIS_PUBLIC_URL"].endswith(f"@{found['RAILWAY_TCP_PROXY_DOMAIN']}:{proxy.proxy_port}")


async def test_a_second_one_gets_a_name_and_a_password_of_its_own(cloud: Harness) -> None:
    place = await cloud.project()
    config = {
        "services": {
            "a": {"name": "Redis", "variables": {"WHERE": {"value": "${{api.RAILWAY_SERVICE_NAME}}"}}},
            "b": {
                "name": "api",
                "variables": {"P": {"defaultValue": "${{secret(8)}}"}, "R": {"value": "${{Redis.P}}"}, "O": {"isOptional": True}},
                "networking": {"serviceDomains": {"<hasDomain>": {"port": 80}}},
            },
        }
    }
    first = await deployed(cloud, place, config)
    second = await deployed(cloud, place, config)
    assert sorted(second) == ["Redis", "Redis-1", "api", "api-1"]
    assert first.items() <= second.items()
    assert (await variables(cloud, place, second["Redis-1"]))["WHERE"] == "api-1"
    found = [await variables(cloud, place, second[name]) for name in ("api", "api-1")]
    assert found[0]["P"] != found[1]["P"]
    assert "O" not in found[0]
    assert {(one.service_id, one.target_port) for one in cloud.world.domains.values()} == {
        (second["api"], 80),
        (second["api-1"], 80),
    }


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ((), {}, "serializedConfig.services: expected an object"),
        ((), {"services": {}}, "services: expected 1 to 20, got 0"),
        ((), {"services": {}, "buckets": {}}, "serializedConfig.buckets: not known"),
        ((), {"services": {"a": {"name": "a", "icon": "x" * 600_000}}}, "serializedConfig: expected at most"),
        (("services", "a", "name"), 7, "services.a.name: expected a text"),
        (("services", "a", "clusterRole"), "primary", "clusterRole: not known"),
        (("services", "a", "variables"), {"KEY": {"isOptional": False}}, "variables.KEY: expected a value"),
        (("services", "a", "volumeMounts"), {"v": {}}, "volumeMounts: expected objects with a mountPath"),
        (("services", "a", "volumeMounts"), {"v": {"mountPath": "data"}}, "mountPath: expected an absolute path"),
        (("services", "a", "deploy"), {"numReplicas": 2}, "deploy.numReplicas: not known"),
        (("services", "a", "networking"), {"serviceDomains": {"d": {"port": "80"}}}, "serviceDomains: expected ports"),
        (("services", "a", "networking"), ["a"], "networking: expected an object"),
    ],
)
async def test_a_wrong_configuration_leaves_nothing_behind(
    cloud: Harness, path: tuple[str, ...], value: Any, message: str
) -> None:
    place = await cloud.project()
    config: dict[str, Any] = {"services": {"a": {"name": "a"}}}
    if not path:
        config = value
    else:
        at = config
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = copy.deepcopy(value)
    before = cloud.world
    with pytest.raises(ApiError, match=re.escape(message)):
        await deployed(cloud, place, config)
    assert cloud.world == before


async def test_templates_are_everybodys_and_what_is_made_of_them_is_not(cloud: Harness) -> None:
    """The CLI looks for them without a token."""
    nobody = {"Authorization": ""}
    search = "query ($q: String!) { templateSearch(query: $q) { edges { node { code isVerified } } } }"
    found = await cloud.gql(search, nobody, q="redis protocol")
    assert found["templateSearch"]["edges"] == [{"node": {"code": "valkey", "isVerified": True}}]
    template = (await cloud.gql(DETAIL, nobody, c="redis"))["template"]
    with pytest.raises(ApiError, match=r"Template not found.*\(redis, valkey\)"):
        await cloud.gql(DETAIL, nobody, c="postgres")
    place = await cloud.project()
    asked = {"templateId": template["id"], "serializedConfig": template["serializedConfig"]}
    hidden = "query ($c: String!) { template(code: $c) { id } me { id } }"
    fragment = "query ($c: String!) { ...F } fragment F on Query { template(code: $c) { id } }"
    for query, given in ((DEPLOY, {"i": asked}), (hidden, {"c": "redis"}), (fragment, {"c": "redis"}), ("{", {})):
        with pytest.raises(ApiError, match="Not Authorized"):
            await cloud.gql(query, nobody, **given)
    made = (await cloud.gql(DEPLOY, i=asked))["templateDeployV2"]["projectId"]
    assert made != place[0]
    assert cloud.world.projects[made].name == "Redis"
    with pytest.raises(ApiError, match="environmentId: expected an environment of the project"):
        await cloud.gql(DEPLOY, i={**asked, "projectId": made, "environmentId": place[1]})


@pytest.mark.parametrize(
    ("value", "pattern"),
    [
        ("${{secret()}}", "[a-zA-Z0-9]{32}"),
        ('x${{ secret(4, "ab") }}y${{secret(2)}}', "x[ab]{4}y[a-zA-Z0-9]{2}"),
        ("${{randomInt()}}", "[0-9]{1,2}|100"),
        ("${{randomInt(7, 8)}}", "7|8"),
        ("${{randomInt(5, 5)}}", "5"),
        ("${{Redis.REDIS_URL}} ${{secret}} secret(3)", r"\$\{\{Redis\.REDIS_URL\}\} \$\{\{secret\}\} secret\(3\)"),
    ],
)
def test_functions_of_template_variables(value: str, pattern: str) -> None:
    assert re.fullmatch(pattern, evaluated(value))


@pytest.mark.parametrize("call", ["secret", "randomInt"])
def test_a_function_that_never_ends_costs_its_length(call: str) -> None:
    """Anybody with a token could otherwise hold up the daemon: the square of 200,000 spaces takes an hour."""
    value = f"${{{{{call}({' ' * 200_000}"
    assert evaluated(value) == value
