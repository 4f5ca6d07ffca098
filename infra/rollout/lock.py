"""One promotion of a stack at a time.

The lock is the kernel's (flock), so that it is gone with its process, kill -9 included; no process id has to be judged dead
or alive. What the file says (who, since when, which process) is for the person who is refused.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import msgspec

from infra.rollout.errors import PromotionRunning


class Holder(msgspec.Struct, frozen=True):
    who: str
    since: datetime
    pid: int


@contextmanager
def only_one(folder: Path, who: str, now: datetime) -> Iterator[None]:
    """Holds the stack's lock; raises PromotionRunning."""
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise PromotionRunning(f"a promotion of {folder.name} is running: {_described(descriptor)}") from exc
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, msgspec.json.encode(Holder(who, now, os.getpid())), 0)
        try:
            yield
        finally:
            # Emptied, never removed: a waiting process may have the old file open, and would lock a file nobody else sees.
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _described(descriptor: int) -> str:
    try:
        holder = msgspec.json.decode(os.pread(descriptor, 4096, 0), type=Holder)
    except msgspec.MsgspecError:
        return "its owner has not written a name yet"
    return f"{holder.who}, since {holder.since:%Y-%m-%d %H:%M:%S} UTC, process {holder.pid}"
