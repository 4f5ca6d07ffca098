"""A token is seen once: what that means for lost answers, refreshes, imports and messages."""

from __future__ import annotations

import pytest

from infra.provider.properties import Secret
from tests.provider.driving import Driver, Kept
from tests.railway.fake import FakeRailway

pytestmark = pytest.mark.anyio
INPUTS = {"projectId": "project-0001", "environmentId": "environment-0002", "name": "deployer"}


async def test_token_is_a_secret_that_a_refresh_keeps(driver: Driver, fake: FakeRailway) -> None:
    kept = await driver.create("ProjectToken", "t", **INPUTS)
    assert kept.outputs["token"] == Secret(fake.token_values[0])
    assert await driver.refresh(kept)
    assert kept.outputs["token"] == Secret(fake.token_values[0])
    assert fake.token_values[0] not in fake.secrets_seen()


async def test_token_whose_answer_was_lost_is_taken_back(driver: Driver, fake: FakeRailway) -> None:
    """Nobody knows it, nobody would ever delete it, and it would be valid for ever."""
    fake.faults["projectTokenCreate"] = ["lost"]
    kept = await driver.create("ProjectToken", "t", **INPUTS)
    assert [(identity, each["name"]) for identity, each in fake.tokens.items()] == [(kept.identity, "deployer")]
    assert kept.outputs["token"] == Secret(fake.token_values[1])


async def test_import_names_it_and_knows_no_token(driver: Driver, fake: FakeRailway) -> None:
    await driver.create("Project", "p", name="p")
    await driver.create("ProjectToken", "other", **{**INPUTS, "name": "other"})
    made = await driver.create("ProjectToken", "t", **INPUTS)
    found = Kept(made.urn, "project-0001/deployer")
    assert await driver.refresh(found)
    assert (found.identity, found.outputs.get("token")) == (made.identity, None)
    assert await driver.up(found, **INPUTS) == []


async def test_name_that_two_tokens_have_imports_neither(driver: Driver, fake: FakeRailway) -> None:
    await driver.create("Project", "p", name="p")
    made = await driver.create("ProjectToken", "one", **INPUTS)
    await driver.create("ProjectToken", "two", **INPUTS)
    assert not await driver.refresh(Kept(made.urn, "project-0001/deployer"))
