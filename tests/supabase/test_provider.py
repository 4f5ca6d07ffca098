"""The Supabase provider as the engine meets it, against a Management API in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from infra.provider.properties import Secret
from infra.supabase.provider import SupabaseProvider
from tests.provider.driving import Driver, InitFailed, Kept, driven
from tests.provider.serving import served
from tests.supabase.fake import TOKEN, FakeSupabase

pytestmark = pytest.mark.anyio

PROJECT: dict[str, Any] = {
    "name": "auth",
    "organizationId": "org",
    "region": "eu-central-1",
    "dbPassword": Secret("correct horse"),
}


@pytest.fixture
def fake() -> FakeSupabase:
    return FakeSupabase()


@pytest.fixture
async def driver(fake: FakeSupabase) -> AsyncIterator[Driver]:
    async with served(fake.app) as address, driven(SupabaseProvider()) as driver:
        await driver.configure(endpoint=address, accessToken=Secret(TOKEN), projectUrl="https://{ref}.example")
        yield driver


async def test_project_url_follows_the_template(driver: Driver) -> None:
    project = await driver.create("Project", "p", **PROJECT)
    assert project.outputs["url"] == f"https://{project.identity}.example"
    assert project.outputs["jwksUrl"] == f"https://{project.identity}.example/auth/v1/.well-known/jwks.json"


async def test_unhealthy_project_is_kept_and_waited_for_again(driver: Driver, fake: FakeSupabase) -> None:
    """A project costs money from its first minute: losing its ref would lose the money too."""
    fake.statuses = ["COMING_UP", "INIT_FAILED"]
    kept = Kept(driver.urn("Project", "p"))
    checked, _ = await driver.check(kept, PROJECT)
    with pytest.raises(InitFailed, match="INIT_FAILED"):
        await driver.create_into(kept, checked)
    assert kept.identity in fake.projects
    fake.projects[kept.identity]["to_come"] = ["ACTIVE_HEALTHY"]
    await driver.up(kept, **PROJECT)
    assert len(fake.projects) == 1
    assert kept.outputs["anonKey"] == Secret(f"anon-key-of-{kept.identity}")


async def test_lost_answers_never_make_two(driver: Driver, fake: FakeSupabase) -> None:
    fake.faults = {"create": ["lost"], "setup": ["lost"], "remove": ["lost"], "DELETE": ["lost"]}
    project = await driver.create("Project", "p", **PROJECT)
    replica = await driver.create("ReadReplica", "r", projectRef=project.identity, region="us-west-1")
    assert len(fake.projects) == 1
    assert len(fake.replicas[project.identity]) == 1
    await driver.delete(replica)
    assert not fake.replicas[project.identity]
    await driver.delete(project)
    assert not fake.projects


async def test_replicas_of_two_regions_do_not_take_each_others_place(driver: Driver) -> None:
    """Set up at the same moment, as a stack of three regions does."""
    project = await driver.create("Project", "p", **PROJECT)
    regions = ("us-west-1", "ap-southeast-1")
    async with asyncio.TaskGroup() as group:
        made = [
            group.create_task(driver.create("ReadReplica", region, projectRef=project.identity, region=region))
            for region in regions
        ]
    assert [region in each.result().outputs["host"] for region, each in zip(regions, made, strict=True)] == [True, True]


async def test_name_and_password_change_in_place(driver: Driver, fake: FakeSupabase) -> None:
    project = await driver.create("Project", "p", **PROJECT)
    changed = PROJECT | {"name": "renamed", "dbPassword": Secret("another horse")}
    assert await driver.up(project, **changed) == ["dbPassword", "name"]
    assert fake.passwords[project.identity] == "another horse"
    assert fake.projects[project.identity]["name"] == "renamed"


@pytest.mark.parametrize("field", ["region", "organizationId", "instanceSize"])
async def test_what_replaces_a_project(driver: Driver, field: str) -> None:
    """It takes the data along, so the plan has to say so."""
    project = await driver.create("Project", "p", **PROJECT)
    answer = await driver.diff(project, project.inputs | {field: "us-west-1"})
    assert list(answer.replaces) == [field]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"region": "us-west2"}, 'projects/p/region: expected a region by its AWS name, such as eu-central-1, got "us-west2"'),
        ({"dbPassword": Secret("short")}, "projects/p/db_password: expected 8 to 256 characters, got 5"),
        ({"name": "a.b"}, 'projects/p/name: expected a name without dots, got "a.b"'),
    ],
)
async def test_wrong_inputs(driver: Driver, changed: dict[str, Any], expected: str) -> None:
    _, failures = await driver.check(Kept(driver.urn("Project", "p")), PROJECT | changed)
    assert failures == [expected]


async def test_wrong_token_says_what_to_check(driver: Driver, fake: FakeSupabase) -> None:
    endpoint = driver.servicer._client.endpoint  # type: ignore[union-attr]
    await driver.configure(endpoint=endpoint, accessToken=Secret("wrong-token"))
    with pytest.raises(grpc.aio.AioRpcError, match="check SUPABASE_ACCESS_TOKEN"):
        await driver.create("Project", "p", **PROJECT)


async def test_everything_is_imported_by_id_and_by_name(driver: Driver) -> None:
    """Nobody knows a ref by heart; and `up` after it has nothing to do but what cannot be read back."""
    project = await driver.create("Project", "p", **PROJECT)
    ref, name = project.identity, PROJECT["name"]
    replica = await driver.create("ReadReplica", "r", projectRef=ref, region="eu-central-1")
    await driver.create("AuthConfiguration", "a", projectRef=ref, siteUrl="https://c.example.com")
    for said in (ref, name):
        found = driver.kept("Project", "p", said)
        assert await driver.refresh(found)
        assert found.identity == ref
        assert await driver.up(found, **PROJECT) == ["dbPassword"]
        auth = driver.kept("AuthConfiguration", "a", said)
        assert await driver.refresh(auth)
        assert (auth.identity, auth.inputs["siteUrl"]) == (ref, "https://c.example.com")
        for which in (replica.identity, "eu-central-1"):
            standby = driver.kept("ReadReplica", "r", f"{said}/{which}")
            assert await driver.refresh(standby)
            assert standby.identity == replica.identity
            assert await driver.up(standby, projectRef=ref, region="eu-central-1") == []
            assert await driver.refresh(standby)


async def test_an_import_of_what_nobody_can_tell_says_what_there_is(driver: Driver) -> None:
    await driver.create("Project", "p", **PROJECT)
    await driver.create("Project", "q", **PROJECT)
    with pytest.raises(grpc.aio.AioRpcError, match='2 projects are called "'):
        await driver.refresh(driver.kept("Project", "p", PROJECT["name"]))
    with pytest.raises(grpc.aio.AioRpcError, match='got "another"; there are: '):
        await driver.refresh(driver.kept("AuthConfiguration", "a", "another"))
