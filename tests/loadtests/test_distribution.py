"""Percentiles and their intervals: the arithmetic that verdicts stand on."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.distribution import binomial_cdf, from_values, interval_ranks, merged, share_interval


@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=300), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_a_percentile_is_the_nearest_rank(values: list[int], fraction: float) -> None:
    rank = max(1, math.ceil(fraction * len(values) - 1e-9))
    assert from_values(values).percentile(fraction) == sorted(values)[rank - 1]


@given(st.lists(st.integers(1, 1000), max_size=50), st.lists(st.integers(1, 1000), max_size=50))
def test_merging_is_the_same_as_measuring_together(left: list[int], right: list[int]) -> None:
    assert merged([from_values(left), from_values(right)]) == from_values(left + right)


@given(st.integers(1, 60), st.floats(0.01, 0.99), st.data())
def test_the_binomial_agrees_with_its_definition(n: int, p: float, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n))
    expected = sum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k + 1))
    assert binomial_cdf(k, n, p) == pytest.approx(expected, abs=1e-9)


def test_the_binomial_stands_large_n() -> None:
    assert binomial_cdf(950_000, 1_000_000, 0.95) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(("n", "low", "high"), [(100, 90, 99), (1000, 936, 964), (10_000, 9457, 9543)])
def test_ranks_of_p95_match_the_published_tables(n: int, low: int, high: int) -> None:
    """To one rank: tables differ in how they share the error between the sides."""
    found_low, found_high, confidence = interval_ranks(n, 0.95, 0.95)
    assert abs(found_low - low) <= 1
    assert abs(found_high - high) <= 1
    assert confidence >= 0.94


def test_few_samples_attain_less_confidence_and_say_so() -> None:
    """24 samples cannot bound p95 from above: the largest sample is all there is."""
    _low, high, confidence = interval_ranks(24, 0.95, 0.95)
    assert high == 24
    assert confidence == pytest.approx(1 - 0.95**24, abs=0.03)


def test_the_interval_encloses_the_true_percentile_as_often_as_it_says() -> None:
    rng = random.Random(7)  # noqa: S311  a simulation
    true_p95 = -math.log(0.05) * 10_000
    trials, n = 400, 300
    enclosed = 0
    for _ in range(trials):
        interval = from_values(round(rng.expovariate(1 / 10_000)) for _ in range(n)).interval(0.95)
        enclosed += interval.low_us <= true_p95 <= interval.high_us
    assert enclosed / trials >= 0.92


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"), [(0, 10, 0, 0.3085), (10, 10, 0.6915, 1), (80, 100, 0.7082, 0.8733), (0, 0, 0, 1)]
)
def test_shares_have_clopper_and_pearsons_interval(hits: int, n: int, low: float, high: float) -> None:
    assert share_interval(hits, n) == pytest.approx((low, high), abs=1e-4)


def test_nothing_measured_is_zero_and_not_an_error() -> None:
    empty = from_values([])
    assert (empty.n, empty.percentile(0.95), empty.max_us) == (0, 0, 0)
