"""A sealed variable reaches processes and nobody else, whatever is asked and however."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.localcloud.control.harness import Harness

pytestmark = pytest.mark.anyio
COMMIT = "mutation ($e: String!, $p: EnvironmentConfig) { environmentPatchCommit(environmentId: $e, patch: $p) }"
EVERYTHING = """query ($p: String!, $e: String!, $s: String!, $o: String!, $x: String!) {
    variables(projectId: $p, environmentId: $e, serviceId: $s)
    other: variables(projectId: $p, environmentId: $e, serviceId: $o)
    raw: variables(projectId: $p, environmentId: $e, serviceId: $s, unrendered: true)
    shared: variables(projectId: $p, environmentId: $e)
    environmentPatch(id: $x) { patch(decryptVariables: true) }
    environment(id: $e) { config(decryptVariables: true)
        variables { edges { node { name serviceId isSealed references } } } } }"""


async def sealed(cloud: Harness, place: tuple[str, str], service_id: str) -> str:
    entry = {"value": "to-be-hidden", "isSealed": True}
    patch = {"services": {service_id: {"variables": {"KEY": entry}}}, "sharedVariables": {"SHARED": entry}}
    return str((await cloud.gql(COMMIT, e=place[1], p=patch))["environmentPatchCommit"])


async def test_no_answer_holds_a_sealed_value_and_the_process_does(cloud: Harness) -> None:
    place, service_id, _ = await cloud.web()
    other = await cloud.service(place, "other", variables={"COPY": "${{web.KEY}}", "ALSO": "${{shared.SHARED}}"})
    patch_id = await sealed(cloud, place, service_id)
    told = await cloud.gql(EVERYTHING, p=place[0], e=place[1], s=service_id, o=other, x=patch_id)
    assert "to-be-hidden" not in json.dumps(told)
    assert told["environment"]["config"]["services"][service_id]["variables"] == {"KEY": {"isSealed": True}}
    nodes: list[dict[str, Any]] = [edge["node"] for edge in told["environment"]["variables"]["edges"]]
    assert {(node["name"], node["serviceId"], node["isSealed"]) for node in nodes} == {
        ("SHARED", None, True),
        ("KEY", service_id, True),
        ("COPY", other, False),
        ("ALSO", other, False),
    }
    await cloud.until(lambda: any(spec.environment.get("KEY") == "to-be-hidden" for spec in cloud.plane.running.values()))


async def test_seal_outlives_a_new_value_a_replacement_and_ends_with_the_variable(cloud: Harness) -> None:
    place, service_id, _ = await cloud.web()
    await sealed(cloud, place, service_id)
    await cloud.set_variables(place, service_id, {"KEY": "another-hidden"})
    await cloud.set_variables(place, service_id, {"A": "1"}, replace=True)
    key = f"{place[1]}/{service_id}"
    assert cloud.world.variables[key] == {"KEY": "another-hidden", "A": "1"}
    assert cloud.world.sealed[key] == ("KEY",)
    delete = "mutation ($i: VariableDeleteInput!) { variableDelete(input: $i) }"
    await cloud.gql(delete, i={"projectId": place[0], "environmentId": place[1], "serviceId": service_id, "name": "KEY"})
    assert (cloud.world.variables[key], cloud.world.sealed.get(key)) == ({"A": "1"}, None)
    await cloud.gql("mutation ($i: String!) { projectDelete(id: $i) }", i=place[0])
    assert cloud.world.sealed == {}


async def test_a_copied_environment_lacks_what_is_sealed(cloud: Harness) -> None:
    """Railway copies no sealed variable: who may make an environment must not thereby get at its secrets."""
    place = await cloud.project()
    service_id = await cloud.service(place, variables={"OPEN": "1"})
    await sealed(cloud, place, service_id)
    made = await cloud.gql(
        "mutation ($i: EnvironmentCreateInput!) { environmentCreate(input: $i) { id } }",
        i={"projectId": place[0], "name": "copy", "sourceEnvironmentId": place[1]},
    )
    copy = made["environmentCreate"]["id"]
    assert cloud.world.variables[f"{copy}/{service_id}"] == {"OPEN": "1"}
    assert cloud.world.variables[f"{copy}/"] == {}


async def test_shared_variable_is_given_to_services_and_taken_back(cloud: Harness) -> None:
    place = await cloud.project()
    one, other = await cloud.service(place, "one"), await cloud.service(place, "other", variables={"S": "${{shared.S}}"})
    await cloud.set_variables(place, None, {"S": "value"})
    found = await cloud.gql(
        "mutation ($i: SharedVariableConfigureInput!) { sharedVariableConfigure(input: $i) { name isSealed } }",
        i={
            "projectId": place[0],
            "environmentId": place[1],
            "name": "S",
            "enabledServiceIds": [one],
            "disabledServiceIds": [other],
        },
    )
    assert found["sharedVariableConfigure"] == {"name": "S", "isSealed": False}
    assert cloud.world.variables[f"{place[1]}/{one}"] == {"S": "${{shared.S}}"}
    assert cloud.world.variables[f"{place[1]}/{other}"] == {}
