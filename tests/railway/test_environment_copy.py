"""A copy is complete when it is there: whoever deploys its services next must find them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.provider.driving import Driver, InitFailed, Kept
from tests.railway.fake import FakeRailway

pytestmark = pytest.mark.anyio


async def ground(driver: Driver, services: int) -> dict[str, Any]:
    project = await driver.create("Project", "p", name="p")
    at = {"projectId": project.identity, "environmentId": project.outputs["defaultEnvironmentId"]}
    for number in range(services):
        await driver.create("Service", f"s{number}", **at, name=f"s{number}", multiRegionConfig={"us-west2": 1})
    return {"projectId": at["projectId"], "sourceEnvironmentId": at["environmentId"]}


async def test_creation_waits_for_the_last_service(driver: Driver, fake: FakeRailway) -> None:
    at = await ground(driver, 3)
    wanted = {**at, "name": "copy", "ephemeral": True}
    kept = await driver.create("Environment", "e", **wanted)
    assert sum(environment == kept.identity for _, environment in fake.instances) == 3
    sent = fake.bodies[[call == "environmentCreate" for call in fake.calls].index(True)]["variables"]["input"]
    assert (sent["ephemeral"], sent["skipInitialDeploys"]) == (True, True)
    assert await driver.up(kept, **wanted) == []
    fake.environments[kept.identity]["sourceEnvironment"] = None  # the source was deleted
    assert await driver.refresh(kept)
    assert await driver.up(kept, **wanted) == [], "where it came from is history: nothing to replace it for"


async def test_copy_that_never_completes_is_kept_and_waited_for_again(driver: Driver, fake: FakeRailway) -> None:
    at = await ground(driver, 2)
    wanted = {**at, "name": "copy"}
    fake.faults["environmentInstances"] = ["", "problem"] + ["problem"] * 20
    kept = Kept(driver.urn("Environment", "e"))
    checked, _ = await driver.check(kept, wanted)
    with pytest.raises(InitFailed, match="made, but not complete"):
        await driver.create_into(kept, checked)
    fake.faults.clear()
    assert kept.identity
    await driver.up(kept, **wanted)
    assert sum(environment == kept.identity for _, environment in fake.instances) == 2
    assert fake.calls.count("environmentCreate") == 1


async def test_project_and_environment_are_imported_by_name(driver: Driver) -> None:
    project = await driver.create("Project", "p", name="only-one")
    await driver.create("Project", "a", name="twice")
    await driver.create("Project", "b", name="twice")
    staging = await driver.create("Environment", "e", projectId=project.identity, name="staging")
    found = Kept(project.urn, "only-one")
    assert await driver.refresh(found)
    assert found.identity == project.identity
    assert not await driver.refresh(Kept(project.urn, "twice")), "nobody knows which of the two is meant"
    named = Kept(staging.urn, f"{project.identity}/staging")
    assert await driver.refresh(named)
    assert named.identity == staging.identity
    assert await driver.up(named, projectId=project.identity, name="staging") == []
    assert not await driver.refresh(Kept(staging.urn, f"{project.identity}/nothing"))
