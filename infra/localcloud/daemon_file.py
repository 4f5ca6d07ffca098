"""daemon.json: who the daemon of a home is, and whether that one is still alive."""

from __future__ import annotations

from pathlib import Path

import msgspec
import psutil

from infra.localcloud.plane.documents import write_document

NAME = "daemon.json"
VERSION = "1"
START_TIME_TOLERANCE_S = 1.0


class DaemonRecord(msgspec.Struct, frozen=True):
    """`process_started` (seconds since 1970, as the operating system has it) tells our process from a later one that got
    the same pid."""

    pid: int
    started: str
    url: str
    supabase_url: str
    token_file: str
    version: str
    process_started: float


def read_record(cloud: Path) -> DaemonRecord | None:
    """None where there is no file, or one that nobody can use: a daemon that runs rewrites it, a dead one needs none."""
    try:
        return msgspec.json.decode((cloud / NAME).read_bytes(), type=DaemonRecord)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def write_record(cloud: Path, record: DaemonRecord) -> None:
    write_document(cloud / NAME, record)


def remove_record(cloud: Path) -> None:
    (cloud / NAME).unlink(missing_ok=True)


def living_process(record: DaemonRecord) -> psutil.Process | None:
    """The daemon's process; None when it ended, also when another program has its pid now."""
    try:
        process = psutil.Process(record.pid)
        is_same = abs(process.create_time() - record.process_started) < START_TIME_TOLERANCE_S
        return process if is_same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None
    except psutil.AccessDenied:
        return None  # somebody else's process: it cannot be ours


def living_record(cloud: Path) -> DaemonRecord | None:
    record = read_record(cloud)
    return record if record is not None and living_process(record) is not None else None
