"""Tokens of three scopes: the account's, a workspace's, a project's."""

from __future__ import annotations

import pytest

from tests.localcloud.control.harness import ApiError, Harness

pytestmark = pytest.mark.anyio
CREATE = "mutation ($i: ApiTokenCreateInput!) { apiTokenCreate(input: $i) }"
LIST = "{ apiTokens { edges { node { id name displayToken workspaceId } } } }"


async def made(cloud: Harness, **wanted: str | None) -> dict[str, str]:
    token = (await cloud.gql(CREATE, i={"name": "ci", **wanted}))["apiTokenCreate"]
    return {"Authorization": f"Bearer {token}"}


async def workspace_of(cloud: Harness) -> str:
    return str((await cloud.gql("{ me { workspaces { id } } }"))["me"]["workspaces"][0]["id"])


async def test_token_of_the_account_is_the_account(cloud: Harness):
    headers = await made(cloud)
    assert (await cloud.gql("{ me { email } }", headers))["me"]["email"]
    await cloud.gql('mutation { projectCreate(input: {name: "x"}) { id } }', headers)
    (token,) = (edge["node"] for edge in (await cloud.gql(LIST, headers))["apiTokens"]["edges"])
    assert (token["name"], token["workspaceId"]) == ("ci", None)
    assert token["displayToken"] == f"****-{headers['Authorization'][-4:]}"


async def test_token_of_the_workspace_does_its_work_and_is_nobody(cloud: Harness):
    place = await cloud.project()
    headers = await made(cloud, workspaceId=await workspace_of(cloud))
    found = await cloud.gql(
        "query ($i: String!) { project(id: $i) { name } apiToken { workspaces { name } } }", headers, i=place[0]
    )
    assert found == {"project": {"name": "demo"}, "apiToken": {"workspaces": [{"name": "local"}]}}
    for query in ("{ me { id } }", LIST, 'mutation { apiTokenCreate(input: {name: "more"}) }'):
        with pytest.raises(ApiError, match="Not Authorized"):
            await cloud.gql(query, headers)


async def test_only_a_workspace_of_ones_own_can_have_a_token(cloud: Harness):
    with pytest.raises(ApiError, match="Not Authorized"):
        await made(cloud, workspaceId="00000000-0000-4000-8000-000000000000")


async def test_deleted_token_opens_nothing(cloud: Harness):
    headers = await made(cloud)
    (token,) = (edge["node"] for edge in (await cloud.gql(LIST))["apiTokens"]["edges"])
    delete = "mutation ($i: String!) { apiTokenDelete(id: $i) }"
    await cloud.gql(delete, i=token["id"])
    with pytest.raises(ApiError, match="Not Authorized"):
        await cloud.gql("{ me { id } }", headers)
    with pytest.raises(ApiError, match="ApiToken not found"):
        await cloud.gql(delete, i=token["id"])


@pytest.mark.parametrize("path", ["/_local/page", "/_local/shutdown", "/_local/reset", "/_local/faults"])
async def test_token_of_the_workspace_has_no_say_over_the_cloud_itself(cloud: Harness, path: str):
    headers = await made(cloud, workspaceId=await workspace_of(cloud))
    assert (await cloud.client.post(path, json={}, headers=headers)).status_code == 401
    assert cloud.stopped == []
