"""What processes write, kept as JSON lines under a bound: the newest lines survive, the oldest go."""

from __future__ import annotations

import hashlib
import os
import re
from collections import deque
from pathlib import Path

import msgspec

from infra.localcloud.plane.interface import LogLine
from infra.localcloud.world_clock import WorldClock

FILE_BYTES_MAX = 4 * 1024 * 1024  # per file; one older file is kept beside it
LINE_CHARACTERS_MAX = 16 * 1024
OLDER = ".older"
BLOCK_BYTES = 64 * 1024
LINES_KEPT_MAX = 500  # in memory, for the tail of a process that just failed


class StoredLine(msgspec.Struct, frozen=True):
    timestamp: str
    stream: str
    text: str


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(StoredLine)


def log_path(directory: Path, key: str) -> Path:
    """`<key>.jsonl`; a key that is no plain file name gets its unusual characters replaced and a digest appended."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", key)[:120]
    if plain == key and not key.startswith("."):
        return directory / f"{key}.jsonl"
    return directory / f"{plain.lstrip('.')}-{hashlib.sha256(key.encode()).hexdigest()[:8]}.jsonl"


class LogFile:
    """The log of one key, open for appending while its process runs."""

    def __init__(self, path: Path, clock: WorldClock | None = None) -> None:
        self._path, self._clock = path, clock or WorldClock()
        self._newest: deque[StoredLine] = deque(maxlen=LINES_KEPT_MAX)
        self._file = path.open("ab")
        self._bytes = self._file.tell()

    def append(self, stream: str, texts: list[str]) -> None:
        """Writes one chunk's lines at once: a busy process costs one write per chunk, not per line."""
        if self._file.closed:
            return
        now = self._clock.now().isoformat(timespec="microseconds").replace("+00:00", "Z")
        lines = [StoredLine(now, stream, text[:LINE_CHARACTERS_MAX]) for text in texts]
        self._newest.extend(lines)
        encoded = b"".join(_encoder.encode(line) + b"\n" for line in lines)
        if self._bytes + len(encoded) > FILE_BYTES_MAX:
            self._rotate()
        self._file.write(encoded)
        self._file.flush()
        self._bytes += len(encoded)

    def last_texts(self, count: int = 20) -> tuple[str, ...]:
        return tuple(line.text for line in list(self._newest)[-count:])

    def close(self) -> None:
        self._file.close()

    def _rotate(self) -> None:
        self._file.close()
        self._path.replace(self._path.with_suffix(OLDER))
        self._file = self._path.open("ab")
        self._bytes = 0


def remove_log(path: Path) -> None:
    for part in (path, path.with_suffix(OLDER)):
        part.unlink(missing_ok=True)


def prune_logs(directory: Path, keep: int) -> None:
    """Keeps the `keep` logs written last. Call before any of them is open."""
    paths = sorted(directory.glob("*.jsonl"), key=lambda path: path.stat().st_mtime)
    for path in paths[: max(0, len(paths) - keep)]:
        remove_log(path)


def read_tail(path: Path, limit: int) -> list[LogLine]:
    """The newest `limit` lines, oldest first, over the current and the rotated file. A torn line is left out."""
    if limit <= 0:
        return []
    newest, is_whole = _newest(path, limit)
    if is_whole and len(newest) < limit:
        newest = _newest(path.with_suffix(OLDER), limit - len(newest))[0] + newest
    return newest


def _newest(path: Path, limit: int) -> tuple[list[LogLine], bool]:
    """With whether that is all there is. Without a torn last line there are `limit` of them in so many."""
    found = []
    lines, is_whole = _last_lines(path, limit + 1)
    for line in lines:
        try:
            stored = _decoder.decode(line)
        except msgspec.DecodeError:
            continue
        found.append(LogLine(timestamp=stored.timestamp, stream=stored.stream, text=stored.text))
    return found[-limit:], is_whole


def _last_lines(path: Path, limit: int) -> tuple[list[bytes], bool]:
    """Read from the end: whoever looks at a busy process every second must not read megabytes each time."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return [], True
    with file:
        start = file.seek(0, os.SEEK_END)
        blocks: list[bytes] = []
        line_ends = 0
        while start > 0 and line_ends <= limit:
            length = min(BLOCK_BYTES, start)
            start -= length
            file.seek(start)
            blocks.append(file.read(length))
            line_ends += blocks[-1].count(b"\n")
    lines = b"".join(reversed(blocks)).split(b"\n")
    whole = [line for line in (lines[1:] if start > 0 else lines) if line]
    return whole[-limit:], start == 0 and len(whole) <= limit
