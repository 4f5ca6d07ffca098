"""What goes wrong behind an edge or in front of it, and what the other side gets to see of that."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest

from .edge_under_test import GET, OK, Edge, Listen, answering
from .waiting import DEADLINE_S, eventually

pytestmark = pytest.mark.anyio


async def test_a_replica_that_refuses_is_passed_over(edge: Edge, listen: Listen, unused_tcp_ports: list[int]) -> None:
    """Also across regions: the farther replica answers, and says so when asked."""
    edge.to(*unused_tcp_ports, farther=(await listen(answering(OK)),))
    client = await edge.connect()
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-Railway-Debug: 1\r\n\r\n")
    status, head, _ = await client.answer()
    assert status == 200
    assert b"x-railway-upstream-zone: railway/europe-west4-drams3a\r\n" in head
    client.close()


@pytest.mark.parametrize(
    ("is_deployed", "status", "message"), [(True, 502, "Application failed to respond"), (False, 404, "Application not found")]
)
async def test_nobody_to_answer(edge: Edge, is_deployed: bool, status: int, message: str) -> None:
    edge.to(is_deployed=is_deployed)
    client = await edge.connect()
    for _ in range(2):  # the connection stays usable
        client.send(GET)
        found, head, body = await client.answer()
        document = json.loads(body)
        assert found == status
        assert b"content-type: application/json\r\n" in head
        assert (document["status"], document["code"], document["message"]) == ("error", status, message)
        assert document["request_id"].encode() in head
    client.close()


BROKEN = [
    b"",
    b"HTTP/1.1 200 OK\r\nContent-Le",
    b"nonsense\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
]


@pytest.mark.parametrize("answer", BROKEN)
async def test_a_replica_that_breaks_before_its_answer_is_a_502(edge: Edge, listen: Listen, answer: bytes) -> None:
    async def broken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    edge.to(await listen(broken))
    client = await edge.connect()
    client.send(GET)
    assert (await client.answer())[0] == 502
    client.close()


@pytest.mark.parametrize("framing", [b"Content-Length: 100\r\n\r\nhalf", b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"])
async def test_a_cut_answer_never_looks_whole(edge: Edge, listen: Listen, framing: bytes) -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n" + framing)
        await writer.drain()

    edge.to(await listen(half))
    client = await edge.connect()
    client.send(GET)
    received = b""
    with contextlib.suppress(ConnectionError):
        received = await client.rest()
    assert not received.endswith(b"0\r\n\r\n")


async def test_a_kept_connection_that_was_closed_is_no_failure(edge: Edge, listen: Listen) -> None:
    """The replica closes after each answer without saying so: the next GET finds a dead connection and is sent again."""

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await writer.drain()

    edge.to(await listen(once))
    client = await edge.connect()
    for _ in range(20):
        client.send(GET)
        assert (await client.answer())[0] == 200
    client.close()


async def test_a_replica_that_went_with_its_kept_connections_is_passed_over(edge: Edge, listen: Listen) -> None:
    """The retry on the same replica may find it gone altogether: then another one answers."""

    async def one_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        server.close()
        writer.write(OK.replace(b"ok", b"no"))
        await reader.readuntil(b"\r\n\r\n")
        writer.close()  # instead of a second answer

    server = await asyncio.start_server(one_answer, "127.0.0.1", 0)
    going, staying = server.sockets[0].getsockname()[1], await listen(answering(OK))
    edge.shared.random_index = lambda size: 0  # type: ignore[method-assign]
    edge.to(going, staying)
    client = await edge.connect()
    for expected in (b"no", b"ok"):
        client.send(GET)
        assert (await client.answer())[::2] == (200, expected)


async def test_a_post_is_never_sent_twice(edge: Edge, listen: Listen) -> None:
    posts = 0

    async def die_on_post(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal posts
        while True:
            if (await reader.readuntil(b"\r\n\r\n")).startswith(b"POST"):
                posts += 1
                return
            writer.write(OK)

    edge.to(await listen(die_on_post))
    client = await edge.connect()
    client.send(GET)
    assert (await client.answer())[0] == 200
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
    assert (await client.answer())[0] == 502
    assert posts == 1
    client.close()


async def test_a_smuggled_request_never_reaches_a_replica(edge: Edge, listen: Listen) -> None:
    seen: list[bytes] = []
    edge.to(await listen(answering(OK, seen)))
    client = await edge.connect()
    client.send(
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        b"GET /admin HTTP/1.1\r\nHost: a\r\n\r\n"
    )
    assert (await client.rest()).startswith(b"HTTP/1.1 400 ")
    assert seen == []


async def test_a_request_refused_while_we_connect_is_never_sent(edge: Edge, listen: Listen) -> None:
    seen: list[bytes] = []
    edge.to(await listen(answering(OK, seen)))
    client = await edge.connect()
    await eventually(lambda: edge.shared.clients)
    (connection,) = edge.shared.clients
    connection.data_received(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    connection.data_received(b"not a chunk\r\n")  # before the loop could connect
    assert (await client.rest()).startswith(b"HTTP/1.1 400 ")
    assert seen == []


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\nA: " + b"x" * 40_000, 431),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999999\r\n\r\n", 413),
        (b"\x16\x03\x01\r\n\r\n", 400),
    ],
)
async def test_what_is_too_much_is_refused_and_closed(edge: Edge, listen: Listen, sent: bytes, status: int) -> None:
    edge.to(await listen(answering(OK)))
    client = await edge.connect()
    client.send(sent)
    assert (await client.rest()).startswith(b"HTTP/1.1 %d " % status)


async def test_a_large_answer_is_not_held_in_memory(edge: Edge, listen: Listen) -> None:
    """A client that does not read stops the replica's writing."""
    written = 0

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        for _ in range(100):
            writer.write(b"x" * 1_000_000)
            await writer.drain()
            written += 1

    edge.to(await listen(pour))
    client = await edge.connect()
    client.send(GET)
    await client.head()
    stalled = -1
    async with asyncio.timeout(DEADLINE_S):
        while stalled != written:  # a full window is seen by nothing happening
            stalled = written
            await asyncio.sleep(0.1)
    assert written < 50
    assert len(await client.exactly(100_000_000)) == 100_000_000
    client.close()


async def test_a_client_that_leaves_ends_the_request_behind(edge: Edge, listen: Listen) -> None:
    arrived, left = asyncio.Event(), asyncio.Event()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        arrived.set()
        try:
            await reader.read()
        finally:
            left.set()

    edge.to(await listen(wait))
    client = await edge.connect()
    client.send(GET)
    async with asyncio.timeout(DEADLINE_S):
        await arrived.wait()
        client.close()
        await left.wait()
