"""Facts of a run that help to read its figures: when, on what machine, with which settings."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version

import psutil

from loadtests.slo import RunSettings


@dataclass(frozen=True, slots=True)
class RunFacts:
    """`machine` is the generator's. Times are UTC."""

    started: datetime
    ended: datetime
    machine: str
    settings: RunSettings


def machine() -> str:
    """One line: processors, memory, system, interpreter, engine. No host name: reports are passed around."""
    memory_gib = psutil.virtual_memory().total / 2**30
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} CPUs, {memory_gib:.0f} GiB, {platform.system()} {platform.machine()}, load average {load:.1f}, "
        f"Python {platform.python_version()}, Locust {version('locust')}"
    )
