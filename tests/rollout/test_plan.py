"""The order of regions and the state machine, without files or waiting."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.rollout import events as ev
from infra.rollout import plan
from infra.rollout.errors import PromotionRefused
from infra.rollout.events import Begun, Event, Outcome
from infra.rollout.plan import IllegalEvent, Phase, fold, next_step
from tests.rollout.world import ASIA, EU, NEW, OLD, US

BEGUN = Begun("1", "dev", NEW, {US: OLD, EU: OLD}, (EU, US), (), "ada")
THROUGH_EU = (BEGUN, ev.DeployStarted(EU), ev.DeployFinished(EU), ev.GateStarted(EU, 1), ev.Judged(EU, 1, Outcome.PASS, "ok"))


@pytest.mark.parametrize(
    ("canary", "order"), [(None, (EU, ASIA, US)), (ASIA, (ASIA, EU, US)), (EU, (EU, ASIA, US)), (US, (US, EU, ASIA))]
)
def test_the_canary_goes_first_and_the_primary_last(canary: str | None, order: tuple[str, ...]) -> None:
    assert plan.waves((US, EU, ASIA), US, canary) == order


@pytest.mark.parametrize(("primary", "canary"), [("mars", None), (US, "mars")])
def test_names_that_are_no_regions_are_refused(primary: str, canary: str | None) -> None:
    with pytest.raises(PromotionRefused, match="expected one of europe-west4-drams3a, us-west2, got mars"):
        plan.waves((US, EU), primary, canary)


def test_a_wave_changes_one_region_and_keeps_the_others() -> None:
    assert next_step(fold([BEGUN])) == plan.Deploy(EU, {US: OLD, EU: NEW})
    assert next_step(fold(THROUGH_EU)) == plan.Deploy(US, {US: NEW, EU: NEW})


def test_a_deployment_cut_short_is_done_again() -> None:
    """kill -9 between the record and its end: the step is repeated, not skipped."""
    state = fold([BEGUN, ev.DeployStarted(EU)])
    assert next_step(state) == plan.Deploy(EU, {US: OLD, EU: NEW})
    assert next_step(plan.apply(state, ev.DeployStarted(EU))) == next_step(state)


@pytest.mark.parametrize("outcome", [Outcome.INCONCLUSIVE, Outcome.INVALID])
def test_an_unclear_gate_is_repeated_once_and_then_is_not_a_pass(outcome: Outcome) -> None:
    gating = fold(THROUGH_EU[:-1])
    again = plan.apply(gating, ev.Judged(EU, 1, outcome, "unclear"))
    assert next_step(again) == plan.Judge(EU, 2)
    given_up = plan.apply(again, ev.Judged(EU, 2, outcome, "unclear"))
    assert next_step(given_up) == plan.BringBack(EU, {US: OLD, EU: OLD})


def test_a_failed_gate_brings_the_regions_back_newest_first() -> None:
    failed = fold(
        [*THROUGH_EU, ev.DeployStarted(US), ev.DeployFinished(US), ev.GateStarted(US, 1), ev.Judged(US, 1, Outcome.FAIL, "slow")]
    )
    assert next_step(failed) == plan.BringBack(US, {US: OLD, EU: NEW})
    half = fold_on(failed, ev.ReturnStarted(US), ev.ReturnFinished(US))
    assert next_step(half) == plan.BringBack(EU, {US: OLD, EU: OLD})
    whole = fold_on(half, ev.ReturnStarted(EU), ev.ReturnFinished(EU))
    assert next_step(whole) == plan.Note(ev.Returned())


def test_a_hold_waits_after_its_region_until_it_is_lifted() -> None:
    holding = replace(BEGUN_STATE, begun=BEGUN_HOLDING)
    passed = fold_on(holding, *THROUGH_EU[1:])
    assert next_step(passed) == plan.Note(ev.Held(EU))
    with pytest.raises(IllegalEvent):
        plan.apply(passed, ev.DeployStarted(US))
    held = plan.apply(passed, ev.Held(EU))
    assert next_step(held) == plan.Stop()
    assert next_step(plan.apply(held, ev.HoldLifted(EU, "ada"))) == plan.Deploy(US, {US: NEW, EU: NEW})


BEGUN_STATE = fold([BEGUN])
BEGUN_HOLDING = Begun("1", "dev", NEW, {US: OLD, EU: OLD}, (EU, US), (EU,), "ada")


def fold_on(state: plan.State, *events: Event) -> plan.State:
    for event in events:
        state = plan.apply(state, event)
    return state


@pytest.mark.parametrize(
    "events",
    [
        (ev.DeployStarted(EU),),
        (BEGUN, BEGUN),
        (BEGUN, ev.DeployStarted(US)),
        (BEGUN, ev.DeployFinished(EU)),
        (BEGUN, ev.Promoted()),
        (BEGUN, ev.Returned()),
        (BEGUN, ev.DeployStarted(EU), ev.Judged(EU, 1, Outcome.PASS, "")),
        (BEGUN, ev.DeployStarted(EU), ev.DeployFinished(EU), ev.Judged(EU, 2, Outcome.PASS, "")),
        (*THROUGH_EU, ev.Promoted()),
        (*THROUGH_EU, ev.Held(EU)),
        (*THROUGH_EU, ev.ReturnAsked("ada", ""), ev.Returned()),
        (BEGUN, ev.ReturnAsked("ada", ""), ev.Returned(), ev.DeployStarted(EU)),
    ],
)
def test_events_that_cannot_happen_are_refused(events: tuple[Any, ...]) -> None:
    with pytest.raises(IllegalEvent):
        fold(events)


def test_final_states_have_no_way_out() -> None:
    assert not [phase for phase, _ in plan.TRANSITIONS if phase in plan.FINAL]
    assert {kind for _, kind in plan.TRANSITIONS} == {*get_args(Event)} - {Begun}


@given(st.data())
def test_every_state_has_a_next_step_that_its_own_events_answer(data: st.DataObject) -> None:
    """Whatever happens, the machine neither sticks nor offers a step it would then refuse to record."""
    holds = tuple(data.draw(st.sets(st.sampled_from([EU, ASIA, US]))))
    state = fold([Begun("1", "dev", NEW, {US: OLD, EU: OLD, ASIA: OLD}, (EU, ASIA, US), holds, "ada")])
    for _ in range(60):
        outcome = data.draw(st.sampled_from(list(Outcome)))
        works = data.draw(st.booleans())
        match next_step(state):
            case plan.Deploy(region):
                ended: Event = ev.DeployFinished(region) if works else ev.DeployBroke(region, "no")
                state = fold_on(state, ev.DeployStarted(region), ended)
            case plan.Judge(region, attempt):
                state = fold_on(state, ev.GateStarted(region, attempt), ev.Judged(region, attempt, outcome, ""))
            case plan.BringBack(region):
                state = fold_on(state, ev.ReturnStarted(region), ev.ReturnFinished(region))
            case plan.Note(event):
                state = fold_on(state, event)
            case plan.Stop() if state.phase is Phase.HELD:
                held = state.begun.waves[state.position - 1]
                state = fold_on(state, ev.HoldLifted(held, "ada") if works else ev.ReturnAsked("ada", "no"))
            case plan.Stop():
                break
    assert state.is_final
