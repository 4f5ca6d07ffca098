"""A promotion from end to end, against a world of plain data."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from infra.rollout import events as ev
from infra.rollout.driver import RETURN_ATTEMPTS_MAX, Promoter
from infra.rollout.errors import NothingToDo, PromotionRefused, PromotionRunning, Quarantined, ReturnStalled, Unfinished
from infra.rollout.events import Event
from infra.rollout.journal import latest, stack_folder
from infra.rollout.lock import only_one
from infra.rollout.plan import Phase
from infra.rollout.why import why
from tests.rollout.world import ASIA, BROKEN, EU, FAIL, NEW, OLD, PASS, UNCLEAR, US, World, request, world

pytestmark = pytest.mark.anyio


async def no_pause(seconds: float) -> None:
    """Retries at once."""


def promoter(folder: Path, there: World, seen: list[Event] | None = None) -> Promoter:
    listener = seen.append if seen is not None else lambda event: None
    return Promoter(folder, "dev", "ada@laptop", there, there, listener, pause=no_pause)


async def test_a_good_release_goes_region_by_region(tmp_path: Path) -> None:
    there, seen = world(), []
    state = await promoter(tmp_path, there, seen).promote(request(there))
    assert state.phase is Phase.PROMOTED
    assert there.asked == [{US: OLD, EU: NEW}, {US: NEW, EU: NEW}]
    assert there.judged == [(EU, NEW, "pass"), (US, NEW, "pass")]
    assert [type(event) for event in seen] == [
        ev.Begun,
        *[ev.DeployStarted, ev.DeployFinished, ev.GateStarted, ev.Judged] * 2,
        ev.Promoted,
    ]
    found = latest(tmp_path, "dev")
    assert found is not None
    assert [record.event for record in found[1]] == seen, "what the screen saw is what the journal has"
    assert "promoted europe-west4-drams3a, us-west2 to sha256:cdcdcdcdcdcd.. because every gate passed" in why(state)


async def test_a_failed_gate_brings_every_region_back(tmp_path: Path) -> None:
    there = world(verdicts=[PASS, FAIL])
    state = await promoter(tmp_path, there).promote(request(there))
    assert state.phase is Phase.RETURNED
    assert set(there.serving.values()) == {OLD}
    assert there.asked[2:] == [{US: OLD, EU: NEW}, {US: OLD, EU: OLD}]
    assert why(state) == (
        "returned us-west2, europe-west4-drams3a to sha256:abababababab.. because validate p95 412 ms > 50 ms in us-west2 "
        "after sha256:cdcdcdcdcdcd.."
    )


@pytest.mark.parametrize("how", ["before", "after"])
async def test_a_failed_deployment_is_brought_back_too(tmp_path: Path, how: str) -> None:
    there = world(deployments=[how])
    state = await promoter(tmp_path, there).promote(request(there))
    assert (state.phase, set(there.serving.values()), there.judged) == (Phase.RETURNED, {OLD}, [])
    assert why(state).endswith(
        "because the deployment of sha256:cdcdcdcdcdcd.. in europe-west4-drams3a failed: health check never answered 200"
    )


@pytest.mark.parametrize(("verdicts", "phase"), [([UNCLEAR, PASS], Phase.PROMOTED), ([UNCLEAR, BROKEN], Phase.RETURNED)])
async def test_an_unclear_verdict_is_never_promoted_on(tmp_path: Path, verdicts: list[object], phase: Phase) -> None:
    there = world(verdicts=verdicts)  # type: ignore[arg-type]
    state = await promoter(tmp_path, there).promote(request(there))
    assert state.phase is phase
    if phase is Phase.RETURNED:
        assert "the gate was invalid 2 times in europe-west4-drams3a" in why(state)


async def test_an_outcome_nobody_knows_is_not_a_pass(tmp_path: Path) -> None:
    strange = type(PASS)("perhaps")
    there = world(verdicts=[strange, strange])
    assert (await promoter(tmp_path, there).promote(request(there))).phase is Phase.RETURNED


async def test_regions_with_different_pasts_each_go_back_to_their_own(tmp_path: Path) -> None:
    there = world(US, EU, ASIA, verdicts=[PASS, PASS, FAIL])
    there.serving[ASIA] = older = "sha256:" + "ef" * 32
    before = dict(there.serving)
    state = await promoter(tmp_path, there).promote(request(there))
    assert there.serving == before
    assert older[:19] in why(state)


async def test_a_region_that_has_the_release_is_left_alone(tmp_path: Path) -> None:
    there = world()
    there.serving[EU] = NEW
    await promoter(tmp_path, there).promote(request(there))
    assert there.asked == [{US: NEW, EU: NEW}]
    with pytest.raises(NothingToDo):
        await promoter(tmp_path, there).promote(request(there))


async def test_a_hold_waits_for_a_person(tmp_path: Path) -> None:
    there = world()
    state = await promoter(tmp_path, there).promote(request(there, hold_after=(EU,)))
    assert (state.phase, there.serving) == (Phase.HELD, {US: OLD, EU: NEW})
    assert why(state).startswith("holding with europe-west4-drams3a on sha256:cd")
    with pytest.raises(Unfinished) as refused:
        await promoter(tmp_path, there).promote(request(there))
    assert refused.value.next_command == "./cached-auth promote dev --resume"
    assert (await promoter(tmp_path, there).resume()).phase is Phase.PROMOTED


async def test_a_held_release_can_be_sent_back(tmp_path: Path) -> None:
    there = world()
    await promoter(tmp_path, there).promote(request(there, hold_after=(EU,)))
    state = await promoter(tmp_path, there).send_back("customers report slow logins")
    assert (state.phase, set(there.serving.values())) == (Phase.RETURNED, {OLD})
    assert why(state).endswith("because ada@laptop asked for it: customers report slow logins")
    with pytest.raises(NothingToDo):
        await promoter(tmp_path, there).resume()


async def test_a_return_that_fails_is_tried_again_and_can_be_resumed(tmp_path: Path) -> None:
    there = world(deployments=["ok"] + ["before"] * RETURN_ATTEMPTS_MAX, verdicts=[FAIL])
    with pytest.raises(ReturnStalled, match="europe-west4-drams3a"):
        await promoter(tmp_path, there).promote(request(there))
    assert there.serving[EU] == NEW
    state = await promoter(tmp_path, there).resume()
    assert (state.phase, set(there.serving.values())) == (Phase.RETURNED, {OLD})


async def test_a_release_that_failed_a_gate_is_refused_until_asked_for_by_name(tmp_path: Path) -> None:
    there = world(verdicts=[FAIL])
    await promoter(tmp_path, there).promote(request(there))
    with pytest.raises(Quarantined, match="validate p95 412 ms > 50 ms in europe-west4-drams3a") as refused:
        await promoter(tmp_path, there).promote(request(there))
    assert refused.value.next_command.endswith("--retry-failed")
    assert (await promoter(tmp_path, there).promote(request(there, release=OLD + "0"))).phase is Phase.PROMOTED
    assert (await promoter(tmp_path, there).promote(request(there, retries_failed=True))).phase is Phase.PROMOTED
    there.serving.update(dict.fromkeys(there.serving, OLD))
    assert (await promoter(tmp_path, there).promote(request(there))).phase is Phase.PROMOTED, "a promotion lifts the quarantine"


@pytest.mark.parametrize("world_of", [{"deployments": ["after"]}, {"verdicts": [BROKEN, BROKEN]}])
async def test_only_a_failed_gate_quarantines(tmp_path: Path, world_of: dict[str, list[object]]) -> None:
    """A platform that stumbled or a generator that was too slow says nothing about the release."""
    there = world(**world_of)  # type: ignore[arg-type]
    assert (await promoter(tmp_path, there).promote(request(there))).phase is Phase.RETURNED
    assert (await promoter(tmp_path, there).promote(request(there))).phase is Phase.PROMOTED


async def test_one_promotion_of_a_stack_at_a_time(tmp_path: Path) -> None:
    there = world()
    since = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
    with only_one(stack_folder(tmp_path, "dev"), "grace@desk", since), pytest.raises(PromotionRunning) as refused:
        await promoter(tmp_path, there).promote(request(there))
    assert "grace@desk, since 2026-11-24 03:00:00 UTC, process " in str(refused.value)
    assert there.asked == []
    assert (await promoter(tmp_path, there).promote(request(there))).phase is Phase.PROMOTED


async def test_two_stacks_do_not_wait_for_each_other(tmp_path: Path) -> None:
    there = world()
    with only_one(stack_folder(tmp_path, "prod"), "grace", datetime.now(UTC)):
        assert (await promoter(tmp_path, there).promote(request(there))).phase is Phase.PROMOTED


@pytest.mark.parametrize("changes", [{"primary": "mars"}, {"canary": "mars"}, {"hold_after": ("mars",)}])
async def test_unknown_regions_are_refused_before_anything_is_touched(tmp_path: Path, changes: dict[str, object]) -> None:
    there = world()
    with pytest.raises(PromotionRefused, match="got mars"):
        await promoter(tmp_path, there).promote(request(there, **changes))
    assert latest(tmp_path, "dev") is None


@pytest.mark.parametrize("stack", ["", "..", "a/b", ".hidden", "x" * 101])
def test_a_stack_name_that_is_a_path_is_refused(tmp_path: Path, stack: str) -> None:
    with pytest.raises(PromotionRefused):
        stack_folder(tmp_path, stack)
