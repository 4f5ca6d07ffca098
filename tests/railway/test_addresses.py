"""Imports by name: what a person calls a thing is found, and where it is not, the error says what there is."""

from __future__ import annotations

from typing import Any

import grpc.aio
import pytest

from tests.provider.driving import Driver, Kept
from tests.railway.contract import Ground
from tests.railway.fake import FakeRailway

pytestmark = pytest.mark.anyio


async def placed(driver: Driver, name: str = "shop") -> dict[str, Any]:
    ground = Ground(driver, await driver.create("Project", "p", name=name))
    return (await ground.service("api"))[1]


async def test_a_volume_is_found_by_its_name(driver: Driver, fake: FakeRailway) -> None:
    made = await driver.create("Volume", "v", **await placed(driver), mountPath="/data")
    found = Kept(made.urn, f"shop/production/{made.identity}-name")
    assert await driver.refresh(found)
    assert (found.identity, found.inputs["mountPath"]) == (made.identity, "/data")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("shoop/production/api", 'import: expected the id or name of a project, got "shoop"; there are: shop'),
        ("shop/prod/api", 'import: expected the id or name of an environment, got "prod"; there are: production'),
        ("shop/production/apy", 'import: expected the id or name of a service, got "apy"; there are: api'),
    ],
)
async def test_an_unknown_name_is_told_with_what_there_is(driver: Driver, path: str, message: str) -> None:
    await placed(driver)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await driver.refresh(Kept(driver.urn("Variables", "v"), path))
    assert caught.value.details() == message


async def test_a_name_that_several_have_is_not_guessed(driver: Driver) -> None:
    """Railway lets projects share a name; adopting the wrong one could end in deleting it."""
    places = [await placed(driver) for _ in range(2)]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await driver.refresh(Kept(driver.urn("Variables", "v"), "shop/production/api"))
    ids = ", ".join(at["projectId"] for at in places)
    assert caught.value.details() == f'import: 2 projects are called "shop"; take one by its id: {ids}'


async def test_an_id_is_looked_up_nowhere(driver: Driver, fake: FakeRailway) -> None:
    """A project token may not list projects, and need not."""
    await placed(driver)
    start = len(fake.calls)
    unknown = "00000000-0000-4000-8000-000000000000"
    assert not await driver.refresh(Kept(driver.urn("Variables", "v"), f"{unknown}/{unknown}/{unknown}"))
    assert fake.calls[start:] == ["variables"]
