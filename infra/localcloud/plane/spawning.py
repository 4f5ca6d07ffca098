"""Starting one operating system process: bound to our life, in its own session, its output read line by line.

`subprocess.Popen` rather than `asyncio.create_subprocess_exec`: the exit is watched by a pidfd, without a thread per
process, the same way under asyncio's and uvloop's event loop, and the process group is ended before the leader is
reaped, while its number still cannot belong to anybody else.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from infra.localcloud.plane.interface import StartFailed
from infra.localcloud.plane.log_files import LINE_CHARACTERS_MAX, LogFile

PR_SET_PDEATHSIG = 1  # prctl(2)
INHERITED = ("PATH", "LANG", "TZ", "HOME")

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass(frozen=True, slots=True)
class Identity:
    """The user a process runs as, where that is not ours."""

    user: int
    group: int


@dataclass(frozen=True, slots=True)
class Command:
    """What to run. `environment` is all the process gets, besides PATH, LANG, TZ and HOME of ours."""

    argv: tuple[str, ...]
    cwd: Path
    environment: Mapping[str, str]
    identity: Identity | None = None
    stop_signal: signal.Signals = signal.SIGTERM  # asks it to end; PostgreSQL's fast shutdown is SIGINT
    death_signal: signal.Signals = signal.SIGKILL  # what it gets when we are gone
    pass_descriptors: tuple[int, ...] = ()


def minimal_environment(given: Mapping[str, str]) -> dict[str, str]:
    return {name: os.environ[name] for name in INHERITED if name in os.environ} | dict(given)


def spawn(command: Command) -> subprocess.Popen[bytes]:
    """Starts it. Call from the thread that lives as long as the daemon: the death signal is tied to that thread.

    StartFailed when the program cannot be executed.
    """
    try:
        return subprocess.Popen(
            command.argv,
            cwd=command.cwd,
            env=minimal_environment(command.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            pass_fds=command.pass_descriptors,
            preexec_fn=_bind_to_parent(command.death_signal),  # one prctl, one comparison, no lock taken
            **_identity_arguments(command.identity),
        )
    except OSError as exc:
        raise StartFailed(f"{command.argv[0]}: {exc.strerror}") from exc


def _identity_arguments(identity: Identity | None) -> dict[str, Any]:
    if identity is None:
        return {}
    return {"user": identity.user, "group": identity.group, "extra_groups": []}


def _bind_to_parent(death_signal: signal.Signals) -> Callable[[], None] | None:
    """Runs between fork and exec, after the change of user, which would clear the setting (prctl(2))."""
    libc = _libc
    if libc is None:
        return None
    parent = os.getpid()

    def bind() -> None:
        libc.prctl(PR_SET_PDEATHSIG, int(death_signal))
        if os.getppid() != parent:  # it died before the call: nobody would tell us any more
            os._exit(1)

    return bind


def watch_exit(process: subprocess.Popen[bytes], ended: Callable[[int], None]) -> None:
    """Calls `ended(exit code)` on the loop, once; negative codes are signals. Leftovers of its group are ended."""
    loop = asyncio.get_running_loop()
    if not hasattr(os, "pidfd_open"):  # macOS: a thread that waits

        def wait() -> None:
            process.wait()
            loop.call_soon_threadsafe(ended, process.returncode)

        threading.Thread(target=wait, daemon=True, name=f"wait-{process.pid}").start()
        return
    descriptor = os.pidfd_open(process.pid)

    def gone() -> None:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        signal_group(process.pid, signal.SIGKILL)  # before it is reaped: the number is still its own
        ended(process.wait())

    loop.add_reader(descriptor, gone)


def signal_group(pid: int, number: signal.Signals) -> None:
    """To the whole group that `pid` leads; nothing when it is gone."""
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        return


class LineReader(asyncio.Protocol):
    """Cuts what a pipe carries into lines for the log; a line without an end is cut at the bound."""

    def __init__(self, log: LogFile, stream: str, closed: asyncio.Future[None]) -> None:
        self._log, self._stream, self._closed = log, stream, closed
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LINE_CHARACTERS_MAX:
            lines.append(self._rest)
            self._rest = b""
        self._write(lines)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._rest:
            self._write([self._rest])
        if not self._closed.done():
            self._closed.set_result(None)

    def _write(self, lines: Sequence[bytes]) -> None:
        if lines:
            self._log.append(self._stream, [line.decode("utf-8", "replace").rstrip("\r") for line in lines])


async def read_lines(pipe: IO[bytes] | None, log: LogFile, stream: str, closed: asyncio.Future[None]) -> None:
    """Reads `pipe` into `log` until its end; `closed` is done then. Returns when the reading has begun."""
    await asyncio.get_running_loop().connect_read_pipe(lambda: LineReader(log, stream, closed), pipe)
