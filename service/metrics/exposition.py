"""The counters in Prometheus's text format, collected when asked for. One process is one replica, and its counters are whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from copy import copy
from dataclasses import dataclass
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from service.metrics.counters import DURATION_BUCKETS_S, Counters, Histogram

SAMPLES_AT_ONCE = 16
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Gauges:
    """What is read rather than counted; each is asked at collection time."""

    entries: Callable[[], int]
    entries_bytes: Callable[[], int]
    flights: Callable[[], int]
    feed_silent_s: Callable[[], float]
    revocation_subjects: Callable[[], int]
    outbox_waiting: Callable[[], int]
    outbox_dead: Callable[[], int]
    memory_bytes: Callable[[], int]
    breakers: Callable[[], dict[str, bool]]


@dataclass(frozen=True, slots=True)
class _Only(Collector):
    family: Metric

    def collect(self) -> Iterable[Metric]:
        return (self.family,)


class Exposition(Collector):
    """`text` is the whole /metrics answer, `pieces` the same for whoever has something else to do in between."""

    def __init__(self, counters: Counters, gauges: Gauges, release: str, region: str, replica_id: str = "") -> None:
        self._counters = counters
        self._gauges = gauges
        self._about = (release, region)
        self._common = {"replica": replica_id} if replica_id else {}
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def text(self) -> bytes:
        return b"".join(self.pieces())

    def pieces(self) -> Iterator[bytes]:
        """The text in parts of a fraction of a millisecond each; the whole takes 3 ms. A family's values are read at once."""
        for family in self._registry.collect():
            for first in range(0, max(1, len(family.samples)), SAMPLES_AT_ONCE):
                part = copy(family)
                part.samples = family.samples[first : first + SAMPLES_AT_ONCE]
                text = generate_latest(_Only(part))
                yield text if first == 0 else text.split(b"\n", 2)[2]  # HELP and TYPE are said once

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        """A scrape through an edge reaches one replica or another. Unless each series says whose it is, a counter seems to fall,
        and every fall counts as a restart: rates would be sums of noise."""
        for family in self._families():
            if self._common:
                family.samples = [sample._replace(labels={**self._common, **sample.labels}) for sample in family.samples]
            yield family

    def _families(self) -> Iterable[Metric]:
        yield from self._lookups()
        yield from self._requests()
        yield from self._totals()
        yield from self._gauge_families()

    def _lookups(self) -> Iterable[Metric]:
        family = CounterMetricFamily(
            "cached_auth_cache_lookups", "Token look-ups by tier and outcome", labels=["tier", "outcome"]
        )
        counters = self._counters
        for tier, outcome, value in (
            ("l1", "hit", counters.l1_hits),
            ("l1", "miss", counters.l1_misses),
            ("l2", "hit", counters.l2_hits),
            ("l2", "miss", counters.l2_misses),
            ("l2", "corrupt", counters.l2_corrupt),
            ("l2", "failure", counters.l2_failures),
            ("issuer", "confirmed", counters.issuer_confirmations),
            ("issuer", "early", counters.early_refreshes),
            ("rejections", "hit", counters.rejections_remembered),
        ):
            family.add_metric([tier, outcome], value)
        yield family

    def _requests(self) -> Iterable[Metric]:
        durations = HistogramMetricFamily("cached_auth_request_duration_seconds", "Time from request to answer", labels=["route"])
        answers = CounterMetricFamily("cached_auth_requests", "Answers by route and status", labels=["route", "status"])
        for route, counted in sorted(self._counters.routes.items()):
            durations.add_metric([route], _buckets(counted.durations), counted.durations.sum_s)
            for status, value in sorted(counted.statuses.items()):
                answers.add_metric([route, str(status)], value)
        upstream = HistogramMetricFamily("cached_auth_upstream_duration_seconds", "Time the issuer took", labels=["operation"])
        for operation, histogram in sorted(self._counters.upstream_latency.items()):
            upstream.add_metric([operation], _buckets(histogram), histogram.sum_s)
        database = HistogramMetricFamily("cached_auth_database_duration_seconds", "Time a statement took, with its connection")
        database.add_metric([], _buckets(self._counters.database_latency), self._counters.database_latency.sum_s)
        yield from (durations, answers, upstream, database)

    def _totals(self) -> Iterable[Metric]:
        counters = self._counters
        logins = CounterMetricFamily("cached_auth_logins", "Log-ins by outcome", labels=["outcome"])
        for outcome, value in sorted(counters.logins.items()):
            logins.add_metric([outcome], value)
        yield logins
        limited = CounterMetricFamily("cached_auth_limited", "Requests refused by a rate limit or lock-out", labels=["reason"])
        for reason, value in sorted(counters.limited.items()):
            limited.add_metric([reason], value)
        yield limited
        for name, text, value in (
            ("revocation_notices", "Revocations that arrived by notification", counters.revocation_notices),
            ("revocation_feed_losses", "Times the feed's connection was lost", counters.feed_losses),
            ("database_failures", "Statements that no database answered", counters.database_failures),
            ("upstream_failures", "Requests that the issuer did not answer", counters.upstream_failures),
            ("sheds", "Requests refused because too many were under way", counters.sheds),
            ("limit_failures", "Limits decided by this replica alone because Redis did not answer", counters.limit_failures),
            ("slow_operations", "Requests slower than a second", counters.slow_operations),
            ("login_follow_up_failures", "Log-ins whose follow-up the primary did not take", counters.follow_up_failures),
            ("jobs_done", "Outbox jobs done", counters.jobs_done),
            ("jobs_failed", "Outbox attempts that failed", counters.jobs_failed),
            ("jobs_dead", "Outbox jobs given up", counters.jobs_dead),
        ):
            yield CounterMetricFamily(f"cached_auth_{name}", text, value=value)

    def _gauge_families(self) -> Iterable[Metric]:
        gauges = self._gauges
        about = GaugeMetricFamily("cached_auth_build_info", "What runs here", labels=["release", "region"])
        about.add_metric(list(self._about), 1)
        yield about
        for name, text, value in (
            ("cache_entries", "Tokens in L1", gauges.entries()),
            ("cache_bytes", "Memory that the tokens in L1 take", gauges.entries_bytes()),
            ("flights", "Verifications under way", gauges.flights()),
            ("revocation_lag_seconds", "Seconds since the revocation set was last known complete", gauges.feed_silent_s()),
            ("revocation_subjects", "Sessions and users in the revocation set", gauges.revocation_subjects()),
            ("outbox_waiting", "Outbox jobs not done yet", gauges.outbox_waiting()),
            ("outbox_dead", "Outbox jobs given up, in the table", gauges.outbox_dead()),
            ("memory_bytes", "Resident memory", gauges.memory_bytes()),
        ):
            yield GaugeMetricFamily(f"cached_auth_{name}", text, value=value)
        breakers = GaugeMetricFamily("cached_auth_breaker_open", "1 while a part is left alone after failures", labels=["part"])
        for part, is_open in gauges.breakers().items():
            breakers.add_metric([part], float(is_open))
        yield breakers


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    bounds = [*map(str, DURATION_BUCKETS_S), "+Inf"]
    return list(zip(bounds, (float(total) for total in accumulate(histogram.counts)), strict=True))
