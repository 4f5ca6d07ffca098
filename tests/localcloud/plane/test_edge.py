"""The edge between real sockets: keep-alive, streaming, and the framing of what passes."""

from __future__ import annotations

import asyncio

import pytest

from .edge_under_test import GET, OK, Edge, Listen, answering

pytestmark = pytest.mark.anyio


async def test_a_kept_connection_serves_one_request_after_the_other(edge: Edge, listen: Listen) -> None:
    connections = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await answering(OK)(reader, writer)

    edge.to(await listen(handle))
    client = await edge.connect()
    for _ in range(5):
        client.send(GET)
        assert (await client.answer())[::2] == (200, b"ok")
    client.close()
    assert connections == 1  # and so is the connection behind the edge


async def test_pipelined_requests_are_answered_in_order(edge: Edge, listen: Listen) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            path = (await reader.readuntil(b"\r\n\r\n")).split()[1]
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(path), path))

    edge.to(await listen(echo))
    client = await edge.connect()
    client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(30)))
    assert [(await client.answer())[2] for _ in range(30)] == [b"/%d" % number for number in range(30)]
    client.close()


async def test_a_kept_connection_reads_again_after_a_client_that_did_not_keep_up(edge: Edge, listen: Listen) -> None:
    """Its next client would wait for ever for an answer nobody reads."""
    port = await listen(answering(OK))
    connection = await edge.shared.pool.connect(("127.0.0.1", port))
    assert connection.transport is not None
    connection.pause(True)
    assert not connection.transport.is_reading()
    edge.shared.pool.give_back(connection)
    assert edge.shared.pool.take(("127.0.0.1", port)) is connection
    assert connection.transport.is_reading()
    connection.abort()


async def test_empty_lines_before_a_request_are_ignored(edge: Edge, listen: Listen) -> None:
    edge.to(await listen(answering(OK)))
    client = await edge.connect()
    client.send(b"\r\n\r\n" + GET + b"\r\n" + GET)
    assert [(await client.answer())[0] for _ in range(2)] == [200, 200]


async def test_a_request_cut_at_every_byte_is_one_request(edge: Edge, listen: Listen) -> None:
    edge.to(await listen(answering(OK)))
    client = await edge.connect()
    for byte in GET:
        client.send(bytes([byte]))
        await asyncio.sleep(0)
    assert (await client.answer())[0] == 200
    client.close()


async def test_a_head_answer_has_a_length_and_no_body(edge: Edge, listen: Listen) -> None:
    edge.to(await listen(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")))
    client = await edge.connect()
    for _ in range(2):
        client.send(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"content-length: 500\r\n" in await client.head()
    client.close()


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
async def test_an_answer_without_a_body_ends_at_its_head(edge: Edge, listen: Listen, status: bytes) -> None:
    edge.to(await listen(answering(b"HTTP/1.1 " + status + b"\r\n\r\n")))
    client = await edge.connect()
    for _ in range(2):
        client.send(GET)
        assert b"transfer-encoding" not in await client.head()
    client.close()


async def test_a_chunked_answer_stays_chunked(edge: Edge, listen: Listen) -> None:
    edge.to(await listen(answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nok\r\n0\r\n\r\n")))
    client = await edge.connect()
    client.send(GET)
    assert b"transfer-encoding: chunked\r\n" in await client.head()
    assert await client.exactly(12) == b"2\r\nok\r\n0\r\n\r\n"
    client.close()


async def test_a_client_of_http_1_0_gets_no_chunks(edge: Edge, listen: Listen) -> None:
    edge.to(await listen(answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")))
    client = await edge.connect()
    client.send(b"GET / HTTP/1.0\r\n\r\n")
    assert b"chunked" not in await client.head()
    assert await client.rest() == b"ok"


async def test_an_answer_that_ends_by_closing_becomes_chunks(edge: Edge, listen: Listen) -> None:
    async def close_after(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        await writer.drain()

    edge.to(await listen(close_after))
    client = await edge.connect()
    client.send(GET)
    assert b"transfer-encoding: chunked" in await client.head()
    assert await client.exactly(19) == b"9\r\nall of it\r\n0\r\n\r\n"
    client.close()


@pytest.mark.parametrize(
    "body", [b"Content-Length: 6\r\n\r\nabcdef", b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n"]
)
async def test_a_body_reaches_the_replica_and_the_next_request_follows(edge: Edge, listen: Listen, body: bytes) -> None:
    async def sink(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            got = await reader.readuntil(b"0\r\n\r\n") if b"chunked" in head else await reader.readexactly(6)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(got), got))

    edge.to(await listen(sink))
    client = await edge.connect()
    client.send((b"POST / HTTP/1.1\r\nHost: a\r\n" + body) * 2)
    for _ in range(2):
        assert (await client.answer())[2] == body.partition(b"\r\n\r\n")[2]
    client.close()


async def test_expect_continue_is_answered_by_the_edge(edge: Edge, listen: Listen) -> None:
    seen: list[bytes] = []

    async def sink(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        await reader.readexactly(3)
        writer.write(OK)

    edge.to(await listen(sink))
    client = await edge.connect()
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
    assert (await client.head()).startswith(b"HTTP/1.1 100 ")
    client.send(b"abc")
    assert (await client.answer())[0] == 200
    assert b"expect" not in seen[0].lower()
    client.close()
