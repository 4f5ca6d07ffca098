"""A started plane per test, under the test's own directory, and what tests of the edge need to play replica and client."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from infra.localcloud.edge.client import ClientConnection
from infra.localcloud.edge.shared import Listening, Shared
from infra.localcloud.plane.addresses import OCTETS
from infra.localcloud.plane.claim import claim_octet
from infra.localcloud.plane.interface import HealthCheck, ReplicaSpec
from infra.localcloud.plane.local import LocalPlane

from .edge_under_test import Edge
from .waiting import DEADLINE_S

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
    shared.access_log.close()
    await asyncio.sleep(0)


@pytest.fixture
def unused_tcp_ports() -> list[int]:
    """Two ports where nobody listens: bound and closed again."""
    ports = []
    for _ in range(2):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            ports.append(probe.getsockname()[1])
    return ports
