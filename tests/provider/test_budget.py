"""The budget of requests: learnt from answers, never overdrawn, and no brake while there is plenty."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.provider.budget import Budget, Window, window_of

EPOCH = 1_700_000_000.0


@given(st.integers(1, 200), st.integers(1, 400), st.floats(0, 0.5), st.integers(0, 100))
def test_a_window_is_never_overdrawn(limit: int, requests: int, pause_s: float, spent: int) -> None:
    """One request after the other against an API that counts: no request finds the window empty."""
    budget, now, length_s, start = Budget(), 0.0, 60.0, 0.0
    used = min(spent, limit - 1)
    for number in range(requests):
        now += budget.take(now) + pause_s
        if now >= start + length_s:
            start, used = now - (now - start) % length_s, 0
        assert used < limit or number == 0
        used += 1
        budget.learn(Window(limit, limit - used, start + length_s - now), now)


@given(st.integers(20, 1000), st.integers(1, 50))
def test_nobody_waits_while_there_is_plenty(limit: int, requests: int) -> None:
    budget = Budget()
    budget.learn(Window(limit, limit, 3600), 0.0)
    plenty = min(requests, int(limit * 0.9) - 1)
    assert [budget.take(1.0) for _ in range(plenty)] == [0.0] * plenty


def test_the_last_tenth_is_spread_over_the_time_that_is_left() -> None:
    budget = Budget()
    budget.learn(Window(100, 10, 50), 0.0)
    assert [round(budget.take(0.0), 6) for _ in range(4)] == [0.0, 5.0, 10.0, 15.0]


def test_answers_that_overtake_each_other_do_not_refill() -> None:
    budget = Budget()
    budget.learn(Window(100, 1, 50), 0.0)
    budget.learn(Window(100, 40, 50), 0.0)
    budget.take(0.0)
    assert budget.take(0.0) == 50.0


def test_a_new_window_is_a_new_budget() -> None:
    budget = Budget()
    budget.learn(Window(100, 0, 50), 0.0)
    assert budget.take(20.0) == 30.0
    assert budget.take(50.0) == 0.0
    budget.learn(Window(100, 99, 60), 51.0)
    assert budget.take(51.0) == 0.0


def test_a_pause_holds_even_when_nothing_else_is_known() -> None:
    budget = Budget()
    budget.pause(7, 100.0)
    budget.pause(3, 100.0)
    assert [budget.take(100.0), budget.take(104.0), budget.take(107.0)] == [7.0, 3.0, 0.0]


def headers(reset: str, limit: str = "100", left: str = "9", **more: str) -> dict[str, str]:
    return {"x-ratelimit-limit": limit, "x-ratelimit-remaining": left, "x-ratelimit-reset": reset, **more}


@pytest.mark.parametrize(
    ("given_headers", "expected"),
    [
        ({}, None),
        (headers("60"), Window(100, 9, 60)),
        (headers(str(EPOCH + 90)), Window(100, 9, 90)),
        # By the API's own clock, which need not be ours.
        (headers("1792567690", date="Wed, 21 Oct 2026 07:28:00 GMT"), Window(100, 9, 10)),
        (headers("soon"), None),
        (headers("-1"), None),
        (headers("nan"), None),
        (headers(str(EPOCH - 90)), None),
        (headers("60", limit="0"), None),
        (headers("60", left="-1"), None),
        (headers("60", left="many"), None),
    ],
)
def test_headers_are_read_or_left_alone(given_headers: dict[str, str], expected: Window | None) -> None:
    assert window_of(given_headers, EPOCH) == expected
