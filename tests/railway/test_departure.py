"""Deletions that finish later, and what is deleted and still shown."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import grpc
import pytest

from infra.provider import waiting
from infra.railway import removal
from infra.railway.departure import is_gone
from tests.provider.driving import Driver
from tests.railway.contract import Ground
from tests.railway.fake import FakeRailway

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({}, False),
        ({"deletedAt": None, "syncStatus": "ACTIVE"}, False),
        ({"deletedAt": None, "syncStatus": "DELETING"}, True),
        ({"deletedAt": "2026-11-26T11:59:59.123Z"}, True),
        ({"deletedAt": "2026-11-26T11:59:59"}, True),
        ({"deletedAt": "2026-11-28T12:00:00Z"}, False),
        ({"deletedAt": "once"}, True),
    ],
)
def test_what_is_gone_says_so(entry: dict[str, Any], expected: bool) -> None:
    assert is_gone(entry, NOW) is expected


class Screen:
    def __init__(self) -> None:
        self.passing: list[str] = []

    async def progress(self, urn: str, message: str) -> None:
        self.passing.append(message)

    async def close(self) -> None:
        return


async def grounded(driver: Driver) -> Ground:
    return Ground(driver, await driver.create("Project", "ground", name="ground"))


@pytest.mark.anyio
async def test_a_deletion_that_finishes_later_is_waited_for_and_told(
    driver: Driver, fake: FakeRailway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A destroy that says it is done while everything still runs is a lie."""
    screen = driver.servicer._log = Screen()  # type: ignore[assignment]
    monkeypatch.setattr(waiting, "TOLD_AFTER_S", 0.0)
    service, _ = await (await grounded(driver)).service()
    fake.lingering = 5
    await driver.delete(service)
    assert fake.lingering == 0
    assert any(line.startswith(f"waiting for deletion of service {service.identity}: 0 s of 120 s") for line in screen.passing)


@pytest.mark.anyio
async def test_a_deletion_without_an_end_is_an_error_that_says_what_to_do(
    driver: Driver, fake: FakeRailway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removal, "DEADLINE_S", 0.1)
    service, _ = await (await grounded(driver)).service()
    fake.lingering = 10**9
    with pytest.raises(grpc.aio.AioRpcError, match=r"not within 0\.1 s; Railway may finish it by itself: run it again, or raise"):
        await driver.delete(service)


@pytest.mark.anyio
async def test_the_name_of_what_is_deleted_and_still_listed_is_free(driver: Driver, fake: FakeRailway) -> None:
    """A replacement deletes first."""
    ground = await grounded(driver)
    old, _ = await ground.service("api")
    await driver.delete(old)
    assert old.identity in fake.services, "Railway shows it for a while"
    new, _ = await ground.service("api")
    assert new.identity != old.identity
    assert not await driver.refresh(old)
    path = f"{ground.at['projectId']}/{ground.at['environmentId']}/api"
    found = driver.kept("Service", "api", path)
    assert await driver.refresh(found)
    assert found.identity == new.identity


@pytest.mark.anyio
async def test_a_scheduled_deletion_is_told_and_nothing_is_made_beside_what_still_runs(driver: Driver, fake: FakeRailway) -> None:
    """For 48 hours the project serves on: to take it for gone would make a second one."""
    project = await driver.create("Project", "p", name="shop")
    fake.projects[project.identity]["deletedAt"] = "9999-11-28T12:00:00Z"
    assert await driver.refresh(project)
    assert "somebody has scheduled its deletion for 9999-11-28" in project.init_errors[0]
    with pytest.raises(grpc.aio.AioRpcError, match="cancel that in Railway's dashboard"):
        await driver.up(project, name="shop")
    fake.projects[project.identity]["deletedAt"] = None
    await driver.up(project, name="shop")
    assert not project.init_errors
    assert await driver.up(project, name="shop") == []
