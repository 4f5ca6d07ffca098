"""What a run measured, as frozen data: the only thing that the verdict and the report see of it."""

from __future__ import annotations

from dataclasses import dataclass

from loadtests.distribution import Distribution


@dataclass(frozen=True, slots=True)
class CheckCount:
    """One named check of a scenario in one region."""

    name: str
    ran: int
    failed: int


@dataclass(frozen=True, slots=True)
class ErrorExample:
    """A failed check with one example of why, free of secrets, and how often this pair came."""

    check: str
    detail: str
    count: int


@dataclass(frozen=True, slots=True)
class Second:
    """One second of the timeline, by intended start; `second` 0 begins with the warm-up, latencies in microseconds."""

    second: int
    n: int
    errors: int
    p50_us: int
    p95_us: int
    is_counted: bool


@dataclass(frozen=True, slots=True)
class Series:
    """One scenario in one region, inside the counted window.

    `planned` arrivals were scheduled, `finished` of them came to an end (an answer, an error or a time-out), `errors` of those
    failed a check. `latency` is from the intended start; for revoke_then_validate it is the time until the revocation was seen.
    """

    scenario: str
    region: str
    planned: int
    finished: int
    errors: int
    latency: Distribution
    checks: tuple[CheckCount, ...]
    examples: tuple[ErrorExample, ...] = ()
    timeline: tuple[Second, ...] = ()
    cache_hits: int = 0
    cache_lookups: int = 0


@dataclass(frozen=True, slots=True)
class GeneratorFacts:
    """How the generator itself did. `dropped`: the pool was full or a dispatcher a second late, which ends the run."""

    lateness_p99_ms: float
    lateness_max_ms: float
    cpu_percent: float
    dropped: int
    sent: int


@dataclass(frozen=True, slots=True)
class CacheCrossCheck:
    """Cache lookups by the replicas' own counters over the counted window, to hold against the X-Cache headers."""

    region: str
    lookups: float
    hits: float


@dataclass(frozen=True, slots=True)
class Measurements:
    """`obstacles` are reasons why nothing could be measured at all; `looks` is 2 where undecided targets got a second window."""

    series: tuple[Series, ...]
    generator: GeneratorFacts
    obstacles: tuple[str, ...] = ()
    cross_checks: tuple[CacheCrossCheck, ...] = ()
    looks: int = 1
