"""What the benchmarks ask of the machine: a free port, the processor time of a process, a processor for it alone."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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


def waited_s(process_id: int) -> float:
    """How long its first thread has been ready to run without a processor (schedstat(5)); 0.0 where the system does not tell."""
    try:
        return int(Path(f"/proc/{process_id}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


@contextmanager
def ahead_of_others(*process_ids: int) -> Iterator[bool]:
    """These processes run before all ordinary ones until the block is left (SCHED_FIFO); False where we may not decide that.

    For what is measured, not for what makes it work: a process that never sleeps would keep its processor from everybody else.
    """
    threads = [thread.id for process_id in process_ids for thread in psutil.Process(process_id).threads()]
    try:
        for thread in threads:
            os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        yield False
        return
    try:
        yield True
    finally:
        for thread in threads:
            os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))
