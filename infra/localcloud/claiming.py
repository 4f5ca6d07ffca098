"""A home belongs to one daemon at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


class DaemonRefused(Exception):
    """The daemon cannot run; one line with the next command."""


class RunsAlready(DaemonRefused):
    """Another daemon has this home."""


def private_directory(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.chmod(0o700)
    return path


@contextlib.contextmanager
def only_one(cloud: Path) -> Iterator[None]:
    """A lock that the operating system gives back whatever way we end. RunsAlready when another daemon has it."""
    descriptor = os.open(cloud / "daemon.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            home = cloud.parent
            hint = f"python -m infra.localcloud status --home {home}"
            raise RunsAlready(f"a local cloud for {home} runs already; see {hint}") from None
        yield
    finally:
        os.close(descriptor)
