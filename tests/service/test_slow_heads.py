"""A place among the connections is for whoever asks something: slow heads end, idle and busy connections stay."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn

from service.web.protocol import PIPELINE_MAX, Protocol, sweep

pytestmark = pytest.mark.anyio

DEADLINE_S = 10.0
LARGE_BYTES = 16 * 1_048_576
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Served:
    """A server of our protocol; GET /slow is answered when `may_answer` is set, GET /large with more than anybody buffers."""

    def __init__(self) -> None:
        self.begun = self.under_way = self.pipelined_max = 0
        self.has_begun, self.all_done = asyncio.Event(), asyncio.Event()
        self.may_answer = asyncio.Event()
        self.writers: list[asyncio.StreamWriter] = []
        config = uvicorn.Config(self._app, http=Protocol, ws="none", lifespan="off", log_config=None, interface="asgi3")
        self.server = uvicorn.Server(config)
        config.load()
        self.port = 0

    async def connected(self, first: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writers.append(writer)
        writer.write(first)
        return reader, writer

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        self.begun += 1
        self.under_way += 1
        self.has_begun.set()
        self.all_done.clear()
        try:
            await self._answered(scope, receive, send)
        finally:
            self.under_way -= 1
            queued = [len(connection.pipeline) for connection in self.server.server_state.connections]
            self.pipelined_max = max([self.pipelined_max, *queued])
            if not self.under_way:
                self.all_done.set()

    async def _answered(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/large":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % LARGE_BYTES)]})
            for _ in range(LARGE_BYTES // 65_536):
                await send({"type": "http.response.body", "body": b"x" * 65_536, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
            return
        if scope["path"] == "/slow":
            await self.may_answer.wait()
        elif scope["method"] == "POST":
            await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
async def served(anyio_backend: str) -> AsyncIterator[Served]:
    served = Served()
    loop = asyncio.get_running_loop()
    state = served.server.server_state
    listening = await loop.create_server(lambda: Protocol(served.server.config, state, {}), "127.0.0.1", 0)
    served.port = listening.sockets[0].getsockname()[1]
    sweeping = asyncio.create_task(sweep(state.connections, timeout_s=0.3, every_s=0.02, stall_timeout_s=0.3))
    yield served
    sweeping.cancel()
    listening.close()
    for writer in served.writers:
        writer.close()
    await asyncio.gather(*(writer.wait_closed() for writer in served.writers), return_exceptions=True)


async def ended(reader: asyncio.StreamReader) -> bytes:
    """All that still comes until the server ends the connection. Fails past the deadline."""
    async with asyncio.timeout(DEADLINE_S):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


async def answer(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(DEADLINE_S):
        return await reader.readuntil(b"\r\n\r\nok")


@pytest.mark.parametrize("first", [b"", b"G", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ", b"\r\n"])
async def test_connection_without_a_complete_head_is_ended(served: Served, first: bytes):
    reader, _ = await served.connected(first)
    assert await ended(reader) == b""
    assert not served.server.server_state.connections


@pytest.mark.parametrize("drip", [b"\r\n", b"X"])
async def test_dripping_after_an_answer_does_not_help(served: Served, drip: bytes):
    """The first byte stops uvicorn's keep-alive timer; without the sweep nothing would watch the connection any more."""
    reader, writer = await served.connected(GET)
    await answer(reader)

    async def drips() -> None:
        while not writer.is_closing():
            writer.write(drip)
            await asyncio.sleep(0.05)

    dripping = asyncio.create_task(drips())
    rest = await ended(reader)
    assert b"200" not in rest
    dripping.cancel()
    await asyncio.gather(dripping, return_exceptions=True)


async def test_body_that_nobody_waits_for_is_no_progress(served: Served):
    """The application has answered; what of the body is still to come may not hold the connection."""
    reader, writer = await served.connected(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\na")
    await answer(reader)
    writer.write(b"b")
    assert await ended(reader) == b""


async def test_idle_and_busy_connections_stay(served: Served):
    idle_reader, idle_writer = await served.connected(GET)
    await answer(idle_reader)
    busy_reader, _ = await served.connected(GET.replace(b"/ ", b"/slow "))
    slow_reader, _ = await served.connected(b"GET / HT")
    await ended(slow_reader)
    await ended((await served.connected(b"GET /"))[0])
    served.may_answer.set()
    assert (await answer(busy_reader)).startswith(b"HTTP/1.1 200")
    idle_writer.write(GET)
    assert (await answer(idle_reader)).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("count", [1, 3])
async def test_caller_who_reads_no_answer_holds_no_request_under_way(served: Served, count: int):
    reader, _ = await served.connected(GET.replace(b"/ ", b"/large ") * count)
    reader._transport.pause_reading()  # type: ignore[attr-defined]
    async with asyncio.timeout(DEADLINE_S):
        await served.has_begun.wait()
        await served.all_done.wait()
    assert (served.begun, served.under_way) == (1, 0), "what was queued behind it was never begun"


async def test_slow_reader_gets_it_all(served: Served):
    reader, _ = await served.connected(GET.replace(b"/ ", b"/large "))
    async with asyncio.timeout(DEADLINE_S):
        await reader.readuntil(b"\r\n\r\n")
        left = LARGE_BYTES
        while left:
            left -= len(await reader.read(min(left, 1_048_576)))
            await asyncio.sleep(0.02)


async def test_pipelined_requests_are_answered_in_turn_up_to_a_bound(served: Served):
    reader, _ = await served.connected(GET.replace(b"/ ", b"/slow ") + GET * PIPELINE_MAX)
    served.may_answer.set()
    for _ in range(PIPELINE_MAX + 1):
        assert (await answer(reader)).startswith(b"HTTP/1.1 200")
    served.may_answer.clear()
    greedy, _ = await served.connected(GET.replace(b"/ ", b"/slow ") + GET * (PIPELINE_MAX + 1))
    assert (await ended(greedy)).startswith(b"HTTP/1.1 400")


async def test_nothing_is_read_while_pipelined_requests_wait(served: Served):
    """Each answer would otherwise make room for a whole chunk of requests more."""
    reader, writer = await served.connected(GET.replace(b"/ ", b"/slow ") + GET * 50)
    async with asyncio.timeout(DEADLINE_S):
        await served.has_begun.wait()
    writer.write(GET * 40_000)
    served.may_answer.set()
    await ended(reader)
    assert 0 < served.pipelined_max <= PIPELINE_MAX
