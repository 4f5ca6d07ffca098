"""A latency distribution as data: what an HDR histogram recorded, with percentiles and their intervals.

Theory of operation. A percentile of n samples is itself uncertain. The number of samples at or below the true quantile q_p
is binomial(n, p), so the order statistics X_(l) and X_(u) enclose q_p with a confidence that depends on n and p alone, not on
the shape of the latencies (David & Nagaraja, Order Statistics, section 7.1). No bootstrap is needed, the interval is exact,
and it is the same on each run of the same samples. It speaks of the noise of sampling inside one run, not of tomorrow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

_Claim = Callable[[float], bool]
_RankClaim = Callable[[int], bool]


@dataclass(frozen=True, slots=True)
class Interval:
    """Encloses a percentile. `confidence` is what was attained: below the asked one when n is too small for an upper rank."""

    low_us: int
    high_us: int
    confidence: float


@dataclass(frozen=True, slots=True)
class Distribution:
    """Recorded values in microseconds with their counts, ascending; at most 0.1 % away from what was measured."""

    buckets: tuple[tuple[int, int], ...] = ()

    @property
    def n(self) -> int:
        return sum(count for _, count in self.buckets)

    @property
    def max_us(self) -> int:
        return self.buckets[-1][0] if self.buckets else 0

    def at_rank(self, rank: int) -> int:
        """The value of the rank-th smallest sample, ranks from 1 (clamped to 1..n); 0 without samples."""
        seen = 0
        for value_us, count in self.buckets:
            seen += count
            if seen >= rank:
                return value_us
        return self.max_us

    def percentile(self, fraction: float) -> int:
        """The nearest-rank percentile in microseconds; fraction 0.95 is p95."""
        return self.at_rank(max(1, math.ceil(fraction * self.n - 1e-9)))

    def interval(self, fraction: float, confidence: float = 0.95) -> Interval:
        """The two-sided order-statistic interval of a percentile; see the module docstring."""
        low, high, attained = interval_ranks(self.n, fraction, confidence)
        return Interval(self.at_rank(low), self.at_rank(high), attained)


def from_values(values_us: Iterable[int]) -> Distribution:
    """Exact values, each its own bucket."""
    counts: dict[int, int] = {}
    for value_us in values_us:
        counts[value_us] = counts.get(value_us, 0) + 1
    return Distribution(tuple(sorted(counts.items())))


def merged(parts: Iterable[Distribution]) -> Distribution:
    """All samples of all parts; how the workers' and the regions' histograms are added."""
    counts: dict[int, int] = {}
    for part in parts:
        for value_us, count in part.buckets:
            counts[value_us] = counts.get(value_us, 0) + count
    return Distribution(tuple(sorted(counts.items())))


def binomial_cdf(k: int, n: int, p: float) -> float:
    """P(Binomial(n, p) <= k), summed in logarithms so that n of a million neither overflows nor underflows."""
    if k < 0:
        return 0.0
    if k >= n:
        return 1.0
    if p <= 0.0:
        return 1.0
    if p >= 1.0:
        return 0.0
    # Terms further than 12 standard deviations out add less than 1e-30: skipping them keeps large n fast.
    spread = 12 * math.sqrt(n * p * (1 - p)) + 12
    first = max(0, math.floor(n * p - spread))
    last = min(k, math.ceil(n * p + spread))
    whole = math.lgamma(n + 1)
    log_p, log_q = math.log(p), math.log1p(-p)

    def term(i: int) -> float:
        return math.exp(whole - math.lgamma(i + 1) - math.lgamma(n - i + 1) + i * log_p + (n - i) * log_q)

    return min(1.0, math.fsum(term(i) for i in range(first, last + 1)))


def interval_ranks(n: int, fraction: float, confidence: float) -> tuple[int, int, float]:
    """Ranks (low, high) whose samples enclose the percentile, and the confidence they attain.

    Each side keeps half of the error. Where no rank reaches far enough (few samples, high percentile) the side ends at the
    smallest or largest sample and the attained confidence falls below the asked one.
    """
    if n == 0:
        return 1, 1, 0.0
    tail = (1 - confidence) / 2
    low = _largest(1, n, lambda rank: binomial_cdf(rank - 1, n, fraction) <= tail)
    high = _smallest(1, n, lambda rank: binomial_cdf(rank - 1, n, fraction) >= 1 - tail)
    attained = binomial_cdf(high - 1, n, fraction) - (binomial_cdf(low - 1, n, fraction) if low > 1 else 0.0)
    return low, high, attained


def share_interval(hits: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The Clopper-Pearson interval (0..1) of a share; (0, 1) without samples."""
    if n == 0:
        return 0.0, 1.0
    tail = (1 - confidence) / 2
    low = 0.0 if hits == 0 else _bisect(lambda p: 1 - binomial_cdf(hits - 1, n, p) < tail)
    high = 1.0 if hits == n else _bisect(lambda p: binomial_cdf(hits, n, p) > tail)
    return low, high


def _bisect(is_below: _Claim) -> float:
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if is_below(middle) else (low, middle)
    return (low + high) / 2


def _largest(first: int, last: int, holds: _RankClaim) -> int:
    """The largest rank for which a claim that ends once holds; `first` when it never does."""
    while first < last:
        middle = (first + last + 1) // 2
        first, last = (middle, last) if holds(middle) else (first, middle - 1)
    return first


def _smallest(first: int, last: int, holds: _RankClaim) -> int:
    """The smallest rank for which a claim that begins once holds; `last` when it never does."""
    while first < last:
        middle = (first + last) // 2
        first, last = (first, middle) if holds(middle) else (middle + 1, last)
    return first
