"""Collects samples while a run goes on. The only mutable part of the measurement; becomes frozen Measurements at the end."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from hdrh.histogram import HdrHistogram  # type: ignore[import-untyped]  # the package carries no types

from loadtests.distribution import Distribution, from_values
from loadtests.measurement import CheckCount, ErrorExample, Second, Series
from loadtests.redaction import redact

LATENCY_MAX_US = 120_000_000
EXAMPLES_MAX = 8


def empty_histogram() -> HdrHistogram:
    """1 us to 2 min with three significant digits: at most 0.1 % off."""
    return HdrHistogram(1, LATENCY_MAX_US, 3)


def distribution_of(histogram: HdrHistogram) -> Distribution:
    """The recorded buckets as data; the value is the bucket's upper end, so a percentile is never flattered."""
    buckets = []
    # Its own iterator works out the value of each empty bucket too, of which there are thousands to one that counts.
    for index, count in enumerate(histogram.counts):
        if count:
            value_us = histogram.get_highest_equivalent_value(histogram.get_value_from_index(index))
            buckets.append((int(value_us), int(count)))
    return Distribution(tuple(buckets))


class SeriesRecorder:
    """One scenario in one region."""

    def __init__(self, scenario: str, region: str, checks: Sequence[str], secrets: Sequence[str]) -> None:
        self.scenario = scenario
        self.region = region
        self.planned = 0
        self.finished = 0
        self.errors = 0
        self.cache_hits = 0
        self.cache_lookups = 0
        self._secrets = secrets
        self._histogram = empty_histogram()
        self._ran = Counter(dict.fromkeys(checks, 0))
        self._failed: Counter[str] = Counter()
        self._examples: Counter[tuple[str, str]] = Counter()
        self._latencies: defaultdict[int, array[int]] = defaultdict(lambda: array("L"))
        self._errors_at: Counter[int] = Counter()
        self._counted_seconds: set[int] = set()

    def plan(self, is_counted: bool) -> None:
        """An arrival was due."""
        self.planned += is_counted

    def sample(self, at_s: float, latency_s: float, is_counted: bool) -> None:
        """A latency, at its intended start."""
        latency_us = min(LATENCY_MAX_US, max(1, round(latency_s * 1e6)))
        self._latencies[int(at_s)].append(latency_us)
        if is_counted:
            self._counted_seconds.add(int(at_s))
            self._histogram.record_value(latency_us)

    def finish(self, at_s: float, failures: Sequence[tuple[str, str]], ran: Iterable[str], is_counted: bool) -> None:
        """An arrival came to its end: which checks ran, and which failed with what detail."""
        if failures:
            self._errors_at[int(at_s)] += 1
        if not is_counted:
            return
        self.finished += 1
        self.errors += bool(failures)
        self._ran.update(ran)
        for check, detail in failures:
            self._failed[check] += 1
            key = (check, redact(detail, self._secrets))
            if key in self._examples or len(self._examples) < EXAMPLES_MAX:
                self._examples[key] += 1

    def lookup(self, is_hit: bool, is_counted: bool) -> None:
        """A cache look-up that the service reported."""
        if is_counted:
            self.cache_lookups += 1
            self.cache_hits += is_hit

    def recent(self, second: int) -> Second:
        """One second of the timeline."""
        found = from_values(self._latencies.get(second, ()))
        errors = self._errors_at[second]
        return Second(second, found.n, errors, found.percentile(0.5), found.percentile(0.95), second in self._counted_seconds)

    def freeze(self) -> Series:
        """Everything so far."""
        seconds = sorted(self._latencies.keys() | self._errors_at.keys())
        return Series(
            self.scenario,
            self.region,
            self.planned,
            self.finished,
            self.errors,
            distribution_of(self._histogram),
            tuple(CheckCount(name, ran, self._failed[name]) for name, ran in self._ran.items()),
            tuple(ErrorExample(check, detail, count) for (check, detail), count in self._examples.most_common()),
            tuple(self.recent(second) for second in seconds),
            self.cache_hits,
            self.cache_lookups,
        )
