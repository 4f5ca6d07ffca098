"""One JSON line per request, buffered, and under a rate: a busy second keeps its failures and a sample of the rest.

The daemon stores these lines; writing every one at thousands a second would cost more than the proxying.
"""

from __future__ import annotations

import asyncio
import sys
import time

import msgspec

LINES_PER_SECOND_MAX = 50
FAILURES_PER_SECOND_MAX = 500
FLUSH_S = 0.5


class AccessLine(msgspec.Struct, frozen=True):
    time_ms: int
    request_id: str
    method: str
    host: str
    path: str
    status: int
    duration_ms: float
    upstream: str
    upstream_region: str
    client: str
    skipped: int  # lines left out since the last one


class AccessLog:
    """Owned by the server; `start` and `close` bound the life of its flushing."""

    def __init__(self) -> None:
        self._encoder = msgspec.json.Encoder()
        self._lines: list[bytes] = []
        self._second = 0
        self._count = 0
        self._skipped = 0
        self._timer: asyncio.TimerHandle | None = None

    def is_wanted(self, status: int) -> bool:
        """Asked before a line is built. Counts what is left out."""
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._count = second, 0
        self._count += 1
        if self._count <= (FAILURES_PER_SECOND_MAX if status >= 500 else LINES_PER_SECOND_MAX):
            return True
        self._skipped += 1
        return False

    def write(self, line: AccessLine) -> None:
        self._lines.append(self._encoder.encode(msgspec.structs.replace(line, skipped=self._skipped)))
        self._skipped = 0
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_S, self.flush)

    def flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._lines:
            sys.stdout.write(b"\n".join(self._lines).decode("utf-8") + "\n")
            sys.stdout.flush()
            self._lines.clear()
