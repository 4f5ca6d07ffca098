"""One causal line, from the change by the measurement to the decision."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby

from infra.rollout import events as ev
from infra.rollout.events import Outcome
from infra.rollout.plan import Cause, Phase, State

DIGEST_CHARACTERS = 12


def short(release: str) -> str:
    """sha256:cd34ab12ef56..  for people; whole digests are in the journal."""
    kind, colon, digest = release.rpartition(":")
    return f"{kind}{colon}{digest[:DIGEST_CHARACTERS]}.." if len(digest) > DIGEST_CHARACTERS else release


def why(state: State) -> str:
    """Why the promotion stands where it stands, in one line."""
    begun, release = state.begun, short(state.begun.release)
    done = ", ".join(begun.waves[: state.position])
    match state.phase:
        case Phase.RETURNED:
            return f"returned {_destinations(_touched(state), begun.previous)} because {_because(state.cause, release)}"
        case Phase.RETURNING:
            return f"returning {_destinations(_touched(state), begun.previous)} because {_because(state.cause, release)}"
        case Phase.PROMOTED:
            return f"promoted {', '.join(begun.waves)} to {release} because every gate passed: {_verdicts(state)}"
        case Phase.HELD | Phase.PASSED:
            verb = "holding" if state.phase is Phase.HELD else "stopped"
            return f"{verb} with {done} on {release} because its gates passed ({_verdicts(state)}) and nobody has gone on yet"
        case Phase.DEPLOYING | Phase.GATING:
            return f"stopped while {state.phase} {release} in {state.region} because the promotion was interrupted there"
        case Phase.PENDING:
            return f"nothing changed: the promotion of {release} was recorded and not begun"


def _because(cause: Cause | None, release: str) -> str:
    match cause:
        case ev.DeployBroke(region=region, message=message):
            return f"the deployment of {release} in {region} failed: {message}"
        case ev.Judged(region=region, outcome=Outcome.FAIL, summary=summary):
            return f"{summary} in {region} after {release}"
        case ev.Judged(region=region, outcome=outcome, summary=summary, attempt=attempt):
            return f"the gate was {outcome} {attempt} times in {region} after {release} ({summary}), and that is not a pass"
        case ev.ReturnAsked(who=who, reason=reason):
            return f"{who} asked for it: {reason}"
        case None:
            return "of an unrecorded reason"


def _touched(state: State) -> tuple[str, ...]:
    """The regions that had, or may have had, the new release, in the order they are brought back."""
    return tuple(reversed(state.begun.waves[: state.touched]))


def _destinations(regions: tuple[str, ...], previous: Mapping[str, str]) -> str:
    """ "a, b to sha256:..", grouped where neighbours share a release."""
    groups = groupby(regions, key=lambda region: previous[region])
    return " and ".join(f"{', '.join(names)} to {short(release)}" for release, names in groups) or "nothing"


def _verdicts(state: State) -> str:
    return "; ".join(f"{verdict.region}: {verdict.summary}" for verdict in state.passed)
