"""What the edges' access logs say of the last minute. Pure.

An edge writes a sample of a busy second and how many lines it left out; those count as requests, of unknown outcome.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from infra.localcloud.plane.interface import LogLine

WINDOW_S = 60
RECENT_MAX = 12


class AccessLine(msgspec.Struct, frozen=True):
    """The part that is shown of what an edge writes; its own file has the whole (edge/access_log.py)."""

    time_ms: int
    request_id: str
    method: str
    path: str
    status: int
    duration_ms: float
    upstream_region: str
    skipped: int = 0


_decoder = msgspec.json.Decoder(AccessLine)


def access_lines(lines: Iterable[LogLine]) -> list[AccessLine]:
    """Without whatever else an edge may have written."""
    found = []
    for line in lines:
        try:
            found.append(_decoder.decode(line.text))
        except msgspec.DecodeError:
            continue
    return found


def traffic_of(lines: list[AccessLine], now_ms: float) -> dict[str, Any]:
    """Requests of the window, failures (5xx), the middle and the slow end of durations, and the newest lines."""
    newest = [line for line in lines if line.time_ms > now_ms - WINDOW_S * 1000]
    durations = sorted(line.duration_ms for line in newest)
    return {
        "window_s": WINDOW_S,
        "requests": sum(1 + line.skipped for line in newest),
        "failures": sum(line.status >= 500 for line in newest),
        "p50_ms": durations[len(durations) // 2] if durations else None,
        "p95_ms": durations[len(durations) * 95 // 100] if durations else None,
        "recent": [msgspec.to_builtins(line) for line in reversed(newest[-RECENT_MAX:])],
    }
