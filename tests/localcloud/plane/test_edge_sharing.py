"""What shares an edge's address: custom domains by the name a request gives, raw connections by their port."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import psutil
import pytest

from infra.localcloud.edge.routes import EdgeRoute, UpstreamGroup
from infra.localcloud.edge.server import EdgeServer

from .edge_under_test import Client, Listen, answering
from .waiting import DEADLINE_S

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """The edge's own loop: uvloop differs from asyncio's in when reading can be paused."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture
async def server() -> AsyncIterator[EdgeServer]:
    started = EdgeServer("us-west2")
    yield started
    await started.follow([])
    await started.drain()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def to(port: int, *upstreams: int, name: str = "d", by_host: bool = False, tcp: bool = False) -> EdgeRoute:
    group = UpstreamGroup("us-west2", tuple(("127.0.0.1", upstream) for upstream in upstreams))
    return EdgeRoute(name, "127.0.0.1", port, (group,), True, by_host, tcp)


async def connected(port: int) -> Client:
    return Client(*await asyncio.open_connection("127.0.0.1", port))


def saying(text: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text)


async def test_a_request_goes_to_the_domain_that_it_names(server: EdgeServer, listen: Listen) -> None:
    one, other, wild = [await listen(answering(saying(text))) for text in (b"one", b"other", b"wild")]
    port = free_port()
    routes = [
        to(port, upstream, name=name, by_host=True)
        for name, upstream in (("one.example.com", one), ("other.example.com", other), ("*.apps.example.com", wild))
    ]
    assert await server.follow(routes) == []
    client = await connected(port)
    for host, expected in (
        (b"one.example.com", (200, b"one")),
        (b"OTHER.example.com:8080", (200, b"other")),
        (b"x.apps.example.com", (200, b"wild")),
        (b"one.example.com.", (200, b"one")),
    ):
        client.send(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
        assert (await client.answer())[::2] == expected
    for host in (b"apps.example.com", b"nobody.example.org", b"127.0.0.1"):
        client.send(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
        assert (await client.answer())[0] == 404
    await server.follow(routes[1:])
    client.send(b"GET / HTTP/1.1\r\nHost: one.example.com\r\n\r\n")
    assert (await client.answer())[0] == 404, "a domain that was deleted leads nowhere, also on a kept connection"
    client.close()


async def test_raw_bytes_pass_both_ways_however_many(server: EdgeServer, listen: Listen) -> None:
    """More than fits any buffer, so that whoever is slower must be waited for; and the server may speak first."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.write(b"bye")
        writer.write_eof()

    port = free_port()
    dead = free_port()
    assert await server.follow([to(port, await listen(echo), tcp=True)]) == []
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    sent = bytes(range(256)) * 40_000

    async def send() -> None:
        writer.write(sent)
        await writer.drain()
        writer.write_eof()

    async with asyncio.timeout(DEADLINE_S):
        sending = asyncio.ensure_future(send())
        received = await reader.read()
        await sending
    assert received == b"hello" + sent + b"bye"
    writer.close()
    await server.follow([to(port, dead, tcp=True)])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()


async def test_what_a_client_says_at_once_is_not_lost(server: EdgeServer, listen: Listen) -> None:
    """More than is kept while the edge connects, and then nothing more: all of it arrives, and the end too."""

    async def collect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received = await reader.read()
        writer.write(b"%d" % len(received))
        writer.write_eof()

    port = free_port()
    await server.follow([to(port, await listen(collect), tcp=True)])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"x" * 1_000_000)
    writer.write_eof()
    async with asyncio.timeout(DEADLINE_S):
        assert await reader.read() == b"1000000"
    writer.close()


async def test_a_deleted_proxy_ends_its_connections(server: EdgeServer, listen: Listen) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"+")
        await reader.read()

    port = free_port()
    await server.follow([to(port, await listen(silent), tcp=True)])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert await reader.readexactly(1) == b"+"
    await server.follow([])
    with pytest.raises(ConnectionResetError):
        async with asyncio.timeout(DEADLINE_S):
            await reader.read()
    writer.close()


@pytest.mark.parametrize("is_tcp", [False, True])
@pytest.mark.parametrize("address", ["0.0.0.0", "10.1.2.3", "::"])  # noqa: S104 - what must never be listened on
async def test_nothing_listens_where_the_network_reaches(server: EdgeServer, address: str, is_tcp: bool) -> None:
    """A TCP proxy leads to databases: its listener is for this machine alone, whatever the table says."""
    port = free_port()
    (error,) = await server.follow([EdgeRoute("d", address, port, (), True, is_tcp=is_tcp)])
    assert "loopback" in error
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", port))  # nobody has it


async def test_a_tcp_proxy_listens_on_its_one_address(server: EdgeServer) -> None:
    port = free_port()
    assert await server.follow([to(port, tcp=True)]) == []
    listening = [found.laddr for found in psutil.Process().net_connections("inet") if found.status == psutil.CONN_LISTEN]
    assert [found.ip for found in listening if found.port == port] == ["127.0.0.1"]
