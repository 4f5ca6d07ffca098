"""Credentials, limits and sources of a service: what is sent, when, and what is never told again."""

from __future__ import annotations

from typing import Any

import pytest

from infra.provider.properties import Secret
from tests.provider.driving import Driver, InitFailed, Kept
from tests.railway.fake import FakeRailway

pytestmark = pytest.mark.anyio


async def ground(driver: Driver) -> dict[str, Any]:
    project = await driver.create("Project", "p", name="p")
    at = {"projectId": project.identity, "environmentId": project.outputs["defaultEnvironmentId"]}
    return {**at, "name": "s", "multiRegionConfig": {"us-west2": 1}}


def credentials_sent(fake: FakeRailway) -> list[Any]:
    patches = [body["variables"]["input"] for body in fake.bodies if body["operationName"] == "environmentStageChanges"]
    deploys = [service.get("deploy", {}) for patch in patches for service in patch["services"].values()]
    return [each["registryCredentials"] for each in deploys if "registryCredentials" in each]


async def test_credentials_are_sent_when_they_change_and_stay_secret(driver: Driver, fake: FakeRailway) -> None:
    wanted = {**await ground(driver), "image": "registry.example.com/a:1", "registryUsername": "puller"}
    kept = await driver.create("Service", "s", **wanted, registryPassword=Secret("first-password"))
    assert credentials_sent(fake) == [{"username": "puller", "password": "first-password"}]
    assert kept.inputs["registryPassword"] == Secret("first-password")
    assert await driver.refresh(kept)
    assert kept.inputs["registryPassword"] == Secret("first-password")
    assert await driver.up(kept, **wanted, registryPassword=Secret("first-password"), drainingSeconds=3) == ["drainingSeconds"]
    assert len(credentials_sent(fake)) == 1, "another change does not send them along"
    assert await driver.up(kept, **wanted, registryPassword=Secret("second-password")) == ["drainingSeconds", "registryPassword"]
    assert credentials_sent(fake)[1:] == [{"username": "puller", "password": "second-password"}]
    del wanted["registryUsername"]
    assert await driver.up(kept, **wanted) == ["registryPassword", "registryUsername"]
    assert credentials_sent(fake)[2:] == [None]
    assert fake.instances[kept.identity, wanted["environmentId"]]["multiRegionConfig"] == {"us-west2": {"numReplicas": 1}}


async def test_credentials_that_did_not_arrive_are_sent_by_the_next_up(driver: Driver, fake: FakeRailway) -> None:
    wanted = {**await ground(driver), "registryUsername": "puller", "registryPassword": Secret("the-password")}
    fake.faults["environmentPatchCommitStaged"] = ["503"] * 20
    kept = Kept(driver.urn("Service", "s"))
    checked, _ = await driver.check(kept, wanted)
    with pytest.raises(InitFailed) as failed:
        await driver.create_into(kept, checked)
    assert "the-password" not in str(failed.value)
    fake.faults.clear()
    await driver.up(kept, **wanted)
    assert fake.instances[kept.identity, wanted["environmentId"]]["registryCredentials"]["password"] == "the-password"


async def test_repository_comes_changes_and_goes_in_place(driver: Driver, fake: FakeRailway) -> None:
    wanted = await ground(driver)
    kept = await driver.create("Service", "s", **wanted, image="a:1")

    def source() -> Any:
        return fake.instances[kept.identity, wanted["environmentId"]]["source"]

    assert await driver.up(kept, **wanted, repo="owner/name", branch="main") == ["branch", "image", "repo"]
    assert source() == {"repo": "owner/name", "branch": "main"}
    assert await driver.refresh(kept)
    assert await driver.up(kept, **wanted, repo="owner/name") == [], "a branch that is not named stays"
    assert await driver.up(kept, **wanted, repo="owner/other", branch="main") == ["branch", "repo"]
    assert await driver.up(kept, **wanted) == ["repo"]
    assert source() is None
    assert fake.calls.count("serviceDisconnect") == 1


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ({"image": "a", "repo": "b/c"}, "services/s/repo: expected an image or a repository, got both"),
        ({"branch": "main"}, "services/s/branch: expected a repository beside it, got none"),
        ({"registryUsername": "u"}, "services/s/registry_password: expected a value beside registry_username, got nothing"),
        ({"repo": "no-owner"}, "services/s/repo: expected a repository's full name"),
        ({"cronSchedule": "daily"}, "services/s/cron_schedule: expected"),
        ({"vcpus": 0}, "services/s/vcpus: expected 0.1 to 1000, got 0"),
        ({"sleepApplication": "yes"}, 'services/s/sleep_application: expected true or false, got "yes"'),
    ],
)
async def test_wrong_input_is_named_before_any_call(driver: Driver, inputs: dict[str, Any], reason: str) -> None:
    place = {"projectId": "p", "environmentId": "e", "name": "s", "multiRegionConfig": {"us-west2": 1}}
    _, failures = await driver.check(Kept(driver.urn("Service", "s")), {**place, **inputs})
    assert len(failures) == 1
    assert failures[0].startswith(reason)
