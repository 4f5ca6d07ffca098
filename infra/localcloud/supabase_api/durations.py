"""Go durations ("24h", "1h30m", "-1.5h"), in which GoTrue takes the length of a ban."""

from __future__ import annotations

import re
from datetime import timedelta

UNIT_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)")
WHOLE = re.compile(rf"[+-]?(0|({PART.pattern})+)")
SECONDS_MAX = 2**63 / 1e9  # Go keeps nanoseconds in an int64


class DurationInvalid(Exception):
    """Worded as Go's time.ParseDuration words it."""


def parse(text: str) -> timedelta:
    if not WHOLE.fullmatch(text) or len(text) > 64:
        raise DurationInvalid(f'time: invalid duration "{text[:64]}"')
    seconds = sum(float(number) * UNIT_S[unit] for number, unit in PART.findall(text))
    if seconds >= SECONDS_MAX:
        raise DurationInvalid(f'time: invalid duration "{text}"')
    return timedelta(seconds=-seconds if text.startswith("-") else seconds)
