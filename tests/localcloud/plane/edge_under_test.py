"""An edge with one address, a client that speaks raw bytes to it, and replicas that give fixed answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from infra.localcloud.edge.routes import EdgeRoute, UpstreamGroup
from infra.localcloud.edge.shared import Listening, Shared

from .waiting import DEADLINE_S

Listen = Callable[[Callable[..., Awaitable[None]]], Awaitable[int]]
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Edge:
    """An edge with one listening address on a free port."""

    shared: Shared
    listening: Listening
    port: int
    opened: list[Client] = field(default_factory=list)

    def to(self, *ports: int, farther: tuple[int, ...] = (), is_deployed: bool = True) -> None:
        groups = [UpstreamGroup("us-west2", tuple(("127.0.0.1", port) for port in ports))] if ports else []
        groups += [UpstreamGroup("europe-west4-drams3a", tuple(("127.0.0.1", port) for port in farther))] if farther else []
        self.listening.route = EdgeRoute("d", "127.0.0.1", self.port, tuple(groups), is_deployed)
        self.shared.known = frozenset(("127.0.0.1", port) for port in (*ports, *farther))

    async def connect(self) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        self.opened.append(client)
        return client


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def head(self) -> bytes:
        async with asyncio.timeout(DEADLINE_S):
            return await self._reader.readuntil(b"\r\n\r\n")

    async def exactly(self, count: int) -> bytes:
        async with asyncio.timeout(DEADLINE_S):
            return await self._reader.readexactly(count)

    async def rest(self) -> bytes:
        async with asyncio.timeout(DEADLINE_S):
            return await self._reader.read()

    async def answer(self) -> tuple[int, bytes, bytes]:
        """Status, head in lower case, body by Content-Length."""
        head = (await self.head()).lower()
        length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
        return int(head.split()[1]), head, await self.exactly(int(length or 0))

    def close(self) -> None:
        self._writer.close()


def answering(answer: bytes, seen: list[bytes] | None = None) -> Callable[..., Awaitable[None]]:
    """A replica that gives `answer` to each request without a body, on kept connections."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if seen is not None:
                seen.append(head)
            writer.write(answer)
            await writer.drain()

    return handle
