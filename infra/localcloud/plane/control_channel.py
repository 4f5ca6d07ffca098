"""How the plane configures its own long-lived children (edges, links): whole tables over a socket pair.

The plane sends one JSON document per line, `{"generation": n, "table": ...}`; the child makes it so and answers
`{"generation": n, "errors": [...]}`. A table is always whole, so a lost or repeated message cannot leave half a change.
The end of the stream ends the child: it cannot outlive its plane even where no death signal exists (macOS).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import msgspec

DESCRIPTOR_VARIABLE = "CACHED_AUTH_CONTROL_FD"
DOCUMENT_BYTES_MAX = 4 * 1024 * 1024
ANSWER_TIMEOUT_S = 10.0

Table = TypeVar("Table")


class Order(msgspec.Struct, Generic[Table], frozen=True):
    generation: int
    table: Table


class Answer(msgspec.Struct, frozen=True):
    generation: int
    errors: tuple[str, ...] = ()


class Controller:
    """The plane's end."""

    def __init__(self, ours: socket.socket) -> None:
        self._socket = ours
        self._generation = 0
        self._lock = asyncio.Lock()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, table: object) -> tuple[str, ...]:
        """The errors of the child's answer. ConnectionError when the child is gone, TimeoutError when it is stuck."""
        async with self._lock, asyncio.timeout(ANSWER_TIMEOUT_S):
            if self._streams is None:
                self._streams = await asyncio.open_unix_connection(sock=self._socket, limit=DOCUMENT_BYTES_MAX)
            reader, writer = self._streams
            self._generation += 1
            writer.write(msgspec.json.encode(Order(self._generation, table)) + b"\n")
            await writer.drain()
            while True:
                line = await reader.readline()
                if not line:
                    raise ConnectionError("the child closed its control stream")
                answer = msgspec.json.decode(line, type=Answer)
                if answer.generation == self._generation:
                    return answer.errors

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
        else:
            self._socket.close()


def control_pair() -> tuple[Controller, socket.socket]:
    """Our end, and the child's, to be passed by descriptor and closed here after the start."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    return Controller(ours), theirs


def raise_descriptor_limit() -> None:
    """To the hard limit: a relayed connection takes two descriptors, and the usual soft limit is 1024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def serve_orders(kind: type[Table], apply: Callable[[Table], Awaitable[list[str]]]) -> None:
    """The child's end: applies each table in order; returns when the plane is gone."""
    own = socket.socket(fileno=int(os.environ[DESCRIPTOR_VARIABLE]))
    own.setblocking(False)
    reader, writer = await asyncio.open_unix_connection(sock=own, limit=DOCUMENT_BYTES_MAX)
    decoder = msgspec.json.Decoder(Order[kind])  # type: ignore[valid-type]
    while line := await reader.readline():
        order = decoder.decode(line)
        errors = await apply(order.table)
        writer.write(msgspec.json.encode(Answer(order.generation, tuple(errors))) + b"\n")
        await writer.drain()
    writer.close()
