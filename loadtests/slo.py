"""The SLO file: parsed once into frozen types. A typo must never turn a target off, so every unknown word is an error.

A target is text: `p95 < 50 ms`, `max <= 2 s`, `hit_rate >= 80 %`, `error_rate <= 0 %`.

Errors: SloError   path, what was expected, what was given; the command exits with 2
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import yaml

SCENARIOS = ("validate", "login", "preflight", "health", "revoke_then_validate")
VERSION = 1


class SloError(Exception):
    """The SLO file is not what it should be. One line: path, expected, given."""

    def __init__(self, path: str, expected: str, given: object) -> None:
        super().__init__(f"{path}: expected {expected}, given {given!r}")


class Metric(StrEnum):
    LATENCY = "latency"
    HIT_RATE = "hit_rate"
    ERROR_RATE = "error_rate"


@dataclass(frozen=True, slots=True)
class Target:
    """One promise. `limit` is in `unit` (ms or %); `fraction` is 0.95 for p95, 1.0 for max, None for rates."""

    text: str
    metric: Metric
    fraction: float | None
    is_upper: bool
    is_strict: bool
    limit: float
    unit: str


@dataclass(frozen=True, slots=True)
class ScenarioSlo:
    """What one scenario sends to each region and what it must keep.

    `arrivals` is the run's unless the scenario has its own: at a few arrivals a second uniform ones make the number of samples
    sure. `bound_ms` is for revoke_then_validate, `origin` for preflight, `path` for health.
    """

    name: str
    rate_per_s: float
    targets: tuple[Target, ...]
    arrivals: str = "poisson"
    bound_ms: float = 2000.0
    origin: str = "http://localhost:3000"
    path: str = "/health/ready"


@dataclass(frozen=True, slots=True)
class RunSettings:
    """How a run is driven. Times in seconds."""

    warm_up_s: float = 3.0
    duration_s: float = 12.0
    extension_s: float = 48.0
    arrivals: str = "poisson"
    seed: int = 1
    request_timeout_s: float = 3.0
    users: int = 1000
    sessions: int = 40


@dataclass(frozen=True, slots=True)
class GeneratorBounds:
    """Beyond these the generator measures itself, not the service: the run is invalid."""

    lateness_p99_ms: float = 50.0
    cpu_percent: float = 90.0


@dataclass(frozen=True, slots=True)
class Slo:
    run: RunSettings
    generator: GeneratorBounds
    scenarios: tuple[ScenarioSlo, ...]
    digest: str


_TARGET = re.compile(r"(?P<metric>[a-z_]+[0-9.]*) *(?P<operator><=|>=|<|>) *(?P<limit>[0-9]+(?:\.[0-9]+)?) *(?P<unit>ms|s|%)")
_PERCENTILE = re.compile(r"p(?P<percent>[0-9]{1,2}(?:\.[0-9]+)?)")
_TARGET_FORM = "'<metric> <operator> <number> <unit>' such as 'p95 < 50 ms', 'hit_rate >= 80 %', 'error_rate <= 0 %'"


def parse_target(text: object, path: str) -> Target:
    """One target from its text. SloError names `path`."""
    match = _TARGET.fullmatch(text.strip()) if isinstance(text, str) else None
    if not isinstance(text, str) or match is None:
        raise SloError(path, _TARGET_FORM, text)
    metric, fraction = _metric(match["metric"], path, text)
    is_upper = match["operator"].startswith("<")
    if is_upper is (metric is Metric.HIT_RATE):
        raise SloError(path, f"{match['metric']} with {'>= or >' if metric is Metric.HIT_RATE else '<= or <'}", text)
    if (match["unit"] == "%") is (metric is Metric.LATENCY):
        raise SloError(path, f"{match['metric']} in {'ms or s' if metric is Metric.LATENCY else '%'}", text)
    limit = float(match["limit"]) * (1000 if match["unit"] == "s" else 1)
    if match["unit"] == "%" and limit > 100:
        raise SloError(path, "at most 100 %", text)
    unit = "%" if match["unit"] == "%" else "ms"
    return Target(" ".join(text.split()), metric, fraction, is_upper, "=" not in match["operator"], limit, unit)


def _metric(name: str, path: str, text: str) -> tuple[Metric, float | None]:
    if name in (Metric.HIT_RATE, Metric.ERROR_RATE):
        return Metric(name), None
    if name == "max":
        return Metric.LATENCY, 1.0
    percentile = _PERCENTILE.fullmatch(name)
    if percentile is None or not 0 < float(percentile["percent"]) < 100:
        raise SloError(path, "a metric p1 to p99.9, max, hit_rate or error_rate", text)
    return Metric.LATENCY, float(percentile["percent"]) / 100


def load_slo(file: Path) -> Slo:
    """Reads and parses. SloError for anything unexpected, an unreadable file included."""
    try:
        content = file.read_bytes()
    except OSError as exc:
        raise SloError(str(file), "a readable SLO file (--slo FILE)", exc.strerror) from exc
    try:
        document = yaml.load(content, Loader=_StrictLoader)  # noqa: S506  _StrictLoader is a SafeLoader
    except yaml.YAMLError as exc:
        raise SloError(str(file), "YAML", " ".join(str(exc).split())) from exc
    return parse_slo(document, hashlib.sha256(content).hexdigest())


def parse_slo(document: object, digest: str) -> Slo:
    """The whole document, already out of YAML."""
    top = _mapping(document, "slo", {"version", "run", "generator", "scenarios"})
    if top.get("version") != VERSION:
        raise SloError("version", str(VERSION), top.get("version"))
    scenarios = _mapping(top.get("scenarios"), "scenarios", set(SCENARIOS))
    if not scenarios:
        raise SloError("scenarios", "at least one scenario", scenarios)
    run = _run(top.get("run", {}))
    return Slo(
        run,
        _generator(top.get("generator", {})),
        tuple(_scenario(name, body, run.arrivals) for name, body in scenarios.items()),
        f"sha256:{digest}",
    )


def _run(body: object) -> RunSettings:
    given = _mapping(body, "run", set(RunSettings.__dataclass_fields__))
    default = RunSettings()
    return RunSettings(
        warm_up_s=_number(given, "run", "warm_up_s", default.warm_up_s, 0, 600),
        duration_s=_number(given, "run", "duration_s", default.duration_s, 1, 3600),
        extension_s=_number(given, "run", "extension_s", default.extension_s, 0, 3600),
        arrivals=_arrivals(given, "run", default.arrivals),
        seed=int(_number(given, "run", "seed", default.seed, 0, 2**32)),
        request_timeout_s=_number(given, "run", "request_timeout_s", default.request_timeout_s, 0.1, 60),
        users=int(_number(given, "run", "users", default.users, 10, 100_000)),
        sessions=int(_number(given, "run", "sessions", default.sessions, 1, 10_000)),
    )


def _arrivals(given: Mapping[str, object], path: str, default: str) -> str:
    arrivals = given.get("arrivals", default)
    if arrivals not in ("poisson", "uniform"):
        raise SloError(f"{path}/arrivals", "poisson or uniform", arrivals)
    return str(arrivals)


def _generator(body: object) -> GeneratorBounds:
    given = _mapping(body, "generator", set(GeneratorBounds.__dataclass_fields__))
    default = GeneratorBounds()
    return GeneratorBounds(
        lateness_p99_ms=_number(given, "generator", "lateness_p99_ms", default.lateness_p99_ms, 0.1, 10_000),
        cpu_percent=_number(given, "generator", "cpu_percent", default.cpu_percent, 1, 100),
    )


_OWN_KEYS = {"revoke_then_validate": {"bound_ms"}, "preflight": {"origin"}, "health": {"path"}}


def _scenario(name: str, body: object, arrivals: str) -> ScenarioSlo:
    path = f"scenarios/{name}"
    given = _mapping(body, path, {"rate_per_s", "targets", "arrivals"} | _OWN_KEYS.get(name, set()))
    targets = given.get("targets")
    if not isinstance(targets, list) or not targets:
        raise SloError(f"{path}/targets", "a list of at least one target", targets)
    parsed = tuple(parse_target(text, f"{path}/targets/{index}") for index, text in enumerate(targets))
    for index, target in enumerate(parsed):
        if target.metric is Metric.HIT_RATE and name != "validate":
            raise SloError(f"{path}/targets/{index}", "hit_rate under scenarios/validate only", target.text)
    least = ScenarioSlo(name, _number(given, path, "rate_per_s", None, 0.01, 100_000), parsed, _arrivals(given, path, arrivals))
    return replace(
        least,
        bound_ms=_number(given, path, "bound_ms", least.bound_ms, 1, 60_000),
        origin=_text(given, path, "origin", least.origin),
        path=_text(given, path, "path", least.path),
    )


def _mapping(body: object, path: str, known: set[str]) -> Mapping[str, object]:
    if not isinstance(body, dict):
        raise SloError(path, f"a mapping with {', '.join(sorted(known))}", body)
    for key in body:
        if key not in known:
            raise SloError(f"{path}/{key}" if path != "slo" else str(key), f"one of {', '.join(sorted(known))}", key)
    return body


def _number(given: Mapping[str, object], path: str, key: str, default: float | None, low: float, high: float) -> float:
    value = given.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise SloError(f"{path}/{key}", f"a number from {low:g} to {high:g}", value)
    return float(value)


def _text(given: Mapping[str, object], path: str, key: str, default: str) -> str:
    value = given.get(key, default)
    if not isinstance(value, str) or not value:
        raise SloError(f"{path}/{key}", "a text", value)
    return value


class _StrictLoader(yaml.SafeLoader):
    """YAML lets a later key silently replace an earlier one; here a key that stands twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)
