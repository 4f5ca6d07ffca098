"""Did the promises about revocation hold? Pure: a recorded history goes in, a judgement comes out.

Theory of operation
-------------------
A history is what somebody outside saw, on one clock: tokens, revocations with the moments they were asked for and acknowledged,
answers with the moments they were asked for and given, and faults with their beginning and end.

An answer counts at the moment it was *asked for*. Whoever asks before a revocation is acknowledged may be told yes however late
the answer arrives; whoever asks later than BOUND_S after it may not, whatever is broken. Between the two lies what has to
spread: where nothing is broken it has a round trip and SPREAD_S for that, in all but one of a hundred cases.

The other side is held too: a token that no revocation covers is never refused as a bad one. ("Unavailable" is always allowed.)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

BOUND_S = 2.0
SPREAD_S = 0.05
PERCENTILE = 0.99

Outcome = Literal["accepted", "refused", "unavailable"]
Kind = Literal["session", "user", "key", "everyone"]


@dataclass(frozen=True, slots=True)
class Token:
    """issued_at: when it really was; claimed_iat: what it says of that, which is the issuer's clock in whole seconds."""

    name: str
    user: str
    session: str
    key: str
    issued_at: float
    claimed_iat: float


@dataclass(slots=True)
class Revoked:
    """acknowledged_at: None where nobody was ever told that it is done: then either answer is right."""

    kind: Kind
    subject: str
    asked_at: float
    acknowledged_at: float | None = None
    watermark_iat: float = 0.0
    except_session: str | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    asked_at: float
    answered_at: float
    replica: str
    token: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Fault:
    """replica: None where it concerns all of them."""

    what: str
    replica: str | None
    began_at: float
    ended_at: float


@dataclass(slots=True)
class History:
    tokens: dict[str, Token] = field(default_factory=dict)
    revocations: list[Revoked] = field(default_factory=list)
    answers: list[Answered] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Judgement:
    """seen_s: for each revocation and replica that nothing was wrong with, how long after the acknowledgement one was still
    told yes who asked then."""

    too_late: tuple[str, ...]
    wrongly_refused: tuple[str, ...]
    seen_s: tuple[float, ...]
    allowed_s: float

    @property
    def p99_s(self) -> float:
        return percentile(self.seen_s, PERCENTILE)

    @property
    def holds(self) -> bool:
        return not self.too_late and not self.wrongly_refused and self.p99_s <= self.allowed_s

    def __str__(self) -> str:
        lines = [*self.too_late, *self.wrongly_refused]
        if self.p99_s > self.allowed_s:
            lines.append(f"spreads too slowly: p99 {self.p99_s * 1000:.0f} ms, allowed {self.allowed_s * 1000:.0f} ms")
        return "\n".join(lines) or "all promises held"


def judge(history: History, *, round_trip_s: float, bound_s: float = BOUND_S, settle_s: float = BOUND_S) -> Judgement:
    """settle_s: for how long after a fault a replica still does not count as one that nothing is wrong with."""
    by_token: dict[str, list[Answered]] = defaultdict(list)
    for answer in history.answers:
        by_token[answer.token].append(answer)
    too_late: list[str] = []
    seen_s: list[float] = []
    for revocation in history.revocations:
        if revocation.acknowledged_at is None:
            continue
        ended = [answer for token in history.tokens.values() if must_end(revocation, token) for answer in by_token[token.name]]
        too_late += [_late(revocation, answer) for answer in ended if _lag_s(revocation, answer) > bound_s]
        window = (revocation.asked_at, revocation.acknowledged_at + bound_s)
        asked_after = sorted({answer.replica for answer in ended if answer.asked_at >= revocation.acknowledged_at})
        seen_s += [
            max(_lag_s(revocation, answer) for answer in ended if answer.replica == replica)
            for replica in asked_after
            if not _is_troubled(history.faults, replica, window, settle_s)
        ]
    return Judgement(tuple(too_late), tuple(_wrongly_refused(history)), tuple(seen_s), round_trip_s + SPREAD_S)


def must_end(revocation: Revoked, token: Token) -> bool:
    """Nobody may accept this token once the revocation is acknowledged."""
    if revocation.kind == "session":
        return token.session == revocation.subject
    if revocation.kind == "key":
        return token.key == revocation.subject
    if revocation.kind == "everyone":
        return token.claimed_iat <= revocation.watermark_iat
    is_spared = token.session == revocation.except_session
    return token.user == revocation.subject and not is_spared and token.issued_at < revocation.asked_at


def may_end(revocation: Revoked, token: Token, at: float) -> bool:
    """Whoever refuses the token `at` that moment has a reason in this revocation."""
    if revocation.asked_at > at:
        return False
    if revocation.kind != "user":
        return must_end(revocation, token)
    until = float("inf") if revocation.acknowledged_at is None else revocation.acknowledged_at
    return token.user == revocation.subject and token.session != revocation.except_session and token.issued_at <= until


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that is not below `share` of them; 0 where there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def _lag_s(revocation: Revoked, answer: Answered) -> float:
    """How long after the acknowledgement somebody asked who was told yes; 0 where it was before, or told no."""
    assert revocation.acknowledged_at is not None
    return max(0.0, answer.asked_at - revocation.acknowledged_at) if answer.outcome == "accepted" else 0.0


def _is_troubled(faults: list[Fault], replica: str, window: tuple[float, float], settle_s: float) -> bool:
    begin, end = window
    return any(
        fault.replica in (None, replica) and fault.began_at <= end and begin <= fault.ended_at + settle_s for fault in faults
    )


def _late(revocation: Revoked, answer: Answered) -> str:
    lag_s = _lag_s(revocation, answer)
    what = f"{revocation.kind} {revocation.subject}"
    return f"accepted too late: {answer.token} at {answer.replica}, {lag_s:.3f} s after {what} was acknowledged as revoked"


def _wrongly_refused(history: History) -> Iterable[str]:
    for answer in history.answers:
        if answer.outcome != "refused":
            continue
        token = history.tokens[answer.token]
        if not any(may_end(revocation, token, answer.answered_at) for revocation in history.revocations):
            yield f"refused for no reason: {answer.token} at {answer.replica}, at {answer.asked_at:.3f} s"
