"""What earlier promotions of a stack mean for the next one. Pure, over their states."""

from __future__ import annotations

from collections.abc import Sequence

from infra.rollout import events as ev
from infra.rollout.events import Outcome
from infra.rollout.plan import Phase, State


def unfinished(states: Sequence[State]) -> State | None:
    """The promotion that has not ended, if there is one. Regions may differ until it is resumed or returned."""
    return next((state for state in reversed(states) if not state.is_final), None)


def failed_gate(states: Sequence[State], release: str) -> ev.Judged | None:
    """The verdict that quarantines the release; None when it never failed, or was promoted after it had.

    Only FAIL counts: an inconclusive or invalid run and a deployment that broke say nothing about how the release serves.
    """
    verdict: ev.Judged | None = None
    for state in states:
        if state.begun.release != release:
            continue
        if state.phase is Phase.PROMOTED:
            verdict = None
        elif isinstance(state.cause, ev.Judged) and state.cause.outcome is Outcome.FAIL:
            verdict = state.cause
    return verdict
