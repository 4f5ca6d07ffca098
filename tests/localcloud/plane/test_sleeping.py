"""What the kernel tells of a replica's packets, and the door where its visitors wait, with real processes and connections."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable

import pytest

from infra.localcloud.plane.interface import ReplicaSpec
from infra.localcloud.plane.local import LocalPlane

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(sys.platform != "linux", reason="packets are counted on Linux")]
REQUEST = b"GET /path HTTP/1.1\r\nHost: sleeper\r\nConnection: close\r\n\r\n"


async def answer(address: str, port: int = 8080) -> bytes:
    reader, writer = await asyncio.open_connection(address, port)
    try:
        writer.write(REQUEST)
        return await reader.read()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


Look = Callable[[], dict[str, frozenset[tuple[int, ...]]]]


async def settled(look: Look) -> dict[str, frozenset[tuple[int, ...]]]:
    """Once the connections before (health checks) have come to their ends, which leaves a last mark."""
    seen, steady = look(), 0
    while steady < 5:
        await asyncio.sleep(0.01)
        steady = steady + 1 if (now := look()) == seen else 0
        seen = now
    return seen


async def test_only_what_a_replica_sends_leaves_a_new_mark(plane: LocalPlane, replica: Callable[..., ReplicaSpec]) -> None:
    spec, other = replica(), replica("other")
    await plane.start_replica(spec)
    await plane.start_replica(other)

    def look() -> dict[str, frozenset[tuple[int, ...]]]:
        return plane.traffic([spec.key, other.key])

    before = await settled(look)
    reader, writer = await asyncio.open_connection(spec.address, spec.port)
    writer.write(REQUEST.replace(b"close", b"keep-alive"))
    await reader.readuntil(b"/path sleeper")
    during = look()
    assert during[spec.key] - before[spec.key]
    assert not during[other.key] - before[other.key]
    quiet = look()
    assert not quiet[spec.key] - during[spec.key], "a connection that says nothing is no traffic"
    writer.close()
    await writer.wait_closed()

    before = await settled(look)
    await answer(spec.address)
    assert look()[spec.key] - before[spec.key], "it came and went between two looks"


async def test_whoever_knocks_waits_for_the_replica_and_goes_on_to_it(
    plane: LocalPlane, replica: Callable[..., ReplicaSpec]
) -> None:
    spec = replica(path=None)
    door = plane.allocate("us-west2", "door")
    knocked = asyncio.Event()
    await plane.hold_connections(spec.key, door, [8080], knocked.set)
    first = asyncio.create_task(answer(door))
    await knocked.wait()
    plane.release_connections(spec.key, spec.address)  # before it listens: without a health check nobody knows when it does
    await plane.start_replica(spec)
    assert (await first).startswith(b"HTTP/1.1 200")
    assert (await answer(door)).endswith(b"/path sleeper"), "as long as the edges may still lead here"
    plane.forget_connections(spec.key)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(door, 8080)


async def test_visitors_of_a_replica_that_never_comes_are_sent_away(plane: LocalPlane) -> None:
    door = plane.allocate("us-west2", "door")
    await plane.hold_connections("gone", door, [8080], lambda: None)
    reader, writer = await asyncio.open_connection(door, 8080)
    plane.release_connections("gone", None)
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""
    plane.forget_connections("gone")
    writer.close()
