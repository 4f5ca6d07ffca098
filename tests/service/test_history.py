"""The promises about revocation, under seeds that cut, freeze and slow links, stop and kill processes, and set clocks wrong.

New seeds: `python -m tests.service.simulation --first N --seeds COUNT`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from loadtests.history import Answered, Fault, History, Revoked, Token, judge
from service.cache.authenticator import Authenticator
from service.revocation.feed import RevocationFeed
from service.revocation.records import Revocations, Standing
from tests.service.simulation import Variant, simulate

SEEDS = range(12)
SEEDS_TO_CATCH = 150
ANN = Token("ann's", "ann", "s1", "k", 1.0, 1.0)


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


def heard_when_it_was_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    poll = RevocationFeed._poll

    async def broken(self: RevocationFeed, connection: Any, timeout_s: float) -> None:
        await poll(self, connection, timeout_s)
        self.heard_at = self._clock.monotonic()

    monkeypatch.setattr(RevocationFeed, "_poll", broken)


def heard_by_a_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A notice says that one line came, not that none is missing."""
    notice = RevocationFeed._on_notice

    def broken(self: RevocationFeed, *arguments: Any) -> None:
        notice(self, *arguments)
        self.heard_at = self._clock.monotonic()

    monkeypatch.setattr(RevocationFeed, "_on_notice", broken)


def poll_from_the_newest_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction that began earlier and ended later is passed over."""
    from tests.service.simulation import Primary

    def broken(self: Primary, floor: int) -> list[dict[str, Any]]:
        newest = str(max((number for number, _ in self._lines), default=0) + 1)
        found = [{**line, "xmin": newest, "position": None} for number, line in self._lines if number >= floor]
        return found or [{"sequence": None, "xmin": newest, "position": None}]

    monkeypatch.setattr(Primary, "poll", broken)


def flight_is_believed_whenever_it_lands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Authenticator, "check_still_good", lambda *_, **__: None)


def doubt_is_taken_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    standing = Revocations.standing

    def broken(self: Revocations, *arguments: Any) -> Standing:
        found = standing(self, *arguments)
        return Standing.GOOD if found is Standing.DOUBTFUL else found

    monkeypatch.setattr(Revocations, "standing", broken)


def issuer_is_believed_though_the_rule_is_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    authenticate = Authenticator.authenticate

    async def broken(self: Authenticator, token: bytes, **_: Any) -> Any:
        return await authenticate(self, token)

    monkeypatch.setattr(Authenticator, "authenticate", broken)


def everybody_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Revocations, "standing", lambda *_: Standing.REVOKED)


# The number is the first seed that catches it; the search goes on from there should the schedules ever change.
BROKEN: dict[str, tuple[Callable[[pytest.MonkeyPatch], None] | None, Variant, int]] = {
    "no bound on the evidence's age": (None, Variant(staleness_max_s=1e9), 0),
    "a clock that stops with its process": (None, Variant(clock_stops_with_process=True), 10),
    **{
        function.__name__.replace("_", " "): (function, Variant(), seed)
        for function, seed in (
            (heard_when_it_was_answered, 14),
            (heard_by_a_notice, 40),
            (poll_from_the_newest_line, 1),
            (flight_is_believed_whenever_it_lands, 14),
            (doubt_is_taken_for_good, 0),
            (issuer_is_believed_though_the_rule_is_to_refuse, 21),
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


def history(*answers: Answered, revoked: Revoked | None = None, faults: tuple[Fault, ...] = ()) -> History:
    told = Revoked("session", "s1", 10.0, 10.0) if revoked is None else revoked
    return History({ANN.name: ANN}, [told], list(answers), list(faults))


def answer(asked_at: float, outcome: Any = "accepted", answered_at: float | None = None) -> Answered:
    return Answered(asked_at, asked_at if answered_at is None else answered_at, "near", ANN.name, outcome)


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
]


@pytest.mark.parametrize(("told", "holds"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_checker(told: History, holds: bool):
    assert judge(told, round_trip_s=0.02).holds is holds
