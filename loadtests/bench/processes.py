"""What the benchmarks ask of the machine: a free port, and the processor time of a process."""

from __future__ import annotations

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
