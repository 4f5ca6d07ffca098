"""What our provider relies on, as functions of (endpoint, token, project_url template); see tests/railway/contract.py."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable

from pulumi.runtime.proto import resource_pb2

from infra.provider.properties import Secret, from_struct, to_struct
from infra.supabase.provider import SupabaseProvider
from tests.provider.driving import DEADLINE_S, Driver, Kept, driven

Story = Callable[[str, str, str], Awaitable[None]]


@contextlib.asynccontextmanager
async def _project(endpoint: str, token: str, template: str) -> AsyncIterator[tuple[Driver, Kept]]:
    async with driven(SupabaseProvider(), patient=True) as driver:
        await driver.configure(endpoint=endpoint, accessToken=Secret(token), projectUrl=template)
        project = await driver.create(
            "Project",
            "contract",
            name=f"contract-{uuid.uuid4().hex[:8]}",
            organizationId="contract",
            region="eu-central-1",
            dbPassword=Secret(uuid.uuid4().hex),
        )
        try:
            yield driver, project
        finally:
            await driver.delete(project)


async def _settled(driver: Driver, kept: Kept) -> None:
    wanted = dict(kept.inputs)
    assert await driver.up(kept, **wanted) == []
    assert await driver.refresh(kept)
    assert await driver.up(kept, **wanted) == [], "a refresh found a change that nobody made"


async def project_lives_and_dies(endpoint: str, token: str, template: str) -> None:
    async with _project(endpoint, token, template) as (driver, project):
        outputs = project.outputs
        assert outputs["issuer"] == outputs["url"] + "/auth/v1"
        assert outputs["ref"] == project.identity
        assert outputs["databaseHost"]
        assert all(isinstance(outputs[name], Secret) for name in ("anonKey", "serviceRoleKey", "dbPassword"))
        await _settled(driver, project)
        request = resource_pb2.ResourceInvokeRequest(
            tok="supabase:index:getConnectionStrings", args=to_struct({"projectRef": project.identity})
        )
        found = from_struct(getattr(await driver.stub.Invoke(request, timeout=DEADLINE_S), "return"))
        (primary,) = found["databases"]
        assert (primary["identifier"], primary["databaseType"]) == (project.identity, "PRIMARY")
        await driver.delete(project)
        assert not await driver.refresh(project)


async def replica_lives_and_dies(endpoint: str, token: str, template: str) -> None:
    async with _project(endpoint, token, template) as (driver, project):
        replica = await driver.create("ReadReplica", "r", projectRef=project.identity, region="us-west-1")
        assert replica.outputs["host"] != project.outputs["databaseHost"]
        await _settled(driver, replica)
        await driver.delete(replica)
        assert not await driver.refresh(replica)
        await driver.delete(replica)


async def auth_configuration_settles_and_is_repaired(endpoint: str, token: str, template: str) -> None:
    async with _project(endpoint, token, template) as (driver, project):
        wanted = {
            "projectRef": project.identity,
            "jwtExp": 1800,
            "disableSignup": True,
            "uriAllowList": ["https://a.example.com", "https://b.example.com/*"],
            "smtpPass": Secret("to-be-hidden"),
            "securitySbForwardedForEnabled": True,
        }
        kept = await driver.create("AuthConfiguration", "a", **wanted)
        assert isinstance(kept.inputs["smtpPass"], Secret)
        await _settled(driver, kept)
        elsewhere = Kept(kept.urn, kept.identity, dict(kept.inputs), dict(kept.outputs))
        assert await driver.up(elsewhere, projectRef=project.identity, jwtExp=60, siteUrl="https://c.example.com") == [
            "jwtExp",
            "siteUrl",
        ]
        assert await driver.refresh(kept)
        assert kept.inputs["jwtExp"] == 60
        assert "siteUrl" not in kept.inputs, "what a program does not name is none of its business"
        assert await driver.up(kept, **wanted) == ["jwtExp"]
        await _settled(driver, kept)
        imported = Kept(kept.urn, project.identity)
        assert await driver.refresh(imported)
        assert imported.inputs["siteUrl"] == "https://c.example.com"
        assert await driver.up(imported, **{name: wanted[name] for name in wanted if name != "smtpPass"}) == []
        await driver.delete(kept)
        assert await driver.refresh(kept), "deleted means no longer looked after"


STORIES: tuple[Story, ...] = (
    project_lives_and_dies,
    replica_lives_and_dies,
    auth_configuration_settles_and_is_repaired,
)
