"""Where a message body ends: pure readers that turn received bytes into bytes to send on.

Each `feed` returns (what to send, what is left over); left over is None while the body goes on. A chunked body is taken
apart and put together anew, so that extensions, trailers and odd chunk headers end here (RFC 9112 section 7.1).
"""

from __future__ import annotations

import re
from typing import Protocol

CHUNK_LINE_BYTES_MAX = 256
TRAILER_BYTES_MAX = 8 * 1024
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?\r\n")
LAST_CHUNK = b"0\r\n\r\n"


class BodyError(Exception):
    """A body that breaks its framing."""


class Body(Protocol):
    def feed(self, data: bytes) -> tuple[bytes, bytes | None]: ...


class LengthBody:
    """Content-Length bytes, passed on as they are."""

    __slots__ = ("_remaining",)

    def __init__(self, length: int) -> None:
        self._remaining = length

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        size = len(data)
        if size < self._remaining:
            self._remaining -= size
            return data, None
        out, rest = (data, b"") if size == self._remaining else (data[: self._remaining], data[self._remaining :])
        self._remaining = 0
        return out, rest


class UntilCloseBody:
    """All there is; with `is_chunking` as chunks, so that the receiver can tell the end from a break."""

    __slots__ = ("_is_chunking",)

    def __init__(self, is_chunking: bool) -> None:
        self._is_chunking = is_chunking

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        return (chunk(data) if self._is_chunking else data), None

    def end(self) -> bytes:
        return LAST_CHUNK if self._is_chunking else b""


class ChunkedBody:
    """Chunks; sent on as chunks, or plainly to a receiver that knows none (HTTP/1.0)."""

    __slots__ = ("_buffer", "_is_chunking", "_is_trailing", "_position", "_remaining", "bytes_seen")

    def __init__(self, is_chunking: bool = True) -> None:
        self._buffer = b""
        self._position = 0  # what is before it was read; the buffer is cut once per feed, not once per chunk
        self._remaining = 0  # bytes of the current chunk and its CRLF
        self._is_chunking = is_chunking
        self._is_trailing = False
        self.bytes_seen = 0

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        self._buffer += data
        out: list[bytes] = []
        while not self._is_trailing:
            if not (self._data(out) if self._remaining else self._size()):
                self._buffer, self._position = self._buffer[self._position :], 0
                return b"".join(out), None
        self._buffer, self._position = self._buffer[self._position :], 0
        return self._trailer(out)

    def _size(self) -> bool:
        end = self._buffer.find(b"\n", self._position, self._position + CHUNK_LINE_BYTES_MAX + 1)
        if end < 0:
            if len(self._buffer) - self._position > CHUNK_LINE_BYTES_MAX:
                raise BodyError("chunk header too long")
            return False
        line = _CHUNK_LINE.fullmatch(self._buffer, self._position, end + 1)
        if line is None:
            raise BodyError("malformed chunk header")
        size = int(line[1], 16)
        self._position = end + 1
        self._is_trailing = size == 0
        self._remaining = size + 2 if size else 0
        return True

    def _data(self, out: list[bytes]) -> bool:
        """Passes on what is there of the chunk; whether the chunk is complete."""
        start = self._position
        available = min(len(self._buffer) - start, max(self._remaining - 2, 0))
        if available:
            piece = self._buffer[start : start + available]
            self.bytes_seen += available
            out.append(chunk(piece) if self._is_chunking else piece)
            self._position = start = start + available
            self._remaining -= available
        if self._remaining > 2 or len(self._buffer) - start < 2:
            return False
        if not self._buffer.startswith(b"\r\n", start):
            raise BodyError("chunk without its end")
        self._position += 2
        self._remaining = 0
        return True

    def _trailer(self, out: list[bytes]) -> tuple[bytes, bytes | None]:
        """Drops trailer fields up to the empty line."""
        if self._buffer.startswith(b"\r\n"):
            rest = self._buffer[2:]
        else:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                if len(self._buffer) > TRAILER_BYTES_MAX:
                    raise BodyError("trailer too long")
                return b"".join(out), None
            rest = self._buffer[end + 4 :]
        self._buffer = b""
        out.append(LAST_CHUNK if self._is_chunking else b"")
        return b"".join(out), rest


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""
