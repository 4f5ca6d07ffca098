"""Builders for measurements: only what a test is about is named in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from loadtests.distribution import Distribution, from_values
from loadtests.measurement import CheckCount, ErrorExample, GeneratorFacts, Measurements, Series
from loadtests.slo import Slo, parse_slo
from loadtests.verdict import Binding

CALM = GeneratorFacts(lateness_p99_ms=1.0, lateness_max_ms=2.0, cpu_percent=20.0, dropped=0, sent=1000)
BINDING = Binding("sha256:abc", "dev", "run-1", "python -m loadtests run")


def slo_of(targets: Sequence[str], scenario: str = "validate") -> Slo:
    return parse_slo({"version": 1, "scenarios": {scenario: {"rate_per_s": 10, "targets": list(targets)}}}, "d")


def latencies(milliseconds: Iterable[float]) -> Distribution:
    return from_values(round(1000 * one) for one in milliseconds)


def series(
    latency: Distribution | None = None,
    *,
    scenario: str = "validate",
    planned: int = 100,
    finished: int = 100,
    errors: int = 0,
    hits: int = 100,
    lookups: int = 100,
    checks: Sequence[CheckCount] = (),
    examples: Sequence[ErrorExample] = (),
) -> Series:
    return Series(
        scenario,
        "us-west2",
        planned,
        finished,
        errors,
        latency or latencies([1.0] * 100),
        tuple(checks),
        tuple(examples),
        (),
        hits,
        lookups,
    )


def measured(*parts: Series, generator: GeneratorFacts = CALM, obstacles: Sequence[str] = ()) -> Measurements:
    return Measurements(parts, generator, tuple(obstacles))
