"""Did the promises about revocation hold? Pure: a recorded history goes in, a judgement comes out.

Theory of operation
-------------------
A history is what somebody outside saw, on one clock: tokens, revocations with the moments they were asked for and acknowledged,
answers with the moments they were asked for and given, and faults with their beginning and end.

An answer counts at the moment it was *asked for*. Whoever asks before a revocation is acknowledged may be told yes however late
the answer arrives; whoever asks later than BOUND_S after it may not, whatever is broken. Between the two lies what has to
spread: where nothing is broken it has a round trip and SPREAD_S for that, in all but one of a hundred cases.

Routes may be more careful than that, or less. Where the issuer is asked for each check, nobody is told yes who asks after a
session's end was acknowledged. A key's or everyone's revocation is known to the feed alone: where a route goes on without that,
the promise about these two is one for replicas that nothing is wrong with.

What a user may do is held to the same: a role's grant is a "token" that `spreads`, its withdrawal a revocation of kind `role`.

The other side is held too: a token that no revocation covers is never refused as a bad one, and a grant is seen as soon as a
withdrawal is. ("Unavailable" is always allowed.)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

BOUND_S = 2.0
SPREAD_S = 0.05
PERCENTILE = 0.99

Outcome = Literal["accepted", "refused", "unavailable"]
Kind = Literal["session", "user", "key", "everyone", "role"]


@dataclass(frozen=True, slots=True)
class Token:
    """issued_at: when it really was, and was acknowledged; claimed_iat: what it says of that, which is the issuer's clock in
    whole seconds. spreads: that it is good has to get around first."""

    name: str
    user: str
    session: str
    key: str
    issued_at: float
    claimed_iat: float
    spreads: bool = False


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
class Rule:
    """Of a route. is_strict: the issuer is asked for each check; must_hear: nothing is answered while the feed is silent."""

    is_strict: bool = False
    must_hear: bool = True


@dataclass(frozen=True, slots=True)
class Answered:
    asked_at: float
    answered_at: float
    replica: str
    token: str
    outcome: Outcome
    route: str = ""


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
    rules: dict[str, Rule] = field(default_factory=dict)

    def rule(self, answer: Answered) -> Rule:
        return self.rules.get(answer.route, Rule())


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
        window = (revocation.asked_at, revocation.acknowledged_at + bound_s)

        def is_well(replica: str, window: tuple[float, float] = window) -> bool:
            return not _is_troubled(history.faults, replica, window, settle_s)

        counted = [answer for answer in ended if is_well(answer.replica) or _is_promised(revocation, history.rule(answer))]
        bounds = ((answer, _bound_s(revocation, history.rule(answer), bound_s)) for answer in counted)
        too_late += [_late(revocation, answer) for answer, most_s in bounds if _lag_s(revocation, answer) > most_s]
        lags = ((answer.replica, _lag_s(revocation, answer)) for answer in ended if answer.asked_at >= revocation.acknowledged_at)
        seen_s += _longest(lags, is_well)
    for grant in history.tokens.values():
        if not grant.spreads or grant.issued_at == float("inf"):
            continue
        ends_at = min((one.asked_at for one in history.revocations if must_end(one, grant)), default=float("inf"))
        since = [answer for answer in by_token[grant.name] if grant.issued_at <= answer.asked_at and answer.answered_at < ends_at]
        window = (grant.issued_at, grant.issued_at + bound_s)
        lags = ((one.replica, one.asked_at - grant.issued_at if one.outcome == "refused" else 0.0) for one in since)
        seen_s += _longest(lags, lambda replica, window=window: not _is_troubled(history.faults, replica, window, settle_s))  # type: ignore[misc]
    refused = tuple(_wrongly_refused(history, bound_s))
    return Judgement(tuple(too_late), refused, tuple(seen_s), round_trip_s + SPREAD_S)


def must_end(revocation: Revoked, token: Token) -> bool:
    """Nobody may accept this token once the revocation is acknowledged."""
    if token.spreads or revocation.kind == "role":
        return revocation.kind == "role" and token.spreads and token.session == revocation.subject
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
    if revocation.kind != "user" or token.spreads:
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


def _is_promised(revocation: Revoked, rule: Rule) -> bool:
    """Also by a replica that something is wrong with."""
    return revocation.kind not in ("key", "everyone") or rule.must_hear


def _bound_s(revocation: Revoked, rule: Rule, bound_s: float) -> float:
    return 0.0 if rule.is_strict and revocation.kind in ("session", "user") else bound_s


def _longest(lags: Iterable[tuple[str, float]], is_well: Callable[[str], bool]) -> list[float]:
    """The longest of each replica that nothing is wrong with."""
    by_replica: dict[str, float] = {}
    for replica, lag_s in lags:
        by_replica[replica] = max(lag_s, by_replica.get(replica, 0.0))
    return [lag_s for replica, lag_s in by_replica.items() if is_well(replica)]


def _is_troubled(faults: list[Fault], replica: str, window: tuple[float, float], settle_s: float) -> bool:
    begin, end = window
    return any(
        fault.replica in (None, replica) and fault.began_at <= end and begin <= fault.ended_at + settle_s for fault in faults
    )


def _late(revocation: Revoked, answer: Answered) -> str:
    lag_s = _lag_s(revocation, answer)
    what = f"{revocation.kind} {revocation.subject}"
    return f"accepted too late: {answer.token} at {answer.replica}, {lag_s:.3f} s after {what} was acknowledged as revoked"


def _wrongly_refused(history: History, bound_s: float) -> Iterable[str]:
    for answer in history.answers:
        token = history.tokens[answer.token]
        if answer.outcome != "refused" or (token.spreads and answer.asked_at <= token.issued_at + bound_s):
            continue
        if not any(may_end(revocation, token, answer.answered_at) for revocation in history.revocations):
            yield f"refused for no reason: {answer.token} at {answer.replica}, at {answer.asked_at:.3f} s"
