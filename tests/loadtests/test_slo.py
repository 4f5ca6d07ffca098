"""The SLO file: what stands in it counts, and what does not belong into it is an error with its path."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtests.slo import Metric, SloError, load_slo, parse_slo, parse_target

SHIPPED = Path(__file__).resolve().parents[2] / "loadtests" / "slo.yaml"


@pytest.mark.parametrize(
    ("text", "metric", "fraction", "limit", "unit", "is_strict"),
    [
        ("p95 < 50 ms", Metric.LATENCY, 0.95, 50, "ms", True),
        ("p99.9<=1.5s", Metric.LATENCY, 0.999, 1500, "ms", False),
        ("max < 2000 ms", Metric.LATENCY, 1.0, 2000, "ms", True),
        ("  hit_rate >= 80 % ", Metric.HIT_RATE, None, 80, "%", False),
        ("error_rate <= 0 %", Metric.ERROR_RATE, None, 0, "%", False),
    ],
)
def test_a_target_is_read(text: str, metric: Metric, fraction: float | None, limit: float, unit: str, is_strict: bool) -> None:
    target = parse_target(text, "here")
    assert (target.metric, target.limit, target.unit, target.is_strict) == (metric, limit, unit, is_strict)
    assert target.fraction == (None if fraction is None else pytest.approx(fraction))


@pytest.mark.parametrize(
    "text",
    [
        "p95 > 50 ms",
        "hit_rate <= 80 %",
        "error_rate >= 1 %",
        "p95 < 50 %",
        "error_rate < 5 ms",
        "p0 < 5 ms",
        "p100 < 5 ms",
        "p995 < 5 ms",
        "q95 < 50 ms",
        "hitrate >= 80 %",
        "p95 < fast",
        "p95 < 50",
        "p95 == 50 ms",
        "hit_rate >= 180 %",
        "",
        None,
        95,
        "p95 < 50 ms and more",
        "p95 < -1 ms",
    ],
)
def test_a_target_that_could_never_be_missed_or_met_is_an_error(text: object) -> None:
    """A typo in a threshold must not turn it off."""
    with pytest.raises(SloError, match=r"^scenarios/x/targets/0: expected .*, given "):
        parse_target(text, "scenarios/x/targets/0")


GOOD = {"version": 1, "scenarios": {"login": {"rate_per_s": 2, "targets": ["p95 < 200 ms"]}}}


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"version": 2}, "version"),
        ({"scenario": {}}, "scenario"),
        ({"scenarios": {}}, "scenarios"),
        ({"scenarios": {"logn": {}}}, "scenarios/logn"),
        ({"scenarios": {"login": {"rate_per_s": 2, "target": ["p95 < 1 ms"]}}}, "scenarios/login/target"),
        ({"scenarios": {"login": {"rate_per_s": 2, "targets": []}}}, "scenarios/login/targets"),
        ({"scenarios": {"login": {"rate_per_s": 0, "targets": ["p95 < 1 ms"]}}}, "scenarios/login/rate_per_s"),
        ({"scenarios": {"login": {"rate_per_s": True, "targets": ["p95 < 1 ms"]}}}, "scenarios/login/rate_per_s"),
        ({"scenarios": {"login": {"targets": ["p95 < 1 ms"]}}}, "scenarios/login/rate_per_s"),
        ({"scenarios": {"login": {"rate_per_s": 2, "targets": ["hit_rate >= 80 %"]}}}, "scenarios/login/targets/0"),
        ({"scenarios": {"login": {"rate_per_s": 2, "targets": ["p95 < 1 ms"], "bound_ms": 5}}}, "scenarios/login/bound_ms"),
        ({"run": {"durations": 5}}, "run/durations"),
        ({"run": {"arrivals": "steady"}}, "run/arrivals"),
        ({"run": {"duration_s": "12"}}, "run/duration_s"),
        ({"run": None}, "run"),
        ({"generator": {"cpu": 90}}, "generator/cpu"),
    ],
)
def test_what_does_not_belong_names_its_path(change: dict[str, object], path: str) -> None:
    with pytest.raises(SloError, match=f"^{path}: expected .*, given "):
        parse_slo({**GOOD, **change}, "digest")


def test_the_same_key_twice_is_an_error(tmp_path: Path) -> None:
    """YAML would let the later one silently win."""
    file = tmp_path / "slo.yaml"
    file.write_text("version: 1\nscenarios:\n  login: {rate_per_s: 2, rate_per_s: 3, targets: [p95 < 1 ms]}\n")
    with pytest.raises(SloError, match="rate_per_s"):
        load_slo(file)


@pytest.mark.parametrize("content", ["version: [", "just text", "", "- 1"])
def test_a_file_that_is_no_mapping_is_an_error(tmp_path: Path, content: str) -> None:
    file = tmp_path / "slo.yaml"
    file.write_text(content)
    with pytest.raises(SloError):
        load_slo(file)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SloError, match="readable SLO file"):
        load_slo(tmp_path / "none.yaml")


def test_the_shipped_file_holds_the_promised_targets() -> None:
    """These are the project's promises; changing one is a decision, not an accident."""
    found = {scenario.name: [target.text for target in scenario.targets] for scenario in load_slo(SHIPPED).scenarios}
    assert found == {
        "validate": ["p95 < 50 ms", "hit_rate >= 80 %", "error_rate <= 0 %"],
        "login": ["p95 < 200 ms", "error_rate <= 0 %"],
        "preflight": ["p95 < 50 ms", "error_rate <= 0 %"],
        "health": ["p95 < 100 ms", "error_rate <= 0 %"],
        "revoke_then_validate": ["max < 2000 ms", "error_rate <= 0 %"],
    }


def test_the_shipped_rates_give_every_target_enough_samples() -> None:
    """Otherwise the default gate would be inconclusive by design."""
    from loadtests.verdict import SAMPLES_MIN_FOR_RATE, samples_min

    slo = load_slo(SHIPPED)
    for scenario in slo.scenarios:
        expected = scenario.rate_per_s * slo.run.duration_s
        for target in scenario.targets:
            needed = SAMPLES_MIN_FOR_RATE if target.fraction is None else samples_min(target.fraction)
            assert expected >= needed, f"{scenario.name}: {target.text}"
