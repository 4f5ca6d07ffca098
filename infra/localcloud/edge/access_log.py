"""One JSON line per request, written after the fact, so that a request costs no more than a note of it.

Theory of operation. A finished exchange leaves an `Access`, which holds what it had at hand. Every FLUSH_S the oldest of them
become lines, LINES_PER_FLUSH at most: the daemon stores them, and storing what an edge can pass would cost more than the
passing. What waits is bounded by ACCESSES_MAX and by the bytes of its heads; beyond it the oldest is left out, counted in the
next line's `skipped`, unless it is a failure: of those another ACCESSES_MAX wait beside. So every request has its line while
there are at most LINES_PER_FLUSH / FLUSH_S a second, and the last ACCESSES_MAX have theirs always, if some seconds later. A
reader that falls behind makes lines wait, never requests.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections import deque
from collections.abc import Iterator

import msgspec

from infra.localcloud.edge.heads import RequestHead
from infra.localcloud.edge.routes import Candidate

FLUSH_S = 0.1
LINES_PER_FLUSH = 100
ACCESSES_MAX = 5000
WAITING_BYTES_MAX = 16 * 1024 * 1024
TARGET_BYTES_MAX = 2048
FAILURE_STATUS_MIN = 500
_USER_AGENT = re.compile(rb"\r\n(?i:user-agent):[ \t]*([^\r]{0,512})")
_encoder = msgspec.json.Encoder()


class Access(msgspec.Struct, gc=False):
    """What is noted of one exchange while it goes on. Seconds: `began_at_s` since the epoch, `answered_s` from then until the
    answer's head, None where no replica gave one."""

    request_id: bytes
    head: RequestHead
    client: bytes
    began_at_s: float
    status: int = 0
    tried: Candidate | None = None
    took_s: float = 0.0
    answered_s: float | None = None
    received_bytes: int = 0
    sent_bytes: int = 0
    upstream_error: str = ""


class AccessLine(msgspec.Struct, frozen=True):
    """Times in milliseconds, bytes with their heads."""

    time_ms: int  # the end
    request_id: str
    method: str
    host: str
    path: str
    status: int
    duration_ms: float
    upstream: str
    upstream_region: str
    client: str
    skipped: int = 0  # requests without a line since the last one
    upstream_ms: float | None = None  # until the head of the replica's answer; None where the edge answered, or nobody
    received_bytes: int = 0
    sent_bytes: int = 0
    user_agent: str = ""
    protocol: str = ""
    upstream_error: str = ""


def line_of(access: Access, skipped: int) -> AccessLine:
    head, tried, answered_s = access.head, access.tried, access.answered_s
    user_agent = _USER_AGENT.search(head.fields)
    return AccessLine(
        time_ms=int((access.began_at_s + access.took_s) * 1000),
        request_id=access.request_id.decode("ascii"),
        method=head.method.decode("ascii"),
        host=head.host.decode("ascii"),
        path=head.target[:TARGET_BYTES_MAX].partition(b"?")[0].decode("ascii"),  # a query may carry a token
        status=access.status,
        duration_ms=_ms(access.took_s),
        upstream=f"{tried.upstream[0]}:{tried.upstream[1]}" if tried else "",
        upstream_region=tried.region if tried else "",
        client=access.client.decode("ascii"),
        upstream_ms=None if answered_s is None else _ms(answered_s),
        received_bytes=access.received_bytes,
        sent_bytes=access.sent_bytes,
        user_agent=user_agent[1].rstrip().decode("latin-1") if user_agent else "",
        protocol="HTTP/1.1" if head.is_http11 else "HTTP/1.0",
        upstream_error=access.upstream_error,
        skipped=skipped,
    )


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)


class AccessLog:
    """Owned by the server. `descriptor` should not block: what it does not take now is tried again with the next flush."""

    def __init__(self, descriptor: int = 1) -> None:
        self._descriptor = descriptor
        self._waiting: deque[Access] = deque()
        self._waiting_bytes = 0  # of their heads
        self._failures: deque[Access] = deque()  # older than all that wait
        self._skipped = 0
        self._unsent = b""
        self._timer: asyncio.TimerHandle | None = None

    def add(self, access: Access) -> None:
        self._waiting.append(access)
        self._waiting_bytes += access.head.head_bytes
        if len(self._waiting) > ACCESSES_MAX or self._waiting_bytes > WAITING_BYTES_MAX:
            self._give_up(self._waiting.popleft())
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_S, self._flush)

    def close(self) -> bool:
        """Writes what waits, as far as it is taken now; whether that was all."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._write():
            if not (self._failures or self._waiting):
                return True
        return False

    def _give_up(self, oldest: Access) -> None:
        self._waiting_bytes -= oldest.head.head_bytes
        if oldest.status >= FAILURE_STATUS_MIN and len(self._failures) < ACCESSES_MAX:
            self._failures.append(oldest)
        else:
            self._skipped += 1

    def _flush(self) -> None:
        self._timer = None
        self._write()
        if self._unsent or self._failures or self._waiting:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_S, self._flush)

    def _write(self) -> bool:
        """Some lines, the oldest first; whether all of them were taken."""
        if not self._unsent:
            self._unsent = b"".join(self._lines())
        try:
            self._unsent = self._unsent[os.write(self._descriptor, self._unsent) :]
        except BlockingIOError:
            pass
        except OSError:  # nobody will ever read them: the daemon is gone, and so are we in a moment
            self._unsent = b""
        return not self._unsent

    def _lines(self) -> Iterator[bytes]:
        for _ in range(min(LINES_PER_FLUSH, len(self._failures) + len(self._waiting))):
            if self._failures:
                access = self._failures.popleft()
            else:
                access = self._waiting.popleft()
                self._waiting_bytes -= access.head.head_bytes
            yield _encoder.encode(line_of(access, self._skipped)) + b"\n"
            self._skipped = 0
