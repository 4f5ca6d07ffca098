"""Long lives at the edge: tunnels, time limits, and replicas that come and go under load."""

from __future__ import annotations

import asyncio

import pytest

from infra.localcloud.edge.routes import EdgeRoute, UpstreamGroup
from infra.localcloud.edge.server import EdgeServer

from .edge_under_test import GET, OK, Client, Edge, Listen, answering
from .waiting import DEADLINE_S, eventually

pytestmark = pytest.mark.anyio


async def test_an_upgrade_becomes_a_tunnel(edge: Edge, listen: Listen) -> None:
    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert b"upgrade: websocket" in await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhello")
        while data := await reader.read(100):
            writer.write(data.upper())

    edge.to(await listen(shout))
    client = await edge.connect()
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    assert (await client.head()).startswith(b"HTTP/1.1 101 ")
    assert await client.exactly(5) == b"hello"
    client.send(b"abc")
    assert await client.exactly(3) == b"ABC"
    client.close()


async def test_a_slow_head_and_an_idle_connection_end(edge: Edge, listen: Listen) -> None:
    edge.to(await listen(answering(OK)))
    slow, idle = await edge.connect(), await edge.connect()
    slow.send(b"GET / HT")
    idle.send(GET)
    await idle.answer()
    await eventually(lambda: len(edge.shared.clients) == 2)
    for connection in list(edge.shared.clients):
        connection.sweep(edge.shared.loop.time() + 3600)
    assert (await slow.rest()).startswith(b"HTTP/1.1 408 ")
    assert await idle.rest() == b""


async def test_an_answer_that_never_comes_is_a_504(edge: Edge, listen: Listen) -> None:
    arrived = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        arrived.set()
        await reader.read()

    edge.to(await listen(silent))
    client = await edge.connect()
    client.send(GET)
    async with asyncio.timeout(DEADLINE_S):
        await arrived.wait()
    for connection in list(edge.shared.clients):
        connection.sweep(edge.shared.loop.time() + 3600)
    assert (await client.answer())[0] == 504


async def test_a_refused_upload_still_reads_its_answer(edge: Edge, listen: Listen) -> None:
    """The client is in the middle of sending: a reset would take the answer from it."""
    edge.to(await listen(answering(OK)))
    client = await edge.connect()
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999999\r\n\r\n" + b"x" * 1_000_000)
    assert (await client.rest()).startswith(b"HTTP/1.1 413 ")


async def test_replicas_come_and_go_under_load_and_no_request_is_lost(edge: Edge, listen: Listen) -> None:
    """What a rolling deploy does: switch, then the old one closes its kept connections."""
    statuses: list[int] = []
    is_over = False

    async def ask() -> None:
        client = await edge.connect()
        while not is_over:
            client.send(GET)
            statuses.append((await client.answer())[0])

    writers: set[asyncio.StreamWriter] = set()

    async def replica(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        await answering(OK)(reader, writer)

    edge.to(await listen(replica))
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        for _ in range(8):
            tasks.create_task(ask())
        for _ in range(10):
            seen = len(statuses)
            await eventually(lambda: len(statuses) > seen + 50)  # noqa: B023 - awaited at once
            old = set(writers)
            edge.to(await listen(replica), await listen(replica))
            edge.shared.pool.sweep(edge.shared.known)
            await eventually(lambda: len(statuses) > seen + 100)  # noqa: B023 - awaited at once
            for writer in old:
                writer.close()
        is_over = True
    assert set(statuses) == {200}


async def test_a_swap_does_not_disturb_a_request_under_way(listen: Listen, octet: int) -> None:
    answered, arrived = asyncio.Event(), asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        arrived.set()
        await answered.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nold")

    old, new = await listen(slow), await listen(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nnew"))

    def table(port: int) -> list[EdgeRoute]:
        groups = (UpstreamGroup("us-west2", (("127.0.0.1", port),)),)
        return [EdgeRoute("d", f"127.{octet}.1.2", 8080, groups, True)]

    server = EdgeServer("us-west2")
    assert await server.follow(table(old)) == []
    first = Client(*await asyncio.open_connection(f"127.{octet}.1.2", 8080))
    first.send(GET)
    await arrived.wait()
    assert await server.follow(table(new)) == []
    second = Client(*await asyncio.open_connection(f"127.{octet}.1.2", 8080))
    second.send(GET)
    assert (await second.answer())[2] == b"new"
    draining = asyncio.create_task(server.drain())
    await asyncio.sleep(0)
    answered.set()
    assert (await first.answer())[2] == b"old"  # also through the drain
    second.close()
    first.close()
    async with asyncio.timeout(DEADLINE_S):
        await draining
    with pytest.raises(OSError, match="Connect"):
        await asyncio.open_connection(f"127.{octet}.1.2", 8080)
