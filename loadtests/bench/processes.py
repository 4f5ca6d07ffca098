"""What the benchmarks ask of the machine: a free port, the processor time of a process, a processor for it alone."""

from __future__ import annotations

import os
import socket

import psutil


def free_port(host: str = "127.0.0.1") -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def processor_s(process: psutil.Process) -> float:
    """User and system time since its start, in seconds."""
    times = process.cpu_times()
    return float(times.user + times.system)


def pin(process_id: int, processor: int) -> bool:
    """Keeps a process with all its threads to one processor (counted round the ones we may use); False where there is but one."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        return False
    for thread in psutil.Process(process_id).threads():
        os.sched_setaffinity(thread.id, {allowed[processor % len(allowed)]})
    return True
