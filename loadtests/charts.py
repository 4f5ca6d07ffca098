"""Inline SVG: a latency histogram and a timeline. Geometry only; colours come from the report's style sheet by class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from loadtests.distribution import Distribution
from loadtests.measurement import Second

WIDTH = 520
HEIGHT = 150
LEFT, RIGHT, TOP, BOTTOM = 46, 8, 10, 24
BINS_PER_DECADE = 12
TIMELINE_POINTS_MAX = 600


def histogram(latency: Distribution, limits_ms: Sequence[float]) -> str:
    """Counts over latency, logarithmic in time; a vertical line at each limit."""
    if not latency.n:
        return _text_only("no samples")
    bins: dict[int, int] = {}
    for value_us, count in latency.buckets:
        index = math.floor(math.log10(max(1, value_us)) * BINS_PER_DECADE)
        bins[index] = bins.get(index, 0) + count
    marks = [math.log10(limit * 1000) * BINS_PER_DECADE for limit in limits_ms]
    first = math.floor(min([*bins, *marks])) - 1
    last = math.ceil(max([*bins, *marks])) + 1
    highest = max(bins.values())

    def x(position: float) -> float:
        return LEFT + (position - first) / (last + 1 - first) * (WIDTH - LEFT - RIGHT)

    parts = []
    for index, count in sorted(bins.items()):
        height = count / highest * (HEIGHT - TOP - BOTTOM)
        low, high = 10 ** (index / BINS_PER_DECADE) / 1000, 10 ** ((index + 1) / BINS_PER_DECADE) / 1000
        parts.append(_bar("bar", x(index), x(index + 1), height, f"{low:.3g} to {high:.3g} ms: {count}"))
    parts += [_limit(x(mark), x(mark), TOP, HEIGHT - BOTTOM) for mark in marks]
    for decade in range(math.ceil(first / BINS_PER_DECADE), math.floor(last / BINS_PER_DECADE) + 1):
        parts.append(_label(x(decade * BINS_PER_DECADE), HEIGHT - 8, f"{10**decade / 1000:g} ms", "middle"))
    parts.append(_label(LEFT - 6, TOP + 8, str(highest), "end"))
    return _svg(parts, "latency histogram")


def timeline(seconds: Sequence[Second], limits_ms: Sequence[float]) -> str:
    """Requests a second as bars, p50 and p95 as lines over them, seconds with errors marked; the warm-up is pale."""
    if not seconds:
        return _text_only("no samples")
    shown = seconds[-TIMELINE_POINTS_MAX:]
    first, last = shown[0].second, shown[-1].second
    top_ms = max([one.p95_us / 1000 for one in shown] + list(limits_ms)) * 1.1
    most = max(one.n for one in shown) or 1
    step = (WIDTH - LEFT - RIGHT) / (last - first + 1)

    def x(second: int) -> float:
        return LEFT + (second - first) * step

    def y(latency_ms: float) -> float:
        return HEIGHT - BOTTOM - latency_ms / top_ms * (HEIGHT - TOP - BOTTOM)

    parts = []
    for one in shown:
        height = one.n / most * (HEIGHT - TOP - BOTTOM)
        kind = ("errors" if one.errors else "rate") + ("" if one.is_counted else " pale")
        latencies = f"p50 {one.p50_us / 1000:.2f} ms, p95 {one.p95_us / 1000:.2f} ms"
        title = f"second {one.second}: {one.n} requests, {one.errors} errors, {latencies}"
        parts.append(_bar(kind, x(one.second), x(one.second + 1), height, title))
    middles = [x(one.second) + step / 2 for one in shown]
    for kind, values_us in (("p50", [one.p50_us for one in shown]), ("p95", [one.p95_us for one in shown])):
        points = " ".join(
            f"{at:.1f},{y(value_us / 1000):.1f}" for at, value_us in zip(middles, values_us, strict=True) if value_us
        )
        parts.append(f'<polyline class="{kind}" points="{points}"/>')
    parts += [_limit(LEFT, WIDTH - RIGHT, y(mark), y(mark)) for mark in limits_ms]
    parts.append(_label(LEFT - 6, TOP + 8, f"{top_ms:.3g} ms", "end"))
    parts.append(_label(LEFT, HEIGHT - 8, f"{first} s", "start"))
    parts.append(_label(WIDTH - RIGHT, HEIGHT - 8, f"{last + 1} s", "end"))
    parts.append(_label(WIDTH / 2, HEIGHT - 8, f"at most {most}/s", "middle"))
    return _svg(parts, "timeline")


def _bar(kind: str, left: float, right: float, height: float, title: str) -> str:
    return (
        f'<rect class="{kind}" x="{left:.1f}" y="{HEIGHT - BOTTOM - height:.1f}" width="{max(1.0, right - left - 1):.1f}" '
        f'height="{height:.1f}"><title>{escape(title)}</title></rect>'
    )


def _limit(x1: float, x2: float, y1: float, y2: float) -> str:
    return f'<line class="limit" x1="{x1:.1f}" x2="{x2:.1f}" y1="{y1:.1f}" y2="{y2:.1f}"/>'


def _label(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _text_only(text: str) -> str:
    return _svg([_label(WIDTH / 2, HEIGHT / 2, text, "middle")], text)


def _svg(parts: Sequence[str], label: str) -> str:
    axis = f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{HEIGHT - BOTTOM}" y2="{HEIGHT - BOTTOM}"/>'
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">{"".join(parts)}{axis}</svg>'
