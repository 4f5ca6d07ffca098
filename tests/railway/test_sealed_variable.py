"""What nobody can read any more: a sealed variable is kept by what was set, and noticed when it is gone."""

from __future__ import annotations

from typing import Any

import grpc.aio
import pytest

from infra.provider.properties import Secret
from tests.provider.driving import Driver
from tests.railway.fake import FakeRailway

pytestmark = pytest.mark.anyio


async def place(driver: Driver) -> dict[str, Any]:
    project = await driver.create("Project", "p", name="p")
    at = {"projectId": project.identity, "environmentId": project.outputs["defaultEnvironmentId"]}
    service = await driver.create("Service", "s", **at, name="s", multiRegionConfig={"us-west2": 1})
    return {**at, "serviceId": service.identity}


async def test_sealed_value_stands_and_its_absence_is_seen(driver: Driver, fake: FakeRailway) -> None:
    at = await place(driver)
    wanted = {**at, "name": "KEY", "value": Secret("hidden"), "sealed": True}
    kept = await driver.create("Variable", "v", **wanted)
    assert fake.sealed
    assert await driver.up(kept, **wanted) == []
    assert await driver.refresh(kept)
    assert (kept.inputs["value"], kept.inputs["sealed"]) == (Secret("hidden"), True)
    assert await driver.up(kept, **wanted) == []
    digest = kept.outputs["digest"]
    assert await driver.up(kept, **{**wanted, "value": Secret("changed")}) == ["value"]
    assert kept.outputs["digest"] != digest
    assert isinstance(digest, Secret)
    assert fake.variables[at["serviceId"], at["environmentId"]] == {"KEY": "changed"}
    await driver.delete(kept)
    assert not await driver.refresh(kept)


@pytest.mark.parametrize(("before", "after", "replaces"), [(False, True, []), (True, False, ["sealed"])])
async def test_sealing_is_a_change_and_unsealing_a_replacement(
    driver: Driver, before: bool, after: bool, replaces: list[str]
) -> None:
    wanted = {**await place(driver), "name": "KEY", "value": Secret("hidden")}
    kept = await driver.create("Variable", "v", **wanted, sealed=before)
    checked, _ = await driver.check(kept, {**wanted, "sealed": after})
    assert list((await driver.diff(kept, checked)).replaces) == replaces


async def test_shared_variable_is_told_from_a_services_own(driver: Driver, fake: FakeRailway) -> None:
    at = await place(driver)
    shared = {name: at[name] for name in ("projectId", "environmentId")}
    own = await driver.create("Variable", "own", **at, name="KEY", value="own")
    kept = await driver.create("Variable", "shared", **shared, name="KEY", value="shared")
    assert fake.variables == {
        (at["serviceId"], at["environmentId"]): {"KEY": "own"},
        (None, at["environmentId"]): {"KEY": "shared"},
    }
    await driver.delete(own)
    assert await driver.refresh(kept)
    assert kept.inputs["value"] == Secret("shared")


async def test_somebody_elses_value_is_not_overwritten(driver: Driver) -> None:
    wanted = {**await place(driver), "name": "KEY"}
    await driver.create("Variable", "v", **wanted, value="one")
    with pytest.raises(grpc.aio.AioRpcError, match="exists already with another value; adopt it with `pulumi import"):
        await driver.create("Variable", "w", **wanted, value="two")
