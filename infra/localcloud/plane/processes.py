"""The supervisor: starts, watches and ends processes by key. It knows nothing of what they are for."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psutil

from infra.localcloud.plane.interface import Exited, LogLine, PlaneError, ProcessStatus, StartFailed
from infra.localcloud.plane.log_files import LogFile, log_path, prune_logs, read_tail, remove_log
from infra.localcloud.plane.records import ProcessRecord, Records, end_leftovers
from infra.localcloud.plane.spawning import Command, read_lines, signal_group, spawn, watch_exit
from infra.localcloud.world_clock import WorldClock

EVENTS_MAX = 1000
ENDED_KEPT_MAX = 300
LOG_DRAIN_S = 1.0  # for the last lines of a process that ended
KILL_WAIT_S = 5.0


@dataclass(slots=True, eq=False)
class Child:
    """A process we started and have not yet seen the end of."""

    key: str
    process: subprocess.Popen[bytes]
    command: Command
    log: LogFile
    started: str
    exit_code: asyncio.Future[int] = field(repr=False)
    is_wanted_end: bool = False


class Supervisor:
    """One per home. Files: `directory`/processes.json and `directory`/logs/<key>.jsonl."""

    def __init__(self, directory: Path, clock: WorldClock | None = None) -> None:
        self._directory, self._clock = directory, clock
        self._logs = directory / "logs"
        self._records = Records(directory / "processes.json")
        self._children: dict[str, Child] = {}
        self._starts: dict[str, int] = {}
        self._finishing: set[asyncio.Task[None]] = set()
        self._events: asyncio.Queue[Exited] = asyncio.Queue(EVENTS_MAX)

    async def reconcile(self) -> list[str]:
        """Before any start: ends what an earlier daemon left behind; the keys that were found running."""
        self._logs.mkdir(parents=True, exist_ok=True, mode=0o700)
        prune_logs(self._logs, ENDED_KEPT_MAX)
        self._records.load()
        return await asyncio.to_thread(end_leftovers, self._records)

    async def start(self, key: str, command: Command) -> Child:
        """Spawns; returns at once. PlaneError when `key` is running already, StartFailed when it cannot be executed."""
        if key in self._children:
            raise PlaneError(f"process {key!r} is running already: stop it first")
        record = ProcessRecord(argv=command.argv, cwd=str(command.cwd), stop_signal=int(command.stop_signal))
        self._records.starting(key, record)
        try:
            process = spawn(command)
        except StartFailed:
            self._records.ended(key)
            raise
        self._records.started(key, process.pid)
        loop = asyncio.get_running_loop()
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        child = Child(key, process, command, LogFile(log_path(self._logs, key), self._clock), now, loop.create_future())
        self._children[key] = child
        self._starts[key] = self._starts.get(key, 0) + 1
        self._forget_oldest()
        drained: list[asyncio.Future[None]] = [loop.create_future(), loop.create_future()]
        watch_exit(process, lambda exit_code: self._ended(child, drained, exit_code))  # before anything that can be cancelled
        try:
            await read_lines(process.stdout, child.log, "stdout", drained[0])
            await read_lines(process.stderr, child.log, "stderr", drained[1])
        except BaseException:
            signal_group(process.pid, signal.SIGKILL)
            raise
        return child

    async def stop(self, key: str, drain_s: float) -> None:
        """Asks it to end, waits up to `drain_s` seconds, ends it and its whole group. Unknown key: nothing to do."""
        child = self._children.get(key)
        if child is None:
            return
        child.is_wanted_end = True
        with contextlib.suppress(ProcessLookupError):
            child.process.send_signal(child.command.stop_signal)
            signal_group(child.process.pid, signal.SIGCONT)  # one that was paused could not hear it
        try:
            await asyncio.wait_for(asyncio.shield(child.exit_code), drain_s)
        except TimeoutError:
            signal_group(child.process.pid, signal.SIGKILL)
            await asyncio.wait_for(asyncio.shield(child.exit_code), KILL_WAIT_S)

    async def close(self, drain_s: float = 5.0) -> None:
        """Ends everything, the newest first, each with a bounded wait."""
        for key in reversed(list(self._children)):
            await self.stop(key, drain_s)

    def find(self, key: str) -> Child | None:
        return self._children.get(key)

    async def events(self) -> AsyncIterator[Exited]:
        while True:
            yield await self._events.get()

    def logs(self, key: str, limit: int) -> list[LogLine]:
        return read_tail(log_path(self._logs, key), limit)

    def status(self) -> list[ProcessStatus]:
        return [self._status_of(key) for key in self._starts]

    def _status_of(self, key: str) -> ProcessStatus:
        child, restarts = self._children.get(key), self._starts[key] - 1
        if child is None:
            return ProcessStatus(key, None, is_running=False, started=None, restarts=restarts, memory_bytes=None)
        memory_bytes, cpu_s, is_paused = None, None, False
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(child.process.pid)
            times = process.cpu_times()
            memory_bytes, cpu_s = process.memory_info().rss, times.user + times.system
            is_paused = process.status() == psutil.STATUS_STOPPED
        return ProcessStatus(key, child.process.pid, True, child.started, restarts, memory_bytes, cpu_s, is_paused)

    def _forget_oldest(self) -> None:
        """Replicas' keys are new with each deployment: of those long ended neither status nor log is kept for ever."""
        ended = [key for key in self._starts if key not in self._children]
        for key in ended[: max(0, len(ended) - ENDED_KEPT_MAX)]:
            del self._starts[key]
            remove_log(log_path(self._logs, key))

    def _ended(self, child: Child, drained: list[asyncio.Future[None]], exit_code: int) -> None:
        task = asyncio.get_running_loop().create_task(self._finish(child, drained, exit_code))
        self._finishing.add(task)
        task.add_done_callback(self._finishing.discard)

    async def _finish(self, child: Child, drained: list[asyncio.Future[None]], exit_code: int) -> None:
        """After the end: the last lines first, then the record, then those who wait, then the event."""
        await asyncio.wait(drained, timeout=LOG_DRAIN_S)
        if self._children.get(child.key) is child:
            del self._children[child.key]
        self._records.ended(child.key)
        last_lines = child.log.last_texts()
        child.log.close()
        if not child.exit_code.done():
            child.exit_code.set_result(exit_code)
        if not child.is_wanted_end:
            self._report(Exited(child.key, exit_code, last_lines))

    def _report(self, event: Exited) -> None:
        if self._events.full():  # nobody listens: the newest ends are worth more than the oldest
            self._events.get_nowait()
        self._events.put_nowait(event)


async def ended_within(child: Child, timeout_s: float) -> int | None:
    """Its exit code, or None when it is still running after `timeout_s`."""
    with contextlib.suppress(TimeoutError):
        return await asyncio.wait_for(asyncio.shield(child.exit_code), timeout_s)
    return None


def settled(child: Child) -> None:
    """From here on its end is an event. StartFailed when it ended just now, since that event was not sent."""
    child.is_wanted_end = False
    if child.exit_code.done():
        raise start_failed(child, f"ended with exit code {child.exit_code.result()} just after it was ready")


def start_failed(child: Child, what: str) -> StartFailed:
    """The error for a child that did not make it, with what it said last."""
    return StartFailed(f"{child.key}: {what}", child.log.last_texts())
