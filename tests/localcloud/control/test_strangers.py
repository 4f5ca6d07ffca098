"""What one environment's token is for: every mutation and every look at somebody else's things is refused, whatever it names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    get_named_type,
    is_leaf_type,
)

from infra.localcloud.railway_api.executable import executable_schema
from tests.localcloud.control.harness import Harness

pytestmark = pytest.mark.anyio
EVERYBODYS = {"cliEventTrack", "customDomainAvailable", "projectToken", "regions", "template", "templateSearch"}
OF_ITS_OWN = {"deployments", "environments", "estimatedUsage", "metrics", "project", "service", "workflowStatus"}
"""Answered for the token's own place alone, or, in the same project, with that alone."""
TEXTS = {"DateTime": "2026-01-01T00:00:00Z"}
OBJECTS = ("JSON", "EnvironmentConfig", "EnvironmentVariables", "ServiceVariables")


def value(name: str, kind: GraphQLInputType, ours: dict[str, str]) -> Any:
    match kind:
        case GraphQLNonNull():
            return value(name, kind.of_type, ours)
        case GraphQLList():
            return [value(name, kind.of_type, ours)]
        case GraphQLInputObjectType():
            wanted = {key: one for key, one in kind.fields.items() if isinstance(one.type, GraphQLNonNull) or key in ours}
            return {key: value(key, one.type, ours) for key, one in wanted.items()}
        case GraphQLEnumType():
            return next(iter(kind.values))
    made: dict[str, Any] = {"Int": 1, "Float": 1.0, "Boolean": True, **{key: {} for key in OBJECTS}}
    return made.get(kind.name, ours.get(name, TEXTS.get(kind.name, "2026-01-01T00:00:00Z" if "Date" in name else "one")))


def requests(kind: str, name: str, field: GraphQLField, ours: dict[str, str], ids: list[str]) -> Iterator[dict[str, Any]]:
    """One for each thing that an argument `id` may mean."""
    for identity in ids if "id" in field.args else ids[:1]:
        named = {**ours, "id": identity}
        wanted = {key: one.type for key, one in field.args.items() if isinstance(one.type, GraphQLNonNull) or key in named}
        declared = ", ".join(f"${key}: {one}" for key, one in wanted.items())
        used = ", ".join(f"{key}: ${key}" for key in wanted)
        selection = "" if is_leaf_type(get_named_type(field.type)) else "{ __typename }"
        query = f"{kind} ({declared}) {{ {name} ({used}) {selection} }}" if wanted else f"{kind} {{ {name} {selection} }}"
        yield {"query": query, "variables": {key: value(key, one, named) for key, one in wanted.items()}}


async def everything(cloud: Harness) -> tuple[dict[str, str], list[str]]:
    """A project with one of each: (what arguments name it by, its ids)."""
    place, service_id, deployment_id = await cloud.web()
    at = {"projectId": place[0], "environmentId": place[1], "serviceId": service_id}
    await cloud.gql("mutation ($i: VolumeCreateInput!) { volumeCreate(input: $i) { id } }", i={**at, "mountPath": "/data"})
    del at["projectId"]
    await cloud.gql("mutation ($i: ServiceDomainCreateInput!) { serviceDomainCreate(input: $i) { id } }", i=at)
    await cloud.gql("mutation ($i: TCPProxyCreateInput!) { tcpProxyCreate(input: $i) { id } }", i={**at, "applicationPort": 6379})
    wanted = {**at, "projectId": place[0], "domain": "a.example.com"}
    await cloud.gql("mutation ($i: CustomDomainCreateInput!) { customDomainCreate(input: $i) { id } }", i=wanted)
    world = cloud.world
    (volume_id,), (instance_id,) = world.volumes, world.volume_instances
    ours = {**at, "projectId": place[0], "deploymentId": deployment_id, "volumeId": volume_id, "volumeInstanceId": instance_id}
    return ours, [
        place[1],
        service_id,
        deployment_id,
        volume_id,
        instance_id,
        *world.domains,
        *world.tcp_proxies,
        *world.custom_domains,
    ]


@pytest.mark.parametrize("is_same_project", [True, False])
async def test_no_operation_reaches_another_environment(cloud: Harness, is_same_project: bool) -> None:
    ours, ids = await everything(cloud)
    project_id = ours["projectId"]
    if not is_same_project:
        project_id = (await cloud.gql('mutation { projectCreate(input: {name: "theirs"}) { id } }'))["projectCreate"]["id"]
    wanted = {"projectId": project_id, "name": "two"}
    made = await cloud.gql("mutation ($i: EnvironmentCreateInput!) { environmentCreate(input: $i) { id } }", i=wanted)
    wanted["environmentId"] = made["environmentCreate"]["id"]
    made = await cloud.gql("mutation ($i: ProjectTokenCreateInput!) { projectTokenCreate(input: $i) }", i=wanted)
    stranger = {"Authorization": "", "Project-Access-Token": made["projectTokenCreate"]}
    schema = executable_schema()
    assert schema.query_type is not None
    assert schema.mutation_type is not None
    before, answered = cloud.world, set()
    for kind, root in (("query", schema.query_type), ("mutation", schema.mutation_type)):
        for name, field in root.fields.items():
            for request in requests(kind, name, field, ours, ids):
                body = (await cloud.client.post("/graphql/v2", json=request, headers=stranger)).json()
                if not body.get("errors"):
                    answered.add(name)
                elif name not in answered | EVERYBODYS | OF_ITS_OWN:
                    assert body["errors"][0]["message"] == "Not Authorized", (request, body)
    assert answered <= EVERYBODYS | OF_ITS_OWN
    assert cloud.world is before
