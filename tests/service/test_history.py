"""The promises about revocation, under seeds that cut, freeze and slow links, stop and kill processes, and set clocks wrong.

New seeds: `python -m tests.service.simulation --first N --seeds COUNT`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import structlog

from loadtests.history import Answered, Fault, History, Revoked, Rule, Token, judge
from service.accounts.positions import Positions
from service.cache.authenticator import Authenticator
from service.cache.introspection import Verifier
from service.revocation.feed import RevocationFeed
from service.revocation.records import Revocations, Standing
from service.web import auth_endpoints
from tests.service.simulation import Variant, simulate

SEEDS = range(12)
SEEDS_TO_CATCH = 150
ANN = Token("ann's", "ann", "s1", "k", 1.0, 1.0)
EDITOR = Token("ann as editor", "", "editor", "ann", 5.0, 1.0, spreads=True)
TAKEN = Revoked("role", "editor", 10.0, 10.0)
KEY = Revoked("key", "k", 10.0, 10.0)
CUT = (Fault("cut", "near", 9.0, 40.0),)
RULES = {"strict": Rule(is_strict=True), "lax": Rule(must_hear=False)}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Thousands of lost feeds are not worth a line each."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**before)


def test_promises_hold_whatever_goes_wrong():
    """Replicas that accept nobody, or are never well, would promise nothing: there must be enough of either."""
    seen_s: list[float] = []
    for seed in SEEDS:
        judgement, history = simulate(seed)
        assert judgement.holds, f"seed {seed}: {judgement}"
        assert sum(answer.outcome == "accepted" for answer in history.answers) >= 50
        seen_s += judgement.seen_s
    assert len(seen_s) >= 10


# Broken variants: each must be caught by some seed, or the checker and the schedules prove nothing.


def flight_is_believed_whenever_it_lands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Authenticator, "check_still_good", lambda *_, **__: None)


def doubt_is_taken_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    standing = Revocations.standing

    def broken(self: Revocations, *arguments: Any) -> Standing:
        found = standing(self, *arguments)
        return Standing.GOOD if found is Standing.DOUBTFUL else found

    monkeypatch.setattr(Revocations, "standing", broken)


def issuer_is_believed_though_the_rule_is_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = Authenticator._is_fresh
    monkeypatch.setattr(Authenticator, "is_deaf", False)
    monkeypatch.setattr(Authenticator, "_is_fresh", lambda self, entry, _must_hear: fresh(self, entry, False))


def strict_is_answered_from_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    authenticate = Verifier.authenticate

    async def broken(self: Verifier, token: bytes, route: Any, **_: Any) -> Any:
        self._policies = {name: replace(policy, is_strict=False) for name, policy in self._policies.items()}
        return await authenticate(self, token, route)

    monkeypatch.setattr(Verifier, "authenticate", broken)


def user_is_answered_for_as_long_as_it_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Authenticator, "is_servable", lambda self, entry, **_: self._wall() < entry.good_until)


def log_out_is_known_here_only(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any) -> list[Any]:
        return []

    monkeypatch.setattr(auth_endpoints, "write_logout", broken)


def standby_is_believed_however_old(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any) -> int:
        return 0

    monkeypatch.setattr(Positions, "of", broken)


def change_of_a_role_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Positions, "changed", lambda *_: None)


def place_in_the_log_is_one_from_before_the_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    within = RevocationFeed.position_within
    monkeypatch.setattr(RevocationFeed, "position_within", lambda self, age_s, _later_than: within(self, age_s))


def everybody_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Revocations, "standing", lambda *_: Standing.REVOKED)


# The number is the first seed that catches it; the search goes on from there should the schedules ever change.
BROKEN: dict[str, tuple[Callable[[pytest.MonkeyPatch], None] | None, Variant, int]] = {
    "no bound on the evidence's age": (None, Variant(staleness_max_s=1e9), 7),
    "a clock that stops with its process": (None, Variant(clock_stops_with_process=True), 52),
    **{
        breaking.__name__.replace("_", " "): (breaking, Variant(), seed)
        for breaking, seed in (
            (flight_is_believed_whenever_it_lands, 76),
            (doubt_is_taken_for_good, 0),
            (issuer_is_believed_though_the_rule_is_to_refuse, 8),
            (strict_is_answered_from_memory, 1),
            (user_is_answered_for_as_long_as_it_is_kept, 0),
            (log_out_is_known_here_only, 0),
            (standby_is_believed_however_old, 0),
            (change_of_a_role_is_not_told, 2),
            (place_in_the_log_is_one_from_before_the_notice, 2),
            (everybody_is_refused, 0),
        )
    },
}


@pytest.mark.parametrize(("break_it", "variant", "seed"), BROKEN.values(), ids=BROKEN.keys())
def test_broken_variant_is_caught(
    break_it: Callable[[pytest.MonkeyPatch], None] | None, variant: Variant, seed: int, monkeypatch: pytest.MonkeyPatch
):
    if break_it is not None:
        break_it(monkeypatch)
    assert any(not simulate(number, variant)[0].holds for number in range(seed, seed + SEEDS_TO_CATCH))


# The checker itself, on histories written by hand.


def history(*answers: Answered, revoked: Revoked | None = None, faults: tuple[Fault, ...] = (), token: Token = ANN) -> History:
    told = Revoked("session", "s1", 10.0, 10.0) if revoked is None else revoked
    return History({token.name: token}, [told], list(answers), list(faults), RULES)


def answer(asked_at: float, outcome: Any = "accepted", answered_at: float | None = None, route: str = "") -> Answered:
    return Answered(asked_at, asked_at if answered_at is None else answered_at, "near", ANN.name, outcome, route)


def role_answer(asked_at: float, outcome: Any = "accepted") -> Answered:
    return Answered(asked_at, asked_at, "near", EDITOR.name, outcome, "lax")


CASES = [
    ("asked before, answered long after", history(answer(9.9, answered_at=30.0)), True),
    ("within the bound while cut off", history(answer(11.9), faults=(Fault("cut", "near", 9.0, 20.0),)), True),
    ("past the bound while cut off", history(answer(12.1), faults=(Fault("cut", "near", 9.0, 20.0),)), False),
    ("too slow for one that nothing is wrong with", history(answer(11.0), answer(12.0, "refused")), False),
    ("quick enough", history(answer(10.04), answer(10.2, "refused")), True),
    ("another replica's fault is no excuse", history(answer(11.0), faults=(Fault("cut", "far", 9.0, 20.0),)), False),
    ("never acknowledged", history(answer(60.0), revoked=Revoked("session", "s1", 10.0)), True),
    ("refused without a reason", history(answer(5.0, "refused")), False),
    ("unavailable needs no reason", history(answer(5.0, "unavailable")), True),
    ("spared", history(answer(30.0), revoked=Revoked("user", "ann", 10.0, 10.0, 10.0, "s1")), True),
    ("spared and refused", history(answer(30.0, "refused"), revoked=Revoked("user", "ann", 10.0, 10.0, 10.0, "s1")), False),
    ("issued after the watermark", history(answer(30.0), revoked=Revoked("user", "ann", 0.5, 0.6, 0.0)), True),
    ("by key", history(answer(30.0), revoked=Revoked("key", "k", 10.0, 10.0)), False),
    ("by age", history(answer(30.0), revoked=Revoked("everyone", "", 10.0, 10.0, 1.0)), False),
    ("young enough", history(answer(30.0), revoked=Revoked("everyone", "", 10.0, 10.0, 0.0)), True),
    (
        "a role that was taken away, shown past the bound",
        history(role_answer(13.0), revoked=Revoked("role", "editor", 10.0, 10.0), token=EDITOR),
        False,
    ),
    ("a role that was taken away and is gone", history(role_answer(10.1, "refused"), revoked=TAKEN, token=EDITOR), True),
    ("a role that nobody took away, missing", history(role_answer(9.0, "refused"), revoked=TAKEN, token=EDITOR), False),
    ("a role that was only just given, missing", history(role_answer(5.04, "refused"), revoked=TAKEN, token=EDITOR), True),
    ("a role that should have got around", history(role_answer(6.0, "refused"), revoked=TAKEN, token=EDITOR), False),
    ("another role's end", history(role_answer(30.0), revoked=Revoked("role", "other", 10.0, 10.0), token=EDITOR), True),
    ("strict, a moment later", history(answer(10.01, route="strict")), False),
    ("strict, asked before", history(answer(9.99, answered_at=10.5, route="strict")), True),
    ("by key, where a cut-off route goes on", history(answer(30.0, route="lax"), revoked=KEY, faults=CUT), True),
    ("by key, where a cut-off route must hear", history(answer(30.0), revoked=KEY, faults=CUT), False),
    ("by key, where a route goes on but is not cut off", history(answer(30.0, route="lax"), revoked=KEY), False),
]


@pytest.mark.parametrize(("told", "holds"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_checker(told: History, holds: bool):
    assert judge(told, round_trip_s=0.02).holds is holds
