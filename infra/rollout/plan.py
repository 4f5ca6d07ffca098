"""The order of a promotion and its state machine. Pure: events in, next step out.

                    +-----------------------------+
                    v                             |  (next region)
    PENDING -> DEPLOYING -> GATING -> PASSED -----+--> PROMOTED
                    |          |         |  ^
                    |          |         v  |
                    |          |        HELD
                    |          |          |
                    +----------+----------+--> RETURNING (regions in reverse) -> RETURNED

Two states end a promotion, and in both every region agrees: PROMOTED (all on the new release) and RETURNED (each on the one
it served before).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, TypeAlias

from infra.rollout import events as ev
from infra.rollout.errors import PromotionRefused
from infra.rollout.events import Begun, Event, Outcome

GATE_ATTEMPTS_MAX = 2  # an inconclusive or invalid run is repeated once; a second one is not a pass


def waves(regions: Sequence[str], primary: str, canary: str | None = None) -> tuple[str, ...]:
    """The order of the regions: the canary first, the primary last (its database serves the writes of all the others).

    A canary that is the primary goes first: who names it has decided. Raises PromotionRefused on names that are no regions.
    """
    check_regions(regions, "primary", [primary])
    check_regions(regions, "canary", [canary] if canary is not None else [])
    return tuple(sorted(regions, key=lambda region: (region != canary, region == primary)))


def check_regions(regions: Sequence[str], role: str, names: Iterable[str]) -> None:
    """Raises PromotionRefused when a name is not one of the stack's regions."""
    for name in names:
        if name not in regions:
            raise PromotionRefused(f"{role}: expected one of {', '.join(sorted(regions))}, got {name}")


class Phase(StrEnum):
    PENDING = "pending"
    DEPLOYING = "deploying"
    GATING = "gating"
    PASSED = "passed"
    HELD = "held"
    RETURNING = "returning"
    PROMOTED = "promoted"
    RETURNED = "returned"


FINAL = frozenset({Phase.PROMOTED, Phase.RETURNED})
Cause: TypeAlias = ev.DeployBroke | ev.Judged | ev.ReturnAsked


@dataclass(frozen=True, slots=True)
class State:
    """Where a promotion stands. `position` is the wave at hand: the one to deploy next, under way, or to return next.

    `attempt` is the gate run that comes next or is under way. `cause` is why it is being returned. `passed` are the verdicts
    that let the waves through. `touched` counts the waves that had, or may have had, the new release when it was given up.
    """

    begun: Begun
    phase: Phase = Phase.PENDING
    position: int = 0
    attempt: int = 1
    is_hold_lifted: bool = False
    cause: Cause | None = None
    passed: tuple[ev.Judged, ...] = ()
    touched: int = 0

    @property
    def region(self) -> str:
        return self.begun.waves[self.position]

    @property
    def is_final(self) -> bool:
        return self.phase in FINAL

    def releases(self, promoted: int) -> Mapping[str, str]:
        """What every region of the stack serves when the first `promoted` waves have the new release."""
        return {**self.begun.previous, **dict.fromkeys(self.begun.waves[:promoted], self.begun.release)}


class IllegalEvent(Exception):
    """The event cannot happen in this state."""


def start(event: Event) -> State:
    if not isinstance(event, Begun):
        raise IllegalEvent(f"expected begun first, got {type(event).__name__}")
    return State(event)


def apply(state: State, event: Event) -> State:
    """The state after the event; raises IllegalEvent."""
    transition = TRANSITIONS.get((state.phase, type(event)))
    if transition is None:
        raise IllegalEvent(f"{type(event).__name__} while {state.phase}")
    # Events of one class are told apart by what they are about; the table alone does not see a wrong region or attempt.
    expected = {"region": _region_of(state), "attempt": state.attempt}
    for name, value in expected.items():
        if getattr(event, name, value) != value:
            raise IllegalEvent(f"{type(event).__name__}: expected {name} {value}, got {getattr(event, name)}")
    return transition(state, event)


def fold(happened: Iterable[Event]) -> State:
    """The state after all of them; raises IllegalEvent."""
    first, *rest = happened
    state = start(first)
    for event in rest:
        state = apply(state, event)
    return state


def _region_of(state: State) -> str | None:
    """The only region an event may be about. A hold is about the wave that has just passed."""
    index = state.position - 1 if state.phase in (Phase.PASSED, Phase.HELD) and _holds_next(state) else state.position
    return state.begun.waves[index] if 0 <= index < len(state.begun.waves) else None


def _holds_next(state: State) -> bool:
    """Whether the wave that has just passed asks for a hold that nobody has lifted yet."""
    return state.phase is Phase.HELD or (
        state.phase is Phase.PASSED
        and not state.is_hold_lifted
        and state.begun.waves[state.position - 1] in state.begun.hold_after
    )


def _judged(state: State, event: Any) -> State:
    if event.outcome is Outcome.PASS:
        onward = replace(state, phase=Phase.PASSED, position=state.position + 1, attempt=1, is_hold_lifted=False)
        return replace(onward, passed=(*state.passed, event))
    if event.outcome is not Outcome.FAIL and event.attempt < GATE_ATTEMPTS_MAX:
        return replace(state, attempt=event.attempt + 1)
    return _returning(state, event)


def _returning(state: State, event: Any) -> State:
    """From the newest wave that may have been touched, back to the first."""
    is_under_way = state.phase in (Phase.DEPLOYING, Phase.GATING)
    touched = state.position + is_under_way
    return replace(state, phase=Phase.RETURNING, position=touched - 1, touched=touched, cause=event)


def _promoted(state: State, event: Any) -> State:
    if state.position != len(state.begun.waves) or _holds_next(state):
        raise IllegalEvent(f"promoted with {state.position} of {len(state.begun.waves)} waves through")
    return replace(state, phase=Phase.PROMOTED)


def _returned(state: State, event: Any) -> State:
    if state.position >= 0:
        raise IllegalEvent(f"returned with {state.region} still on the new release")
    return replace(state, phase=Phase.RETURNED)


def _one_back(state: State, event: Any) -> State:
    return replace(state, position=state.position - 1)


def _to(phase: Phase) -> Callable[[State, Any], State]:
    return lambda state, event: replace(state, phase=phase)


def _unchanged(state: State, event: Any) -> State:
    return state


TRANSITIONS: Mapping[tuple[Phase, type], Callable[[State, Any], State]] = {
    (Phase.PENDING, ev.DeployStarted): _to(Phase.DEPLOYING),
    (Phase.PENDING, ev.ReturnAsked): _returning,
    (Phase.DEPLOYING, ev.DeployStarted): _unchanged,  # a new driver does it again
    (Phase.DEPLOYING, ev.DeployFinished): _to(Phase.GATING),
    (Phase.DEPLOYING, ev.DeployBroke): _returning,
    (Phase.DEPLOYING, ev.ReturnAsked): _returning,
    (Phase.GATING, ev.GateStarted): _unchanged,
    (Phase.GATING, ev.Judged): _judged,
    (Phase.GATING, ev.ReturnAsked): _returning,
    (Phase.PASSED, ev.DeployStarted): _to(Phase.DEPLOYING),
    (Phase.PASSED, ev.Held): _to(Phase.HELD),
    (Phase.PASSED, ev.Promoted): _promoted,
    (Phase.PASSED, ev.ReturnAsked): _returning,
    (Phase.HELD, ev.HoldLifted): lambda state, event: replace(state, phase=Phase.PASSED, is_hold_lifted=True),
    (Phase.HELD, ev.ReturnAsked): _returning,
    (Phase.RETURNING, ev.ReturnStarted): _unchanged,
    (Phase.RETURNING, ev.ReturnFinished): _one_back,
    (Phase.RETURNING, ev.ReturnBroke): _unchanged,
    (Phase.RETURNING, ev.Returned): _returned,
}


@dataclass(frozen=True, slots=True)
class Deploy:
    """Bring `releases` (every region of the stack) about; only `region` changes."""

    region: str
    releases: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Judge:
    region: str
    attempt: int


@dataclass(frozen=True, slots=True)
class BringBack:
    """As Deploy, towards the previous release."""

    region: str
    releases: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Note:
    """Nothing is to be done but to record this event."""

    event: ev.Held | ev.Promoted | ev.Returned


@dataclass(frozen=True, slots=True)
class Stop:
    """Ended, or held until somebody decides."""


Step: TypeAlias = Deploy | Judge | BringBack | Note | Stop


def next_step(state: State) -> Step:
    """What a driver does next. The same state always has the same step, whatever driver came before."""
    if state.phase is Phase.RETURNING:
        if state.position < 0:
            return Note(ev.Returned())
        return BringBack(state.region, state.releases(state.position))
    if state.phase is Phase.GATING:
        return Judge(state.region, state.attempt)
    if _holds_next(state) and state.phase is Phase.PASSED:
        return Note(ev.Held(state.begun.waves[state.position - 1]))
    if state.is_final or state.phase is Phase.HELD:
        return Stop()
    if state.position == len(state.begun.waves):
        return Note(ev.Promoted())
    return Deploy(state.region, state.releases(state.position + 1))
