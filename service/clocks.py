"""Time, passed in: `wall` answers to token claims (seconds since 1970), `monotonic` to ages. Tests turn the hands."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Clock:
    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
