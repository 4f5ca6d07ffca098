"""Time, passed in: `wall` answers to token claims (seconds since 1970), `monotonic` to ages. Tests turn the hands.

`monotonic` counts while the machine sleeps. CLOCK_MONOTONIC does not: after a virtual machine was suspended for an hour, evidence
from before would look fresh. (A process that is merely stopped loses no time on either clock.)
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

# Linux only (clock_gettime(2)); elsewhere the service is developed, not run.
since_boot: Callable[[], float] = (
    partial(time.clock_gettime, time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic
)


@dataclass(frozen=True, slots=True)
class Clock:
    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = since_boot
