"""What is running, on disk: written before and after each start, so that a killed daemon's leftovers can be ended.

A record names a process by its number *and* its start time: numbers are used again. A record without a number was written
just before a start that we did not live to see; its process, if there is one, is the orphan with exactly that command in
exactly that directory. Anything less certain is somebody else's process and stays untouched.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec
import psutil

from infra.localcloud.plane.documents import read_document, write_document

START_TIME_TOLERANCE_S = 2.0  # psutil derives it from the boot time, which clock adjustments move a little


class ProcessRecord(msgspec.Struct, frozen=True):
    argv: tuple[str, ...]
    cwd: str
    stop_signal: int
    pid: int | None = None
    created: float | None = None  # seconds since the epoch, as psutil says


class Records:
    """processes.json: key -> record. `load` before anything else, once the home is claimed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._records: dict[str, ProcessRecord] = {}

    def load(self) -> None:
        self._records = read_document(self._path, dict[str, ProcessRecord], {})

    def starting(self, key: str, record: ProcessRecord) -> None:
        self._records[key] = record
        self._write()

    def started(self, key: str, pid: int) -> None:
        created = None
        with contextlib.suppress(psutil.Error):
            created = psutil.Process(pid).create_time()
        self._records[key] = msgspec.structs.replace(self._records[key], pid=pid, created=created)
        self._write()

    def ended(self, key: str) -> None:
        if self._records.pop(key, None) is not None:
            self._write()

    def all(self) -> Mapping[str, ProcessRecord]:
        return dict(self._records)

    def _write(self) -> None:
        write_document(self._path, self._records)


def end_leftovers(records: Records, wait_s: float = 5.0) -> list[str]:
    """Ends what an earlier daemon left running, politely and then not; the keys that were found running. Blocks."""
    found = {key: process for key, record in records.all().items() if (process := _leftover(record)) is not None}
    for key, process in found.items():
        with contextlib.suppress(psutil.Error):
            process.send_signal(records.all()[key].stop_signal)
    deadline = time.monotonic() + wait_s
    for process in found.values():
        with contextlib.suppress(psutil.Error):
            process.wait(max(0.0, deadline - time.monotonic()))
    for process in found.values():
        _end_group(process)
    for key in records.all():
        records.ended(key)
    return sorted(found)


def _leftover(record: ProcessRecord) -> psutil.Process | None:
    if record.pid is None:
        return _orphan(record)
    try:
        process = psutil.Process(record.pid)
        is_same = record.created is not None and abs(process.create_time() - record.created) < START_TIME_TOLERANCE_S
        # Servers rewrite their title (valkey-server does), the program's name stays in it.
        is_ours = is_same and Path(record.argv[0]).name in " ".join(process.cmdline())
    except psutil.Error:
        return None
    return process if is_ours and process.status() != psutil.STATUS_ZOMBIE else None


def _orphan(record: ProcessRecord) -> psutil.Process | None:
    for process in psutil.process_iter(["ppid", "cmdline", "cwd"]):
        seen = process.info
        if seen["ppid"] in (0, 1) and tuple(seen["cmdline"] or ()) == record.argv and seen["cwd"] == record.cwd:
            return process
    return None


def _end_group(process: psutil.Process) -> None:
    """SIGKILL to its group; psutil checks once more that the number was not given to another process."""
    with contextlib.suppress(psutil.Error, ProcessLookupError, PermissionError):
        if process.is_running() and os.getpgid(process.pid) == process.pid:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(2.0)
