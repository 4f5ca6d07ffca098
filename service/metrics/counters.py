"""Plain integers and lists that the request path increments; nothing here locks, formats or allocates per label."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque

DURATION_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
RECENT_MAX = 1000
SLOW_MAX = 50


class Histogram:
    """Counts per bucket (not cumulative), with the sum; one more bucket than bounds for what is slower."""

    __slots__ = ("counts", "sum_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(DURATION_BUCKETS_S) + 1)
        self.sum_s = 0.0

    def observe(self, duration_s: float) -> None:
        self.counts[bisect_left(DURATION_BUCKETS_S, duration_s)] += 1
        self.sum_s += duration_s

    @property
    def count(self) -> int:
        return sum(self.counts)


class RouteCounters:
    """One route's answers: durations, and how many of each status."""

    __slots__ = ("durations", "statuses")

    def __init__(self) -> None:
        self.durations = Histogram()
        self.statuses: dict[int, int] = {}

    def count(self, status: int, duration_s: float) -> None:
        durations = self.durations  # `observe`, written out: this is on the hot path
        durations.counts[bisect_left(DURATION_BUCKETS_S, duration_s)] += 1
        durations.sum_s += duration_s
        self.statuses[status] = self.statuses.get(status, 0) + 1


class Counters:
    """All counters of a replica. Monotonic; a reader that wants a rate takes differences."""

    def __init__(self) -> None:
        self.l1_hits = 0
        self.l1_misses = 0
        self.l2_hits = 0
        self.l2_misses = 0
        self.l2_corrupt = 0
        self.l2_failures = 0
        self.issuer_confirmations = 0
        self.early_refreshes = 0
        self.rejections_remembered = 0
        self.revocation_notices = 0
        self.feed_losses = 0
        self.database_failures = 0
        self.upstream_failures = 0
        self.sheds = 0
        self.slow_operations = 0
        self.follow_up_failures = 0
        self.jobs_done = 0
        self.jobs_failed = 0
        self.jobs_dead = 0
        self.limit_failures = 0
        self.limited: dict[str, int] = {}
        self.logins: dict[str, int] = {}
        self.database_latency = Histogram()
        self.upstream_latency: dict[str, Histogram] = {}
        self.routes: dict[str, RouteCounters] = {}
        self.recent_s: deque[float] = deque(maxlen=RECENT_MAX)
        # When (seconds since 1970), which route, which status, how long.
        self.recent_slow: deque[tuple[float, str, int, float]] = deque(maxlen=SLOW_MAX)

    def route(self, name: str) -> RouteCounters:
        """The counters of a route; `name` comes from our own route table, never from a request, so their number is bounded."""
        found = self.routes.get(name)
        if found is None:
            found = self.routes[name] = RouteCounters()
        return found

    def upstream(self, operation: str) -> Histogram:
        found = self.upstream_latency.get(operation)
        if found is None:
            found = self.upstream_latency[operation] = Histogram()
        return found

    @property
    def lookups(self) -> int:
        return self.l1_hits + self.l1_misses

    @property
    def hit_rate(self) -> float:
        """Share of look-ups answered from either tier, 0 to 1; 1 where there were none."""
        return 1.0 if not self.lookups else (self.l1_hits + self.l2_hits) / self.lookups
