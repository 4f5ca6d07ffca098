"""The laws of every resource's life, against the fake, where faults can be put in the way."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from infra.railway.provider import RailwayProvider
from tests.provider.driving import Driver, InitFailed, Kept
from tests.railway.contract import Ground
from tests.railway.fake import FakeRailway
from tests.railway.lifecycle import CASES, LAWS, Case, Law, place, settled

pytestmark = pytest.mark.anyio

HALVES = [(case, operation) for case in CASES for operation in case.mutations]


async def grounded(driver: Driver) -> Ground:
    return Ground(driver, await driver.create("Project", "ground", name="ground"))


def test_every_resource_has_a_row() -> None:
    declared = {token.rpartition(":")[2] for token in RailwayProvider.resources}
    assert {case.kind for case in CASES} == declared


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("case", CASES, ids=str)
async def test_law_holds(driver: Driver, case: Case, law: Law) -> None:
    await law(await grounded(driver), case)


async def tried(driver: Driver, kept: Kept, inputs: dict[str, Any]) -> bool:
    """One `up` of something that may be there, half there or not at all. Whether it went well."""
    try:
        if kept.identity:
            await driver.up(kept, **inputs)
        else:
            checked, failures = await driver.check(kept, inputs)
            assert not failures, failures
            await driver.create_into(kept, checked)
    except (InitFailed, grpc.aio.AioRpcError):
        return False
    return True


@pytest.mark.parametrize("fault", ["503", "lost"])
@pytest.mark.parametrize(("case", "operation"), HALVES, ids=lambda value: str(value))
async def test_half_made_is_kept_and_finished_by_the_next_up(
    driver: Driver, fake: FakeRailway, case: Case, operation: str, fault: str
) -> None:
    """Wherever a creation breaks, before the change or after it: one of its kind in the end, finished and settled."""
    ground = await grounded(driver)
    at = await place(ground, case)
    before = fake.done[case.creates]
    fake.faults[operation] = [fault] * (20 if fault == "503" else 1)
    kept = Kept(driver.urn(case.kind, "life"))
    first = await tried(driver, kept, case.inputs(at))
    assert first == (fault == "lost"), "a lost answer is looked for; an API that stays away is an error"
    fake.faults.clear()
    assert await tried(driver, kept, case.inputs(at))
    await settled(driver, kept, case.inputs(at))
    if case.creates:
        assert fake.done[case.creates] - before == 1
