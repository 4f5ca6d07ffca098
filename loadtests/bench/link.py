"""A TCP relay in this process: adds half a round trip each way, can be cut and mended. To a Unix socket or a TCP address."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

CHUNK_BYTES = 65_536
HELD_MAX = 1024


@dataclass
class Link:
    """`cut` drops what is connected and refuses what comes; `freeze` lets bytes in and none out, as a lost network does."""

    delay_s: float
    is_cut: bool = False
    thawed: asyncio.Event = field(default_factory=asyncio.Event)
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    def cut(self) -> None:
        self.is_cut = True
        for writer in self.writers:
            writer.transport.abort()

    def mend(self) -> None:
        self.is_cut = False
        self.thawed.set()

    def freeze(self) -> None:
        self.thawed.clear()


def socket_of(database_url: str) -> str:
    """The path of the Unix socket in a libpq URL."""
    return f"{parse_qs(urlsplit(database_url).query)['host'][0]}/.s.PGSQL.5432"


Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


@asynccontextmanager
async def linked(database_url: str, rtt_ms: float = 0.0) -> AsyncIterator[tuple[str, Link]]:
    """A URL that reaches the same database over TCP through a link, and the link."""
    async with relayed(lambda: asyncio.open_unix_connection(socket_of(database_url)), rtt_ms) as (port, link):
        yield urlsplit(database_url)._replace(netloc=f"postgres:x@127.0.0.1:{port}", query="").geturl(), link


@asynccontextmanager
async def relayed(connect: Connect, rtt_ms: float = 0.0) -> AsyncIterator[tuple[int, Link]]:
    """A port on loopback from which `connect`'s far end is `rtt_ms` away, and the link."""
    link = Link(rtt_ms / 2000)
    link.thawed.set()
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if link.is_cut:
            writer.transport.abort()
            return
        far_reader, far_writer = await connect()
        link.writers |= {writer, far_writer}
        for pair in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.create_task(_pump(link, *pair))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield port, link
    finally:
        server.close()
        link.cut()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pump(link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    loop = asyncio.get_running_loop()
    held: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(HELD_MAX)

    async def read() -> None:
        while data := await reader.read(CHUNK_BYTES):
            await held.put((loop.time() + link.delay_s, data))
        await held.put((loop.time() + link.delay_s, b""))

    reading = asyncio.create_task(read())
    try:
        while True:
            due, data = await held.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            await link.thawed.wait()
            if not data:
                return
            writer.write(data)
            await writer.drain()
    except OSError:
        return
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        writer.transport.abort()
