"""What the gate says: pass only when it is sure, and never because nothing was measured."""

from __future__ import annotations

import pytest

from loadtests.measurement import CacheCrossCheck, CheckCount, ErrorExample, GeneratorFacts, Measurements, Series
from loadtests.verdict import Outcome, Verdict, decode, encode, judge, undecided, worst
from tests.loadtests.series import BINDING, CALM, latencies, measured, series, slo_of


def verdict_of(targets: list[str], *parts: Series, scenario: str = "validate") -> Verdict:
    return judge(measured(*parts), slo_of(targets, scenario), BINDING)


def mixed(slow: int, n: int, slow_ms: float = 80.0) -> list[float]:
    return [5.0] * (n - slow) + [slow_ms] * slow


@pytest.mark.parametrize(
    ("slow", "n", "outcome"),
    [
        (0, 1800, Outcome.PASS),
        (60, 1800, Outcome.PASS),  # 3.3 % above the limit, surely below 5 %
        (85, 1800, Outcome.INCONCLUSIVE),  # 4.7 %: p95 is below the limit, by chance as likely as not
        (95, 1800, Outcome.INCONCLUSIVE),
        (130, 1800, Outcome.FAIL),  # 7.2 %
        (0, 24, Outcome.PASS),
        (1, 24, Outcome.INCONCLUSIVE),
        (5, 24, Outcome.FAIL),
        (0, 19, Outcome.INCONCLUSIVE),  # too few for a p95
        (19, 19, Outcome.INCONCLUSIVE),
    ],
)
def test_a_percentile_passes_or_fails_only_with_its_whole_interval(slow: int, n: int, outcome: Outcome) -> None:
    assert verdict_of(["p95 < 50 ms"], series(latencies(mixed(slow, n)))).outcome is outcome


def test_the_limit_itself_belongs_to_the_operator() -> None:
    exactly = series(latencies([50.0] * 200))
    assert verdict_of(["p95 < 50 ms"], exactly).outcome is Outcome.FAIL
    assert verdict_of(["p95 <= 50 ms"], exactly).outcome is Outcome.PASS


def test_max_is_a_fact_of_the_run() -> None:
    assert verdict_of(["max < 50 ms"], series(latencies([5.0] * 20))).outcome is Outcome.PASS
    assert verdict_of(["max < 50 ms"], series(latencies([5.0] * 19 + [51.0]))).outcome is Outcome.FAIL
    assert verdict_of(["max < 50 ms"], series(latencies([5.0] * 5))).outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("hits", "n", "outcome"),
    [
        (1000, 1000, Outcome.PASS),
        (850, 1000, Outcome.PASS),
        (810, 1000, Outcome.INCONCLUSIVE),
        (700, 1000, Outcome.FAIL),
        (4, 4, Outcome.INCONCLUSIVE),
    ],
)
def test_the_hit_rate_is_judged_by_its_interval(hits: int, n: int, outcome: Outcome) -> None:
    assert verdict_of(["hit_rate >= 80 %"], series(hits=hits, lookups=n)).outcome is outcome


def test_no_cache_lookup_at_all_is_not_a_pass() -> None:
    assert verdict_of(["hit_rate >= 80 %"], series(hits=0, lookups=0)).outcome is Outcome.INCONCLUSIVE


def test_one_error_fails_a_limit_of_zero_and_the_row_says_which() -> None:
    broken = series(errors=1, examples=[ErrorExample("verify is 200", "status 500", 1)])
    found = verdict_of(["error_rate <= 0 %"], broken)
    assert found.outcome is Outcome.FAIL
    assert "1 x verify is 200: status 500" in found.reasons[0]


def test_an_arrival_that_never_ended_is_an_error() -> None:
    """A service that swallows requests must not look clean."""
    assert verdict_of(["error_rate <= 0 %"], series(planned=100, finished=99)).outcome is Outcome.FAIL


def test_an_error_budget_is_judged_by_its_interval() -> None:
    assert verdict_of(["error_rate < 1 %"], series(planned=2000, finished=2000, errors=2)).outcome is Outcome.PASS
    assert verdict_of(["error_rate < 1 %"], series(planned=2000, finished=2000, errors=18)).outcome is Outcome.INCONCLUSIVE
    assert verdict_of(["error_rate < 1 %"], series(planned=2000, finished=2000, errors=60)).outcome is Outcome.FAIL


def test_a_check_that_never_ran_fails() -> None:
    """Artillery's checks were silently not run: zero checks is no proof."""
    silent = series(checks=[CheckCount("verify is 200", 100, 0), CheckCount("names the user", 0, 0)])
    found = verdict_of(["p95 < 50 ms"], silent)
    assert found.outcome is Outcome.FAIL
    assert [row.target for row in found.rows if row.outcome is Outcome.FAIL] == ["check 'names the user' runs"]


def test_a_scenario_that_never_ran_fails() -> None:
    assert judge(measured(), slo_of(["p95 < 50 ms"]), BINDING).outcome is Outcome.FAIL


@pytest.mark.parametrize(
    "facts",
    [
        GeneratorFacts(lateness_p99_ms=51.0, lateness_max_ms=30.0, cpu_percent=20.0, dropped=0, sent=1000),
        GeneratorFacts(lateness_p99_ms=1.0, lateness_max_ms=2.0, cpu_percent=91.0, dropped=0, sent=1000),
        GeneratorFacts(lateness_p99_ms=1.0, lateness_max_ms=2.0, cpu_percent=20.0, dropped=1, sent=1000),
    ],
)
@pytest.mark.parametrize("latency_ms", [1.0, 500.0])
def test_a_saturated_generator_makes_the_run_invalid_whatever_it_measured(facts: GeneratorFacts, latency_ms: float) -> None:
    found = judge(measured(series(latencies([latency_ms] * 100)), generator=facts), slo_of(["p95 < 50 ms"]), BINDING)
    assert found.outcome is Outcome.INVALID
    assert found.exit_code == 12
    assert "generator saturated" in found.reasons[0]


def test_an_obstacle_makes_the_run_invalid_with_its_reason() -> None:
    found = judge(measured(obstacles=["unreachable: us-west2"]), slo_of(["p95 < 50 ms"]), BINDING)
    assert (found.outcome, found.rows, found.reasons) == (Outcome.INVALID, (), ("unreachable: us-west2",))


@pytest.mark.parametrize(
    ("outcome", "code"), [(Outcome.PASS, 0), (Outcome.FAIL, 10), (Outcome.INCONCLUSIVE, 12), (Outcome.INVALID, 12)]
)
def test_each_outcome_has_its_exit_code(outcome: Outcome, code: int) -> None:
    assert Verdict(outcome, (), (), "r", "s", "i", "d", "c").exit_code == code


def test_the_worst_row_decides() -> None:
    assert worst([Outcome.PASS, Outcome.INCONCLUSIVE, Outcome.FAIL]) is Outcome.FAIL
    assert worst([Outcome.PASS, Outcome.INCONCLUSIVE]) is Outcome.INCONCLUSIVE
    assert worst([]) is Outcome.INCONCLUSIVE


def test_only_what_is_merely_undecided_gets_a_second_look() -> None:
    """A failure must not be looked at until it passes."""
    assert undecided(verdict_of(["p95 < 50 ms"], series(latencies([1.0] * 5)))) == (("validate", "us-west2"),)
    assert undecided(verdict_of(["p95 < 50 ms"], series(latencies([1.0] * 100)))) == ()
    assert undecided(verdict_of(["p95 < 50 ms", "error_rate <= 0 %"], series(latencies([1.0] * 5), errors=1))) == ()


@pytest.mark.parametrize(
    ("lookups", "hits", "expected"),
    [(150, 120, [Outcome.PASS]), (150, 40, [Outcome.FAIL]), (60, 40, [])],
)
def test_x_cache_is_held_against_the_replicas_own_counters(lookups: int, hits: int, expected: list[Outcome]) -> None:
    """A service that says l1 on every answer must not pass; counters of only some replicas prove nothing."""
    found = Measurements((series(),), CALM, (), (CacheCrossCheck("us-west2", lookups, hits),))
    rows = judge(found, slo_of(["hit_rate >= 80 %"]), BINDING).rows
    assert [row.outcome for row in rows if row.target == "X-Cache tells the truth"] == expected


def test_margin_is_the_share_of_the_limit_that_is_left() -> None:
    rows = verdict_of(
        ["p95 < 50 ms", "hit_rate >= 80 %", "error_rate <= 0 %"], series(latencies([10.0] * 100), hits=100, errors=3)
    ).rows
    assert [row.margin for row in rows] == pytest.approx([0.8, 0.25, -0.03])


def test_a_verdict_survives_its_file() -> None:
    found = judge(measured(series(errors=1), generator=CALM), slo_of(["p95 < 50 ms", "error_rate <= 0 %"]), BINDING)
    assert decode(encode(found)) == found
    assert (found.release, found.stack, found.run_id) == ("sha256:abc", "dev", "run-1")
