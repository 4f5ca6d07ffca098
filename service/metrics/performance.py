"""/performance-metrics: the few figures a person wants to see, as JSON in three sections."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

import msgspec
import psutil

from service.database.pools import Database
from service.metrics.counters import Counters
from service.metrics.exposition import Gauges


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """The nearest-rank percentile of already ordered values; None where there are none."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


class Performance:
    def __init__(self, counters: Counters, gauges: Gauges, database: Database) -> None:
        self._counters = counters
        self._gauges = gauges
        self._database = database
        self._process = psutil.Process()
        self._started = time.monotonic()

    def report(self) -> bytes:
        return msgspec.json.encode({"auth": self._auth(), "system": self._system(), "database": self._database_section()})

    def _auth(self) -> dict[str, object]:
        counters = self._counters
        ordered = sorted(counters.recent_s)
        return {
            "response_times_ms": {
                "samples": len(ordered),
                **{f"p{round(share * 100)}": _milliseconds(percentile(ordered, share)) for share in (0.5, 0.95, 0.99)},
                "max": _milliseconds(ordered[-1] if ordered else None),
            },
            "cache": {
                "hit_rate": round(counters.hit_rate, 4),
                "l1_hits": counters.l1_hits,
                "l1_misses": counters.l1_misses,
                "l2_hits": counters.l2_hits,
                "l2_misses": counters.l2_misses,
                "entries": self._gauges.entries(),
            },
            "logins": dict(counters.logins),
            "slow_operations": counters.slow_operations,
            "recent_slow_operations": [
                {"at": round(at, 3), "route": route, "status": status, "duration_ms": _milliseconds(duration_s)}
                for at, route, status, duration_s in reversed(counters.recent_slow)
            ],
            "limited": dict(counters.limited),
            "revocation": {"subjects": self._gauges.revocation_subjects(), "lag_s": _finite(self._gauges.feed_silent_s())},
        }

    def _system(self) -> dict[str, object]:
        with self._process.oneshot():
            return {
                "memory_bytes": self._process.memory_info().rss,
                "cpu_seconds": round(sum(self._process.cpu_times()[:2]), 3),
                "threads": self._process.num_threads(),
                "processors": os.cpu_count(),
                "uptime_s": round(time.monotonic() - self._started, 1),
            }

    def _database_section(self) -> dict[str, object]:
        pools = {pool.name: dict(zip(("open", "idle"), pool.connections, strict=True)) for pool in self._database.pools}
        latency = self._counters.database_latency
        return {
            "pools": pools,
            "statements": latency.count,
            "mean_ms": _milliseconds(latency.sum_s / latency.count if latency.count else None),
            "failures": self._counters.database_failures,
            "outbox": {"waiting": self._gauges.outbox_waiting(), "dead": self._gauges.outbox_dead()},
        }


def _milliseconds(value_s: float | None) -> float | None:
    return None if value_s is None else round(value_s * 1000, 3)


def _finite(value: float) -> float | None:
    return round(value, 3) if value < 1e9 else None
