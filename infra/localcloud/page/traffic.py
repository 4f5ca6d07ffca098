"""What the edges' access logs say of the last minute. Pure.

An edge that is too busy to write them all says how many lines it left out; those count as requests, of unknown outcome.
"""

from __future__ import annotations

from typing import Any

from infra.localcloud.edge.access_log import AccessLine

WINDOW_S = 60
RECENT_MAX = 12
SHOWN = ("time_ms", "request_id", "method", "path", "status", "duration_ms", "upstream_region")


def traffic_of(lines: list[AccessLine], now_ms: float, is_all: bool = True) -> dict[str, Any]:
    """Requests of the window, failures (5xx), the middle and the slow end of durations, and the newest lines.

    The window is shorter where the lines that were read (not `is_all` of them) do not reach back so far."""
    newest = [line for line in lines if line.time_ms > now_ms - WINDOW_S * 1000]
    is_cut = bool(newest) and len(newest) == len(lines) and not is_all
    durations = sorted(line.duration_ms for line in newest)
    return {
        "window_s": round((now_ms - newest[0].time_ms) / 1000, 1) if is_cut else WINDOW_S,
        "requests": sum(1 + line.skipped for line in newest),
        "failures": sum(line.status >= 500 for line in newest),
        "p50_ms": durations[len(durations) // 2] if durations else None,
        "p95_ms": durations[len(durations) * 95 // 100] if durations else None,
        "recent": [_shown(line) for line in reversed(newest[-RECENT_MAX:])],
    }


def _shown(line: AccessLine) -> dict[str, Any]:
    return {name: getattr(line, name) for name in SHOWN}
