"""What Railway's CLI and Terraform's provider read and set beside the life cycle of their resources."""

from __future__ import annotations

import pytest

from tests.localcloud.control.harness import ApiError, Harness

pytestmark = pytest.mark.anyio


async def test_projects_are_found_through_the_workspace_as_the_cli_looks_for_them(cloud: Harness):
    place = await cloud.project()
    found = await cloud.gql(
        """{ externalWorkspaces { id } me { workspaces { id name team { id } projects(first: 500) { edges { node {
            id deletedAt environments { edges { node { id canAccess meta { prNumber } } } } } } } } } }"""
    )
    (workspace,) = found["me"]["workspaces"]
    assert found["externalWorkspaces"] == []
    environment = {"id": place[1], "canAccess": True, "meta": None}
    node = {"id": place[0], "deletedAt": None, "environments": {"edges": [{"node": environment}]}}
    assert workspace["projects"]["edges"] == [{"node": node}]
    asked = "query ($i: String!) { workspace(workspaceId: $i) { id team { id } projects(first: 0) { edges { cursor } } } }"
    assert await cloud.gql(asked, i=workspace["id"]) == {
        "workspace": {"id": workspace["id"], "team": None, "projects": {"edges": []}}
    }
    with pytest.raises(ApiError, match="Not Authorized"):
        await cloud.gql(asked, i="another")


async def test_project_keeps_its_switches_and_its_base_environment(cloud: Harness):
    place = await cloud.project()
    made = await cloud.gql(
        "mutation ($i: EnvironmentCreateInput!) { environmentCreate(input: $i) { id } }",
        i={"projectId": place[0], "name": "staging"},
    )
    staging = made["environmentCreate"]["id"]
    update = """mutation ($p: String!, $i: ProjectUpdateInput!) { projectUpdate(id: $p, input: $i) {
        name isPublic prDeploys botPrEnvironments baseEnvironmentId workspace { name } buckets { edges { cursor } } } }"""
    changed = await cloud.gql(update, p=place[0], i={"prDeploys": True, "baseEnvironmentId": staging})
    assert changed["projectUpdate"] == {
        "name": "demo",
        "isPublic": False,
        "prDeploys": True,
        "botPrEnvironments": False,
        "baseEnvironmentId": staging,
        "workspace": {"name": "local"},
        "buckets": {"edges": []},
    }
    other = await cloud.project()
    with pytest.raises(ApiError, match="baseEnvironmentId must be an environment of the project"):
        await cloud.gql(update, p=place[0], i={"baseEnvironmentId": other[1]})


async def test_project_from_a_repository_is_refused(cloud: Harness):
    with pytest.raises(ApiError, match="builds no repositories"):
        await cloud.gql(
            "mutation ($i: ProjectCreateInput!) { projectCreate(input: $i) { id } }",
            i={"repo": {"branch": "main", "fullRepoName": "acme/api"}},
        )


async def test_repository_of_a_service_has_a_trigger_and_no_other_has(cloud: Harness):
    place = await cloud.project()
    asked = """query ($p: String!, $e: String!, $s: String!) {
        deploymentTriggers(projectId: $p, environmentId: $e, serviceId: $s) { edges { node { branch repository provider } } } }"""
    linked = await cloud.service(place, "api", source={"repo": "acme/api"}, branch="next")
    plain = await cloud.service(place, "plain")
    found = await cloud.gql(asked, p=place[0], e=place[1], s=linked)
    node = {"branch": "next", "repository": "acme/api", "provider": "github"}
    assert found["deploymentTriggers"]["edges"] == [{"node": node}]
    found = await cloud.gql(asked, p=place[0], e=place[1], s=plain)
    assert found["deploymentTriggers"]["edges"] == []


async def test_instances_are_found_from_the_service_and_the_volume(cloud: Harness):
    """Terraform's provider reads both that way."""
    place = await cloud.project()
    service_id = await cloud.service(place)
    await cloud.update(place, service_id, railwayConfigFile="infra/railway.toml", ipv6EgressEnabled=True)
    await cloud.gql(
        "mutation ($i: VolumeCreateInput!) { volumeCreate(input: $i) { id } }",
        i={"projectId": place[0], "environmentId": place[1], "serviceId": service_id, "mountPath": "/data"},
    )
    found = await cloud.gql(
        """query ($s: String!, $p: String!) {
            service(id: $s) { serviceInstances { edges { node {
                environmentId railwayConfigFile ipv6EgressEnabled nextCronRunAt } } } }
            project(id: $p) { volumes { edges { node { volumeInstances { edges { node {
                serviceId mountPath currentSizeMB sizeMB deletedAt service { name } environment { id } } } } } } } } }""",
        s=service_id,
        p=place[0],
    )
    (instance,) = (edge["node"] for edge in found["service"]["serviceInstances"]["edges"])
    assert instance == {
        "environmentId": place[1],
        "railwayConfigFile": "infra/railway.toml",
        "ipv6EgressEnabled": True,
        "nextCronRunAt": None,
    }
    (volume,) = (edge["node"] for edge in found["project"]["volumes"]["edges"])
    (mounted,) = (edge["node"] for edge in volume["volumeInstances"]["edges"])
    assert mounted == {
        "serviceId": service_id,
        "mountPath": "/data",
        "currentSizeMB": 0.0,
        "sizeMB": 50_000,
        "deletedAt": None,
        "service": {"name": "web"},
        "environment": {"id": place[1]},
    }


async def test_volume_without_an_environment_is_told_from_one_for_none(cloud: Harness):
    """Terraform's provider leaves it out and looks for the instance at once."""
    place = await cloud.project()
    service_id = await cloud.service(place)
    create = """mutation ($i: VolumeCreateInput!) { volumeCreate(input: $i) {
        volumeInstances { edges { node { environmentId serviceId } } } } }"""
    wanted = {"projectId": place[0], "serviceId": service_id, "mountPath": "/data"}
    for_none = await cloud.gql(create, i={**wanted, "environmentId": None})
    assert for_none["volumeCreate"]["volumeInstances"]["edges"] == []
    left_out = await cloud.gql(create, i=wanted)
    node = {"environmentId": place[1], "serviceId": service_id}
    assert left_out["volumeCreate"]["volumeInstances"]["edges"] == [{"node": node}]


async def test_size_of_a_volume_is_what_its_files_take(cloud: Harness):
    place = await cloud.project()
    service_id = await cloud.service(place)
    made = await cloud.gql(
        "mutation ($i: VolumeCreateInput!) { volumeCreate(input: $i) { id } }",
        i={"projectId": place[0], "environmentId": place[1], "serviceId": service_id, "mountPath": "/data"},
    )
    inside = cloud.directory / "volumes" / made["volumeCreate"]["id"] / "deep"
    inside.mkdir(parents=True)
    (inside / "rows").write_bytes(bytes(1_500_000))
    found = await cloud.gql(
        "query ($e: String!) { environment(id: $e) { volumeInstances { edges { node { currentSizeMB } } } } }", e=place[1]
    )
    assert found["environment"]["volumeInstances"]["edges"] == [{"node": {"currentSizeMB": 1.5}}]


async def test_older_deploy_mutation_deploys_and_says_yes(cloud: Harness):
    place, service_id, _ = await cloud.web()
    asked = "mutation ($e: String!, $s: String!) { serviceInstanceDeploy(environmentId: $e, serviceId: $s, latestCommit: true) }"
    assert await cloud.gql(asked, e=place[1], s=service_id) == {"serviceInstanceDeploy": True}
    await cloud.until(lambda: [one.status.value for one in cloud.world.deployments.values()][-1] == "SUCCESS")
    assert len(cloud.world.deployments) == 2


async def test_redeploy_of_a_service_that_never_ran_says_yes(cloud: Harness):
    """Terraform's provider redeploys after each change, of empty services too, and takes an error for a failed apply."""
    place = await cloud.project()
    redeploy = "mutation ($e: String!, $s: String!) { serviceInstanceRedeploy(environmentId: $e, serviceId: $s) }"
    empty = await cloud.service(place, "empty")
    assert await cloud.gql(redeploy, e=place[1], s=empty) == {"serviceInstanceRedeploy": True}
    assert cloud.world.deployments == {}
    await cloud.update(place, empty, source={"image": "valkey/valkey:9"})
    await cloud.gql(redeploy, e=place[1], s=empty)
    assert [one.service_id for one in cloud.world.deployments.values()] == [empty]


async def test_new_services_begin_in_the_preferred_region_of_the_workspace(cloud: Harness):
    """Terraform's provider reads where a service is from its latest deployment, which a connected source has at once."""
    place = await cloud.project()
    before = await cloud.service(place, "before")
    (workspace,) = (await cloud.gql("{ me { workspaces { id name preferredRegion } } }"))["me"]["workspaces"]
    assert workspace == {"id": workspace["id"], "name": "local", "preferredRegion": "us-west2"}
    update = "mutation ($w: String!, $i: WorkspaceUpdateInput!) { workspaceUpdate(id: $w, input: $i) }"
    await cloud.gql(update, w=workspace["id"], i={"preferredRegion": "asia-southeast1-eqsg3a"})
    await cloud.gql(update, w=workspace["id"], i={"name": "acme"})
    for wrong in ({"preferredRegion": "mars"}, {"name": " "}, {"avatar": "a.png"}):
        with pytest.raises(ApiError):
            await cloud.gql(update, w=workspace["id"], i=wrong)
    with pytest.raises(ApiError, match="Not Authorized"):
        await cloud.gql(update, w=place[0], i={"name": "other"})
    after = await cloud.service(place, "after")
    latest = (
        "query ($s: String!, $e: String!) { serviceInstance(serviceId: $s, environmentId: $e) { latestDeployment { meta } } }"
    )
    for service_id, region in ((before, "us-west2"), (after, "asia-southeast1-eqsg3a")):
        await cloud.gql('mutation ($s: String!) { serviceConnect(id: $s, input: {image: "redis:8"}) { id } }', s=service_id)
        found = await cloud.gql(latest, s=service_id, e=place[1])
        deploy = found["serviceInstance"]["latestDeployment"]["meta"]["serviceManifest"]["deploy"]
        assert deploy["multiRegionConfig"] == {region: {"numReplicas": 1}}


async def test_variables_for_a_deployment_are_the_rendered_ones(cloud: Harness):
    place = await cloud.project()
    service_id = await cloud.service(place, variables={"A": "1", "B": "${{A}}2"})
    found = await cloud.gql(
        """query ($p: String!, $e: String!, $s: String!) {
            variablesForServiceDeployment(projectId: $p, environmentId: $e, serviceId: $s) }""",
        p=place[0],
        e=place[1],
        s=service_id,
    )
    assert found["variablesForServiceDeployment"]["B"] == "12"
    assert found["variablesForServiceDeployment"]["RAILWAY_SERVICE_NAME"] == "web"


async def test_cli_may_tell_of_its_commands(cloud: Harness):
    event = {
        "command": "status",
        "durationMs": 3,
        "success": True,
        "os": "linux",
        "arch": "x86_64",
        "cliVersion": "5",
        "isCi": False,
    }
    told = await cloud.gql("mutation ($i: CliEventTrackInput!) { cliEventTrack(input: $i) }", i=event)
    assert told == {"cliEventTrack": True}


async def test_fields_that_typed_clients_send_are_taken_while_they_say_nothing(cloud: Harness):
    place = await cloud.project()
    service_id = await cloud.service(place, templateId=None, templateServiceId=None)
    listing = "query ($i: DeploymentListInput!) { deployments(input: $i) { edges { cursor } } }"
    wanted = {"projectId": place[0], "serviceId": service_id, "status": None, "includeDeleted": None}
    assert (await cloud.gql(listing, i=wanted))["deployments"] == {"edges": []}
    with pytest.raises(ApiError, match="templateId: the local cloud does not support"):
        await cloud.service(place, "other", templateId="t")
    with pytest.raises(ApiError, match="stageInitialChanges: the local cloud does not support"):
        await cloud.gql(
            "mutation ($i: EnvironmentCreateInput!) { environmentCreate(input: $i) { id } }",
            i={"projectId": place[0], "name": "staging", "stageInitialChanges": True},
        )


async def test_projects_come_in_the_order_asked_for(cloud: Harness):
    for name in ("b", "a", "c"):
        await cloud.gql("mutation ($i: ProjectCreateInput!) { projectCreate(input: $i) { id } }", i={"name": name})
    asked = "query ($o: ProjectsOrderBy, $u: String) { projects(orderBy: $o, userId: $u) { edges { node { name } } } }"

    async def names(**variables: str) -> list[str]:
        return [edge["node"]["name"] for edge in (await cloud.gql(asked, **variables))["projects"]["edges"]]

    assert await names(o="NAME_ASC") == ["a", "b", "c"]
    assert await names(o="CREATED_AT_DESC") == ["c", "a", "b"]
    assert await names(u="somebody else") == []


async def test_every_plain_field_that_typed_clients_read_has_an_answer(cloud: Harness):
    """railway-client selects all of them; a null where the schema promises a value would take the whole answer away."""
    place, service_id, deployment_id = await cloud.web()
    found = await cloud.gql(
        """query ($p: String!, $s: String!, $e: String!, $d: String!) {
            me { id email agreedFairUse has2FA hasPasskeys isAdmin isConductor isVerified lastLogin avatar riskLevel
                workspace { name adoptionLevel createdAt updatedAt has2FAEnforcement hasGuardrailsAccess hasSAML usersWithout2FA
                    redactedDueTo2FAPending members { email role twoFactorAuthEnabled } } }
            project(id: $p) { subscriptionPlanLimit teamId team { id } members { email role } baseEnvironment { id } }
            service(id: $s) { hasHiddenRegistryCredentialsFromTemplate templateId }
            serviceInstance(serviceId: $s, environmentId: $e) { isUpdatable railpackInfo upstreamUrl }
            deployment(id: $d) { sockets { port ipv6 processName } suggestAddServiceDomain creator { id } diagnosis } }""",
        p=place[0],
        s=service_id,
        e=place[1],
        d=deployment_id,
    )
    (member,) = found["me"]["workspace"]["members"]
    assert member == {"email": found["me"]["email"], "role": "ADMIN", "twoFactorAuthEnabled": False}
    assert found["project"]["baseEnvironment"] == {"id": place[1]}
    assert found["deployment"]["sockets"] == [{"port": 8080, "ipv6": False, "processName": "web"}]
    assert found["deployment"]["suggestAddServiceDomain"] is True
