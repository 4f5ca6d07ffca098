"""Spans of time as people write and read them: `90s`, `2h30m`, `7d`."""

from __future__ import annotations

import re

from infra.cli.errors import UsageError

UNIT_S = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
DURATION = re.compile(r"(?:\d+(?:\.\d+)?[smhd])+")
PART = re.compile(r"(\d+(?:\.\d+)?)([smhd])")


def parse_duration(text: str, name: str, next_command: str) -> float:
    """Seconds of `90s`, `2h30m`, `7d`. UsageError, which calls the argument `name`."""
    if not DURATION.fullmatch(text):
        raise UsageError(f"{name}: expected e.g. 90s, 2h30m or 7d, got {text[:40]!r}", next_command)
    return sum(float(number) * UNIT_S[unit] for number, unit in PART.findall(text))


def duration_text(seconds: float) -> str:
    """`2h30m`, as `parse_duration` reads it; whole seconds."""
    rest, parts = round(seconds), []
    for unit, unit_s in UNIT_S.items():
        count, rest = divmod(rest, unit_s)
        parts += [f"{count}{unit}"] if count else []
    return "".join(parts) or "0s"
