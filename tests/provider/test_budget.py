"""The budget of requests: learnt from answers, never overdrawn, and no brake while there is plenty."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.provider.budget import Budget, Window, window_of

EPOCH = 1_700_000_000.0


class Api:
    """Counts as Railway does: so many requests in each window, and every answer says what is left of it."""

    def __init__(self, limit: int, length_s: float) -> None:
        self.limit, self.length_s = limit, length_s
        self.used: Counter[int] = Counter()

    def asked(self, now: float) -> Window:
        number = int(now // self.length_s)
        self.used[number] += 1
        assert self.used[number] <= self.limit, "the window is overdrawn"
        return Window(self.limit, self.limit - self.used[number], (number + 1) * self.length_s - now)


@dataclass
class Life:
    """Callers, one wire and one clock: who is first in line asks the budget, and the wire carries eight at a time."""

    api: Api
    ways_s: Sequence[float]
    """How long requests and answers take, in turn."""
    budget: Budget = field(default_factory=Budget)
    now: float = 0.0
    sent: list[int] = field(default_factory=list)

    def run(self, callers: Sequence[float]) -> None:
        """`callers` come at these times; returns when all are served."""
        ways = itertools.cycle(self.ways_s)
        line = deque(sorted(enumerate(callers), key=lambda each: each[1]))
        events: list[tuple[float, int, Window | None, int]] = []  # arrivals (no window yet) and landings
        while line or events:
            soonest = self._ask(line, ways, events)
            self.now = min([each[0] for each in events] + soonest)
            if events and events[0][0] <= self.now:
                at, number, window, begun_in = heapq.heappop(events)
                if window is None:
                    heapq.heappush(events, (at + next(ways), number, self.api.asked(at), begun_in))
                else:
                    self.budget.landed(window, at, begun_in)

    def _ask(self, line: deque[tuple[int, float]], ways: Iterator[float], events: list[Any]) -> list[float]:
        """When the first in line is to ask again; nothing where the wire has to be free first."""
        while line and len(events) < 8:
            number, comes_at = line[0]
            if comes_at > self.now:
                return [comes_at]
            wait_s = self.budget.take(self.now)
            assert wait_s >= 0
            if wait_s > 0:
                return [self.now + wait_s]
            line.popleft()
            self.sent.append(number)
            heapq.heappush(events, (self.now + next(ways), number, None, self.budget.windows))
        return []


WAYS = st.lists(st.floats(0.001, 2.0), min_size=1, max_size=20)


@given(st.integers(8, 60), st.floats(5, 100), WAYS, st.lists(st.floats(0, 200), min_size=1, max_size=150))
@settings(deadline=None)
def test_no_window_is_overdrawn_and_everybody_is_served_in_turn(
    limit: int, length_s: float, ways_s: list[float], callers: list[float]
) -> None:
    """However slow the wire, whenever they come: the API never has to refuse, and nobody waits for ever or is overtaken."""
    life = Life(Api(limit, length_s), ways_s)
    life.run(callers)
    assert life.sent == [number for number, _ in sorted(enumerate(callers), key=lambda each: each[1])]


@given(st.integers(40, 400), st.integers(1, 5), st.floats(0.001, 0.2))
@settings(deadline=None)
def test_hardly_anything_of_a_window_is_left_unused(limit: int, windows: int, way_s: float) -> None:
    """A brake that is too careful makes a large stack slow: of each window all but a wireful is used."""
    life = Life(Api(limit, 60.0), [way_s])
    life.run([0.0] * (limit * windows))
    full = list(life.api.used.values())[:-1]
    assert all(used >= limit - 8 for used in full), full


@given(st.integers(20, 1000), st.integers(1, 50))
def test_nobody_waits_while_there_is_plenty(limit: int, requests: int) -> None:
    budget = told(Window(limit, limit, 3600))
    plenty = min(requests, int(limit * 0.9) - 1)
    assert [budget.take(1.0) for _ in range(plenty)] == [0.0] * plenty


def told(*windows: Window) -> Budget:
    """A budget after these answers, given at 0 to requests that were under way together."""
    budget = Budget()
    for _ in windows:
        budget.take(0.0)
    for window in windows:
        budget.landed(window, 0.0, budget.windows)
    return budget


def test_the_last_tenth_is_spread_over_the_time_that_is_left() -> None:
    budget = told(Window(100, 10, 50))
    assert [budget.take(at) for at in (0.0, 0.0, 5.0, 5.0, 9.0)] == [0.0, 5.0, 0.0, 5.0, 1.0]


def test_answers_that_overtake_each_other_do_not_refill() -> None:
    budget = told(Window(100, 1, 50), Window(100, 40, 50))
    assert budget.take(0.0) == 50.0


def test_an_answer_from_before_the_reset_says_nothing_of_the_new_window() -> None:
    budget = told(Window(10, 10, 50))
    assert budget.take(0.0) == 0.0
    assert budget.take(50.0) == 0.0
    late = budget.windows - 1
    budget.landed(Window(10, 9, 0), 50.5, late)
    assert [budget.take(50.6) for _ in range(8)] == [0.0] * 8
    assert budget.take(50.6) > 0


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
