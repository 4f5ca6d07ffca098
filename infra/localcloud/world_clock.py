"""The cloud's own time: the machine's, moved forward by as much as somebody asked for.

Theory of operation. What the platform decides by time can be tried without waiting: back-off and cron schedules, overlap,
hourly limits, retention, the times on deployments and log lines. Each of these asks this clock, and whoever sleeps on it is
woken when it is moved. It only goes forward, as clocks do that others have read already. What it cannot move: processes of
customers and databases have the machine's time; and waits for real things (a health check, a drain, a deadline) are real.

Supabase's Auth stands between: what it issues is read by processes that have the machine's time, who would refuse a token from
the future. So it issues by the machine's clock, and lets what it has issued grow older with each move that came after
(`Ageing`): a token of an hour that was issued before the clock went an hour forward has expired, one that is issued now has not.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from infra.localcloud.plane.documents import read_document, write_document

CLOCK_FILE = "clock.json"
ADVANCE_S_MAX = 10 * 366 * 86_400.0
MOVES_KEPT = 1000


class Move(msgspec.Struct, frozen=True):
    """`at_s`: when, in seconds since 1970 by the machine's clock."""

    at_s: float
    by_s: float


class ClockRecord(msgspec.Struct, frozen=True):
    offset_s: float = 0.0
    moves: tuple[Move, ...] = ()


class WorldClock:
    """`path` keeps the offset over restarts; None keeps it nowhere."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        record = read_document(path, ClockRecord, ClockRecord()) if path else ClockRecord()
        self.offset_s, self._moves = record.offset_s, record.moves
        self._moved = asyncio.Event()

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.offset_s)

    def seconds(self) -> float:
        """Since 1970."""
        return time.time() + self.offset_s

    def monotonic(self) -> float:
        return time.monotonic() + self.offset_s

    def timestamp(self) -> str:
        """RFC 3339 in UTC, in milliseconds."""
        return self.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def shifted(self, timestamp: str) -> str:
        """A time that was taken from the machine's clock, as this one has it."""
        if not self.offset_s:
            return timestamp
        moved = datetime.fromisoformat(timestamp) + timedelta(seconds=self.offset_s)
        return moved.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def advance(self, duration_s: float) -> None:
        """ValueError for a way back, or for one that is longer than dates last."""
        if not 0 <= duration_s <= ADVANCE_S_MAX - self.offset_s:
            raise ValueError(f"advance_s: expected 0 to {ADVANCE_S_MAX - self.offset_s:g}, got {duration_s:g}")
        self.offset_s += duration_s
        self._moves = (*self._moves, Move(time.time(), duration_s))[-MOVES_KEPT:]
        if self._path is not None:
            write_document(self._path, ClockRecord(self.offset_s, self._moves))
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    async def sleep(self, duration_s: float) -> None:
        """Until this clock has gone that much further."""
        due = self.monotonic() + duration_s
        while (left_s := due - self.monotonic()) > 0:
            try:
                async with asyncio.timeout(left_s):
                    await self._moved.wait()
            except TimeoutError:
                return


class Ageing:
    """What was moved since, for a process of the cloud that is not the daemon. `path` is the daemon's record; None: nothing."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._moves: tuple[Move, ...] = ()

    def now_for(self, moment: datetime) -> datetime:
        """The machine's time, and as much later as the clock was moved since `moment`."""
        since = moment.timestamp()
        return datetime.now(UTC) + timedelta(seconds=sum(move.by_s for move in self._current() if move.at_s > since))

    def _current(self) -> tuple[Move, ...]:
        """The file is replaced as a whole, so that another inode or time says that it was."""
        if self._path is None:
            return ()
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return ()
        if self._seen != (found.st_ino, found.st_mtime_ns):
            self._moves = read_document(self._path, ClockRecord, ClockRecord()).moves
            self._seen = (found.st_ino, found.st_mtime_ns)
        return self._moves
