"""One gate run: reach, seed, sign in, load, judge, look again where undecided, report.

Import only in the run process (see http_session.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import gevent  # type: ignore[import-untyped]  # gevent carries no types
from gevent.pool import Pool  # type: ignore[import-untyped]

from loadtests import replica_counters, seeding
from loadtests.exposition import Lookups, differences
from loadtests.facts import RunFacts, machine
from loadtests.generator import Field, Lane, Lateness, RunHung, Window, run_window
from loadtests.http_session import exchange, new_session
from loadtests.measurement import GeneratorFacts, Measurements
from loadtests.outputs import Outputs, guard_hosts, guard_seeding
from loadtests.recorder import SeriesRecorder
from loadtests.report import write_report
from loadtests.scenarios import make
from loadtests.scenarios.interface import Ask, Cast, Scenario
from loadtests.slo import Slo
from loadtests.verdict import Binding, Verdict, judge, undecided

REACH_S_MAX = 3.0
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asked for."""

    outputs: Outputs
    slo: Slo
    report_dir: Path
    command: str
    is_remote_allowed: bool = False
    is_seeding_allowed: bool = False


def run_gate(request: Request, tell: Tell) -> Verdict:
    """Runs the gate and writes verdict.json and report.html. OutputsError before any load where a guard forbids it."""
    guard_hosts(request.outputs, request.is_remote_allowed)
    guard_seeding(request.outputs, request.is_seeding_allowed)
    started = datetime.now(UTC)
    binding = Binding(request.outputs.release, request.outputs.stack, started.strftime("%Y%m%dT%H%M%S.%fZ"), request.command)
    measurements = _measure(request, binding, tell)
    verdict = judge(measurements, request.slo, binding)
    facts = RunFacts(started, datetime.now(UTC), machine(), request.slo.run)
    write_report(request.report_dir, verdict, measurements, facts)
    return verdict


def _measure(request: Request, binding: Binding, tell: Tell) -> Measurements:
    outputs, slo = request.outputs, request.slo
    urls = {region: known.url for region, known in outputs.regions.items()}
    answers = dict(zip(urls, Pool(len(urls)).map(_answers, urls.values()), strict=True))
    unreachable = [f"unreachable: {region} at {url}" for region, url in urls.items() if not answers[region]]
    if unreachable:
        return _nothing(*unreachable)
    try:
        cast = _prepare(outputs, slo, tell)
        return _load(outputs, slo, cast, binding, tell)
    except seeding.SeedingError as exc:
        return _nothing(f"preparation failed: {exc}")
    except RunHung as exc:
        return _nothing(str(exc))


def _nothing(*obstacles: str) -> Measurements:
    return Measurements((), GeneratorFacts(0.0, 0.0, 0.0, 0, 0), obstacles)


def _answers(url: str) -> bool:
    """Any HTTP answer counts: what it says is for the scenarios to judge."""
    deadline_s = time.monotonic() + REACH_S_MAX
    session = new_session(url, 1, REACH_S_MAX)
    while time.monotonic() < deadline_s:
        if exchange(session, Ask("GET", "/health/live"), f"{url}/health/live", "reach", REACH_S_MAX, lambda _answer: None).status:
            return True
        gevent.sleep(0.2)
    return False


def _prepare(outputs: Outputs, slo: Slo, tell: Tell) -> Cast:
    begun_s = time.monotonic()
    people = seeding.people_of(outputs, slo.run.users)
    made = seeding.seed(outputs, people)
    seeded_s = time.monotonic()
    tell(f"users: {len(people)} ({made} made) in {seeded_s - begun_s:.1f} s")
    cast = seeding.cast_of(outputs, people, slo.run.sessions)
    tell(f"signed in: {len(cast.sessions)} in {time.monotonic() - seeded_s:.1f} s")
    return cast


def lanes_of(outputs: Outputs, slo: Slo, cast: Cast) -> tuple[Lane, ...]:
    """One lane per scenario and region."""
    scenarios = {entry.name: make(entry, cast) for entry in slo.scenarios}
    return tuple(
        Lane(scenarios[entry.name], entry, region, _attempt_s_max(scenarios[entry.name], slo, entry.bound_ms / 1000))
        for entry in slo.scenarios
        for region in outputs.regions
    )


def _attempt_s_max(scenario: Scenario, slo: Slo, bound_s: float) -> float:
    """revoke_then_validate makes several exchanges before and after its bound, each with its own deadline."""
    timeout_s = slo.run.request_timeout_s
    return bound_s + 5 * timeout_s if scenario.measures_regions else timeout_s


def field_of(outputs: Outputs, slo: Slo, lanes: tuple[Lane, ...]) -> Field:
    """Fresh recorders for the lanes."""
    recorders = {
        (lane.scenario.name, lane.region): SeriesRecorder(lane.scenario.name, lane.region, lane.scenario.checks, outputs.secrets)
        for lane in lanes
    }
    urls = {region: known.url for region, known in outputs.regions.items()}
    return Field(urls, slo.run.request_timeout_s, recorders, Lateness())


def _load(outputs: Outputs, slo: Slo, cast: Cast, binding: Binding, tell: Tell) -> Measurements:
    lanes = lanes_of(outputs, slo, cast)
    field = field_of(outputs, slo, lanes)
    before = replica_counters.read(outputs)
    run = slo.run
    window = Window(run.warm_up_s, run.duration_s, 0.0, run.seed)
    tell(f"load: {len(lanes)} lanes, {run.warm_up_s:g} s warm-up, {run.duration_s:g} s counted")
    run_window(lanes, field, window, lambda second: tell(progress(field.recorders, second)))
    measurements = _freeze(field, before, outputs, 1)
    open_pairs = undecided(judge(measurements, slo, binding))
    if not open_pairs or run.extension_s <= 0:
        return measurements
    # One second look, decided beforehand: looking until it passes would turn noise into a verdict. All lanes run again: a quieter
    # machine would flatter the lanes in question.
    tell(f"undecided: {', '.join(f'{scenario} in {region}' for scenario, region in open_pairs)}; {run.extension_s:g} s more")
    second_look = replace(window, warm_up_s=min(1.0, run.warm_up_s), duration_s=run.extension_s, offset_s=window.whole_s)
    run_window(lanes, field, second_look, lambda second: tell(progress(field.recorders, second)))
    return _freeze(field, before, outputs, 2)


def _freeze(field: Field, before: Mapping[str, Lookups], outputs: Outputs, looks: int) -> Measurements:
    cross_checks = tuple(differences(before, replica_counters.read(outputs)))
    series = tuple(recorder.freeze() for recorder in field.recorders.values())
    return Measurements(series, field.lateness.facts(), (), cross_checks, looks)


def progress(recorders: Mapping[tuple[str, str], SeriesRecorder], second: int) -> str:
    """One line for the second just passed, all regions of a scenario together."""
    parts: dict[str, list[int]] = {}
    for (scenario, _region), recorder in recorders.items():
        found = recorder.recent(second)
        n, p95_us, errors = parts.get(scenario, [0, 0, 0])
        parts[scenario] = [n + found.n, max(p95_us, found.p95_us), errors + found.errors]
    words = [
        f"{scenario} {n}/s p95 {p95_us / 1000:.1f} ms" + (f" {errors} errors" if errors else "")
        for scenario, (n, p95_us, errors) in parts.items()
        if n or errors
    ]
    return f"{second + 1:4d} s  " + " | ".join(words)
