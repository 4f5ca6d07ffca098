"""The edge between real sockets: keep-alive, streaming, failing over, and what a failure looks like to a client."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from infra.localcloud.edge.client import ClientConnection
from infra.localcloud.edge.routes import EdgeRoute, UpstreamGroup
from infra.localcloud.edge.server import EdgeServer
from infra.localcloud.edge.shared import Listening, Shared

from .conftest import DEADLINE_S, eventually

pytestmark = pytest.mark.anyio
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


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    shared, listening = Shared("us-west2"), Listening(None)
    server = await shared.loop.create_server(lambda: ClientConnection(shared, listening), "127.0.0.1", 0)
    started = Edge(shared, listening, server.sockets[0].getsockname()[1])
    yield started
    server.close()
    for client in started.opened:
        client.close()
    for connection in list(shared.clients):
        connection.abort()
    shared.pool.sweep(frozenset())
    shared.access_log.flush()
    await asyncio.sleep(0)


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
    while stalled != written:
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


@pytest.fixture
def unused_tcp_ports() -> list[int]:
    """Two ports where nobody listens: bound and closed again."""
    import socket

    ports = []
    for _ in range(2):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            ports.append(probe.getsockname()[1])
    return ports
