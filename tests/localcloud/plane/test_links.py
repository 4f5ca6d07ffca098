"""Links: latency is added in both directions, throughput and order are not harmed, a cut is a refusal."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from infra.localcloud.plane import links as links_module
from infra.localcloud.plane.link_quality import LinkQuality
from infra.localcloud.plane.links import Link, Links

from .waiting import DEADLINE_S, eventually

pytestmark = pytest.mark.anyio
Listen = Callable[[Callable[..., Awaitable[None]]], Awaitable[int]]
RTT_MS = 60.0


@pytest.fixture
async def relays() -> AsyncIterator[Links]:
    started = Links()
    yield started
    await started.follow([])
    await asyncio.sleep(0.01)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


def link(octet: int, port: int, rtt_ms: float = RTT_MS, **more: Any) -> Link:
    return Link(f"127.{octet}.3.2", "127.0.0.1", (port,), LinkQuality(rtt_ms, **more))


async def asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> float:
    """Milliseconds for one byte and its echo."""
    began = time.monotonic()
    writer.write(b"x")
    async with asyncio.timeout(DEADLINE_S):
        await reader.readexactly(1)
    return (time.monotonic() - began) * 1000


async def test_a_round_trip_takes_its_time_and_a_change_reaches_open_connections(
    relays: Links, listen: Listen, octet: int
) -> None:
    port = await listen(echo)
    assert await relays.follow([link(octet, port)]) == []
    reader, writer = await asyncio.open_connection(f"127.{octet}.3.2", port)
    assert await asked(reader, writer) >= 2 * RTT_MS - 2  # the handshake and the question
    assert await asked(reader, writer) >= RTT_MS - 2
    await relays.follow([link(octet, port, rtt_ms=0.0)])
    fastest = min([await asked(reader, writer) for _ in range(5)])
    assert fastest < RTT_MS / 2
    writer.close()


async def test_many_bytes_are_on_the_way_at_once_and_arrive_in_order(relays: Links, listen: Listen, octet: int) -> None:
    """A relay that slept for each chunk would need over 100 round trips here."""
    port = await listen(echo)
    await relays.follow([link(octet, port)])
    reader, writer = await asyncio.open_connection(f"127.{octet}.3.2", port)
    sent = b"".join(b"%08d" % number for number in range(1_000_000))
    began = time.monotonic()
    writer.write(sent)
    writer.write_eof()
    async with asyncio.timeout(DEADLINE_S):
        received = await reader.read()
        while data := await reader.read():
            received += data
    assert received == sent
    assert time.monotonic() - began < 3.0
    writer.close()


async def test_a_slow_reader_bounds_what_is_on_the_way(
    relays: Links, listen: Listen, octet: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links_module, "BYTES_ON_THE_WAY_MAX", 100_000)
    written = 0

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        for _ in range(1000):
            writer.write(b"x" * 100_000)
            await writer.drain()
            written += 100_000

    port = await listen(pour)
    await relays.follow([link(octet, port, rtt_ms=2.0)])
    reader, writer = await asyncio.open_connection(f"127.{octet}.3.2", port)
    stalled = -1
    async with asyncio.timeout(DEADLINE_S):
        while stalled != written or not written:  # a full window is seen by nothing happening
            stalled = written
            await asyncio.sleep(0.2)
    assert written < 50_000_000
    async with asyncio.timeout(DEADLINE_S):
        await reader.readexactly(100_000_000)
    writer.close()


async def test_a_cut_resets_what_is_open_and_refuses_what_comes(relays: Links, listen: Listen, octet: int) -> None:
    port = await listen(echo)
    await relays.follow([link(octet, port)])
    reader, writer = await asyncio.open_connection(f"127.{octet}.3.2", port)
    await asked(reader, writer)
    await relays.follow([link(octet, port, is_cut=True)])
    async with asyncio.timeout(DEADLINE_S):
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(f"127.{octet}.3.2", port)
    await relays.follow([link(octet, port)])
    again, other = await asyncio.open_connection(f"127.{octet}.3.2", port)
    await asked(again, other)
    writer.close()
    other.close()


async def test_a_target_that_refuses_ends_the_near_connection(relays: Links, listen: Listen, octet: int) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    port = await listen(refuse)
    await relays.follow([link(octet, port)])
    reader, writer = await asyncio.open_connection(f"127.{octet}.3.2", port)
    async with asyncio.timeout(DEADLINE_S):
        assert await reader.read() == b""
    writer.close()


async def test_a_connection_closed_from_both_sides_leaves_nothing_behind(relays: Links, listen: Listen, octet: int) -> None:
    port = await listen(echo)
    await relays.follow([link(octet, port, rtt_ms=2.0)])
    reader, writer = await asyncio.open_connection(f"127.{octet}.3.2", port)
    writer.write(b"abc")
    writer.write_eof()
    async with asyncio.timeout(DEADLINE_S):
        assert await reader.read() == b"abc"
    writer.close()
    await eventually(lambda: relays.open_ends() == 0)


async def test_a_partition_is_silent_and_what_was_held_arrives_when_it_heals(relays: Links, listen: Listen, octet: int) -> None:
    """Unlike a cut nobody is told: who waits goes on waiting, who connects hangs, and nothing is lost in the end."""
    port = await listen(echo)
    place = f"127.{octet}.3.2"
    await relays.follow([link(octet, port, rtt_ms=2.0)])
    reader, writer = await asyncio.open_connection(place, port)
    await asked(reader, writer)
    assert await relays.follow([link(octet, port, rtt_ms=2.0, is_partitioned=True)]) == []
    writer.write(b"held")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.readexactly(1), 0.1)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.open_connection(place, port), 0.1)
    assert await relays.follow([link(octet, port, rtt_ms=2.0)]) == []
    async with asyncio.timeout(DEADLINE_S):
        assert await reader.readexactly(4) == b"held"
    again, other = await asyncio.open_connection(place, port)
    await asked(again, other)
    writer.close()
    other.close()


async def test_lost_connections_break_for_both_sides_in_the_order_of_the_seed(relays: Links, listen: Listen, octet: int) -> None:
    port = await listen(echo)

    async def story() -> list[bool]:
        await relays.follow([])
        await relays.follow([link(octet, port, rtt_ms=0.0, loss_rate=0.5, seed=3)])
        return [await survives(f"127.{octet}.3.2", port) for _ in range(20)]

    first = await story()
    assert first == await story()
    assert {True, False} == set(first)
    await eventually(lambda: relays.open_ends() == 0)


async def survives(place: str, port: int) -> bool:
    """Whether one connection carries ten questions and their answers."""
    try:
        reader, writer = await asyncio.open_connection(place, port)
        for _ in range(10):
            await asked(reader, writer)
    except (ConnectionError, asyncio.IncompleteReadError):
        return False
    finally:
        writer.close()
    return True
