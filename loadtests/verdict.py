"""Measurements and targets in, a verdict out. Pure: no clock, no file, no network.

Rules (docs/gate.md explains them):
  invalid        the generator was saturated, or a target could not be reached at the start; nothing was learned
  fail           the whole interval of a measured value is on the wrong side of its limit; a check that never ran; any error
                 when the limit is 0
  inconclusive   too few samples, or the interval straddles the limit: "cannot separate" is never a pass
  pass           the whole interval is on the right side
The worst row decides, in that order. An interval holds 95 % (two-sided) where the number of samples allows; where it does not,
its upper end is the largest sample, and the row says which confidence that attains.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

import msgspec

from loadtests.distribution import share_interval
from loadtests.measurement import CacheCrossCheck, GeneratorFacts, Measurements, Series
from loadtests.slo import GeneratorBounds, Metric, ScenarioSlo, Slo, Target

CONFIDENCE = 0.95
SAMPLES_MIN_FOR_MAX = 10
SAMPLES_MIN_FOR_RATE = 5


class Outcome(StrEnum):
    PASS = "pass"  # noqa: S105  a verdict, not a password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    INVALID = "invalid"


EXIT_CODE = {Outcome.PASS: 0, Outcome.FAIL: 10, Outcome.INCONCLUSIVE: 12, Outcome.INVALID: 12}
_WORST_FIRST = (Outcome.INVALID, Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.PASS)


@dataclass(frozen=True, slots=True)
class Row:
    """One target of one scenario in one region.

    `limit`, `measured`, `low` and `high` are in `unit`; `low` to `high` is the interval of the measured value. `margin` is the
    share of the limit that is left: 0.4 is 40 % to spare, negative is beyond the limit, None where nothing was measured.
    """

    scenario: str
    region: str
    target: str
    limit: float
    unit: str
    measured: float | None
    low: float | None
    high: float | None
    margin: float | None
    n: int
    confidence: float
    outcome: Outcome
    note: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Bound to the release, the stack and the SLO text it was measured against. `reasons` says why it is not a pass."""

    outcome: Outcome
    rows: tuple[Row, ...]
    reasons: tuple[str, ...]
    release: str
    stack: str
    run_id: str
    slo_digest: str
    command: str

    @property
    def exit_code(self) -> int:
        """0 pass, 10 fail, 12 could not measure."""
        return EXIT_CODE[self.outcome]


@dataclass(frozen=True, slots=True)
class Binding:
    """What a verdict is about; `command` runs the same gate again."""

    release: str
    stack: str
    run_id: str
    command: str


def judge(measurements: Measurements, slo: Slo, binding: Binding) -> Verdict:
    """The verdict of one run."""
    by_scenario = {scenario.name: scenario for scenario in slo.scenarios}
    counters = {check.region: check for check in measurements.cross_checks}
    invalid = [*measurements.obstacles, *_generator_reasons(measurements.generator, slo.generator)]
    rows: list[Row] = []
    for series in measurements.series:
        scenario = by_scenario[series.scenario]
        rows += [judge_target(target, series) for target in scenario.targets]
        rows += _cross_checked(series, counters.get(series.region))
        # In an invalid run silence is the generator's fault, not the scenario's.
        rows += [] if invalid else _silent_checks(series)
    rows += [] if invalid else _missing(slo.scenarios, measurements.series)
    outcome = Outcome.INVALID if invalid else worst(row.outcome for row in rows)
    reasons = invalid or [_sentence(row) for row in rows if row.outcome is not Outcome.PASS]
    return Verdict(
        outcome, tuple(rows), tuple(reasons), binding.release, binding.stack, binding.run_id, slo.digest, binding.command
    )


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """The worst of them; without any there was nothing to judge, which is inconclusive."""
    present = set(outcomes)
    return next((outcome for outcome in _WORST_FIRST if outcome in present), Outcome.INCONCLUSIVE)


def judge_target(target: Target, series: Series) -> Row:
    """One row."""
    if target.metric is Metric.LATENCY:
        return _judge_latency(target, series)
    if target.metric is Metric.HIT_RATE:
        return _judge_rate(target, series, series.cache_hits, series.cache_lookups)
    # An arrival that never came to an end is an error too: a service that swallows requests must not look clean.
    lost = max(0, series.planned - series.finished)
    row = _judge_rate(target, series, series.errors + lost, series.finished + lost)
    return replace(row, note=row.note or _first_errors(series, lost)) if row.outcome is not Outcome.PASS else row


def _first_errors(series: Series, lost: int) -> str:
    """What went wrong most often, so that the table alone already says why."""
    parts = [f"{one.count} x {one.check}: {one.detail}" for one in series.examples[:2]]
    return "; ".join([*parts, f"{lost} arrivals never came to an end"] if lost else parts)


def undecided(verdict: Verdict) -> tuple[tuple[str, str], ...]:
    """The (scenario, region) pairs that a second look may decide; none unless inconclusive rows are all that is wrong."""
    if verdict.outcome is not Outcome.INCONCLUSIVE:
        return ()
    return tuple(dict.fromkeys((row.scenario, row.region) for row in verdict.rows if row.outcome is Outcome.INCONCLUSIVE))


def samples_min(fraction: float) -> int:
    """Below 1/(1-p) samples not even one is expected beyond the percentile: 20 for p95, 100 for p99; max asks for 10."""
    return SAMPLES_MIN_FOR_MAX if fraction >= 1 else math.ceil(1 / (1 - fraction) - 1e-9)


def _judge_latency(target: Target, series: Series) -> Row:
    fraction = target.fraction if target.fraction is not None else 1.0
    n = series.latency.n
    needed = samples_min(fraction)
    if n < needed:
        return _row(target, series, None, None, None, n, 0.0, Outcome.INCONCLUSIVE, f"{n} samples, {target.text} needs {needed}")
    measured = (series.latency.max_us if fraction >= 1 else series.latency.percentile(fraction)) / 1000
    if fraction >= 1:
        # The largest sample is a fact of the run, not an estimate: there is nothing to separate.
        outcome = Outcome.PASS if _holds(target, measured) else Outcome.FAIL
        return _row(target, series, measured, measured, measured, n, 1.0, outcome)
    interval = series.latency.interval(fraction, CONFIDENCE)
    low, high = interval.low_us / 1000, interval.high_us / 1000
    return _row(target, series, measured, low, high, n, interval.confidence, *_separate(target, low, high, measured))


def _judge_rate(target: Target, series: Series, count: int, n: int) -> Row:
    if n < SAMPLES_MIN_FOR_RATE:
        note = f"{n} samples, {target.text} needs {SAMPLES_MIN_FOR_RATE}"
        return _row(target, series, None, None, None, n, 0.0, Outcome.INCONCLUSIVE, note)
    measured = 100 * count / n
    low, high = (100 * share for share in share_interval(count, n, CONFIDENCE))
    if target.limit in (0.0, 100.0):
        # "No error at all" is a claim about this run: no sample could ever prove that the true rate is exactly 0.
        outcome = Outcome.PASS if _holds(target, measured) else Outcome.FAIL
        return _row(target, series, measured, low, high, n, 1.0, outcome)
    return _row(target, series, measured, low, high, n, CONFIDENCE, *_separate(target, low, high, measured))


def _holds(target: Target, value: float) -> bool:
    if value == target.limit:
        return not target.is_strict
    return value < target.limit if target.is_upper else value > target.limit


def _separate(target: Target, low: float, high: float, measured: float) -> tuple[Outcome, str]:
    if _holds(target, low) and _holds(target, high):
        return Outcome.PASS, ""
    if not _holds(target, low) and not _holds(target, high):
        return Outcome.FAIL, ""
    return Outcome.INCONCLUSIVE, f"{low:.4g} to {high:.4g} {target.unit} straddles the limit (measured {measured:.4g})"


def _row(
    target: Target,
    series: Series,
    measured: float | None,
    low: float | None,
    high: float | None,
    n: int,
    confidence: float,
    outcome: Outcome,
    note: str = "",
) -> Row:
    margin = None if measured is None else _margin(target, measured)
    return Row(
        series.scenario,
        series.region,
        target.text,
        target.limit,
        target.unit,
        measured,
        low,
        high,
        margin,
        n,
        round(confidence, 4),
        outcome,
        note,
    )


def _margin(target: Target, measured: float) -> float:
    """The share of the limit that is left. Against a limit of 0 % the margin is 0, or minus the measured share."""
    if target.limit == 0:
        return -measured / 100 if measured else 0.0
    spare = target.limit - measured if target.is_upper else measured - target.limit
    return spare / target.limit


def _silent_checks(series: Series) -> list[Row]:
    """A check that ran zero times proves nothing, however good the latencies look."""
    silent = [check.name for check in series.checks if check.ran == 0]
    return [_never_ran(series.scenario, series.region, f"check {name!r} runs") for name in silent]


def _missing(scenarios: Iterable[ScenarioSlo], series: Iterable[Series]) -> list[Row]:
    """A scenario of the SLO file of which no series exists was silently not run."""
    present = {one.scenario for one in series}
    return [_never_ran(one.name, "-", "scenario runs") for one in scenarios if one.name not in present]


def _cross_checked(series: Series, check: CacheCrossCheck | None) -> list[Row]:
    """X-Cache against the replicas' own counters, which ran for longer than the counted window and so saw at least as much.

    Fewer look-ups than headers mean that not every replica was asked: then there is nothing to compare. Fewer hits than headers
    that claim one mean that the headers do not tell the truth.
    """
    if check is None or not series.cache_lookups or check.lookups < series.cache_lookups:
        return []
    found, claimed = float(check.hits), float(series.cache_hits)
    outcome = Outcome.PASS if found >= claimed else Outcome.FAIL
    row = Row(
        series.scenario,
        series.region,
        target="X-Cache tells the truth",
        limit=claimed,
        unit="hits",
        measured=found,
        low=found,
        high=found,
        margin=(found - claimed) / max(1.0, claimed),
        n=int(check.lookups),
        confidence=1.0,
        outcome=outcome,
        note="" if outcome is Outcome.PASS else f"the replicas counted {found:.0f} hits, X-Cache claimed {claimed:.0f}",
    )
    return [row]


def _never_ran(scenario: str, region: str, claim: str) -> Row:
    return Row(scenario, region, claim, 1, "runs", 0, 0, 0, -1.0, 0, 1.0, Outcome.FAIL, "ran 0 times")


def _generator_reasons(facts: GeneratorFacts, bounds: GeneratorBounds) -> list[str]:
    reasons = []
    if facts.lateness_p99_ms > bounds.lateness_p99_ms:
        reasons.append(
            f"generator saturated: dispatch lateness p99 {facts.lateness_p99_ms:.1f} ms, bound {bounds.lateness_p99_ms:g} ms; "
            "lower rate_per_s or free the machine"
        )
    if facts.cpu_percent > bounds.cpu_percent:
        measured = f"CPU {facts.cpu_percent:.0f} % of a core"
        reasons.append(f"generator saturated: {measured}, bound {bounds.cpu_percent:g} %; lower rate_per_s")
    if facts.dropped:
        reasons.append(
            f"generator saturated: after {facts.sent} arrivals its pool was full or it was a second late; lower rate_per_s"
        )
    return reasons


def _sentence(row: Row) -> str:
    measured = "not measured" if row.measured is None else f"{row.measured:.4g} {row.unit}"
    note = f" ({row.note})" if row.note else ""
    return f"{row.scenario} in {row.region}: {row.target}, {measured}, n={row.n}: {row.outcome}{note}"


def encode(verdict: Verdict) -> bytes:
    """verdict.json."""
    return msgspec.json.format(msgspec.json.encode(verdict), indent=2) + b"\n"


def decode(content: bytes) -> Verdict:
    """Reads verdict.json; msgspec.ValidationError where it is not one."""
    return msgspec.json.decode(content, type=Verdict)
