"""A started plane per test, under the test's own directory, and what tests of the edge need to play replica and client."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from infra.localcloud.plane.addresses import OCTETS
from infra.localcloud.plane.claim import claim_octet
from infra.localcloud.plane.interface import HealthCheck, ReplicaSpec
from infra.localcloud.plane.local import LocalPlane

DEADLINE_S = 20.0

SERVER = """
import os, signal, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = f"{self.path} {self.headers['host']}".encode()
        self.send_response(200 if self.path != "/missing" else 404)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, format, *args):
        print("asked", self.path, self.headers["host"], flush=True)

print("starting", file=sys.stderr, flush=True)
server = ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Handler)
server.daemon_threads = True
server.serve_forever()
"""


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[LocalPlane]:
    started = LocalPlane(tmp_path / "home", rtt_ms=20.0)
    await started.start()
    try:
        yield started
    finally:
        await started.close()


@pytest.fixture
def octet() -> Iterator[int]:
    """A network of our own for tests that need whole addresses and no plane."""
    number, claim = claim_octet(reversed(OCTETS))
    with claim:
        yield number


@pytest.fixture
def replica(plane: LocalPlane, tmp_path: Path) -> Callable[..., ReplicaSpec]:
    """A spec whose process answers GETs; `code` replaces the program, `path` is its health check."""

    def make(key: str = "replica", region: str = "us-west2", code: str = SERVER, path: str | None = "/health") -> ReplicaSpec:
        address = plane.allocate(region, key)
        environment = {"HOST": address, "PORT": "8080", "PYTHONUNBUFFERED": "1"}
        health = HealthCheck(path, DEADLINE_S) if path else None
        return ReplicaSpec(key, region, address, 8080, (sys.executable, "-c", code), tmp_path, environment, health)

    return make


@pytest.fixture
async def listen() -> AsyncIterator[Callable[[Callable[..., Awaitable[None]]], Awaitable[int]]]:
    """Serves a stream handler on a free port of 127.0.0.1; returns the port."""
    servers: list[asyncio.Server] = []
    tasks: set[asyncio.Task[None]] = set()

    async def start(handler: Callable[..., Awaitable[None]]) -> int:
        async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await handler(reader, writer)
            writer.close()
            tasks.discard(task)

        server = await asyncio.start_server(guarded, "127.0.0.1", 0)
        servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    yield start
    for server in servers:
        server.close()
    for task in list(tasks):
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=DEADLINE_S)


async def eventually(question: Callable[[], object], timeout_s: float = DEADLINE_S) -> None:
    """Waits until `question()` is true."""
    async with asyncio.timeout(timeout_s):
        while not question():  # noqa: ASYNC110 - what happens is outside this process
            await asyncio.sleep(0.01)
