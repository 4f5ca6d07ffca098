"""What one edge costs: the same load direct to a trivial server and through an edge, side by side.

The edge knows heads that came before by their bytes. "edge" sends one head again and again, as clients with few users do;
"edge, new heads" another token with each request, so that every head has to be read.

    python -m loadtests.bench.edge [--duration-s 5] [--connections 64] [--json]

Load, edge and server share the machine's cores, so requests per second depend on what else runs; the edge's processor time
per request does not, and its reciprocal is what one core could carry. Only loopback is used.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import count

import psutil
import uvloop

from loadtests.bench.processes import free_port, processor_s

HOST = "127.0.0.1"
BODY = b'{"status":"okay"}'
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-auth-user-id: 7\r\ncontent-length: 17\r\n\r\n" + BODY
REQUEST = (
    b"GET /api/v1/auth/verify HTTP/1.1\r\nhost: 127.0.0.1\r\nuser-agent: bench\r\naccept: */*\r\n"
    b"authorization: Bearer " + b"x" * 588 + b"%012d\r\n\r\n"
)
SAME = REQUEST % 0
WARM_UP_S = 0.5


@dataclass(frozen=True, slots=True)
class Figures:
    """Latencies in milliseconds; `edge_us_per_request` is the edge's processor time, 0 without one."""

    what: str
    requests_per_s: float
    p50_ms: float
    p99_ms: float
    errors: int
    edge_us_per_request: float


class Server(asyncio.Protocol):
    """Answers each request head with the same small JSON."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        *heads, self._buffer = (self._buffer + data).split(b"\r\n\r\n")
        self._transport.write(ANSWER * len(heads))  # type: ignore[attr-defined]


class Load(asyncio.Protocol):
    """One connection: the next request goes out when the answer is in; `numbers` gives each head another token."""

    def __init__(self, latencies_ns: list[int], until: float, numbers: Iterator[int] | None) -> None:
        self._latencies_ns, self._until, self._numbers = latencies_ns, until, numbers
        self.done = asyncio.get_running_loop().create_future()
        self.errors = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._buffer.endswith(b'"okay"}'):
            return
        self.errors += not self._buffer.startswith(b"HTTP/1.1 200")
        self._latencies_ns.append(time.perf_counter_ns() - self._sent_ns)
        if time.monotonic() < self._until:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.errors += exc is not None
        if not self.done.done():
            self.done.set_result(self.errors)

    def _send(self) -> None:
        self._buffer = b""
        self._sent_ns = time.perf_counter_ns()
        request = SAME if self._numbers is None else REQUEST % next(self._numbers)
        self._transport.write(request)  # type: ignore[attr-defined]


async def measure(
    what: str, port: int, connections: int, duration_s: float, edge: psutil.Process | None, numbers: Iterator[int] | None = None
) -> Figures:
    await _load(port, connections, WARM_UP_S, numbers)
    before_s = _processor_s(edge)
    began = time.monotonic()
    latencies_ns, errors = await _load(port, connections, duration_s, numbers)
    took_s = time.monotonic() - began
    latencies_ns.sort()
    count = len(latencies_ns)
    return Figures(
        what,
        round(count / took_s),
        round(latencies_ns[count // 2] / 1e6, 2),
        round(latencies_ns[count * 99 // 100] / 1e6, 2),
        errors,
        round((_processor_s(edge) - before_s) / count * 1e6, 1),
    )


async def _load(port: int, connections: int, duration_s: float, numbers: Iterator[int] | None = None) -> tuple[list[int], int]:
    latencies_ns: list[int] = []
    until = time.monotonic() + duration_s
    loop = asyncio.get_running_loop()
    opened = [await loop.create_connection(lambda: Load(latencies_ns, until, numbers), HOST, port) for _ in range(connections)]
    errors = await asyncio.wait_for(asyncio.gather(*(load.done for _, load in opened)), duration_s + 10)
    return latencies_ns, sum(errors)


def _processor_s(process: psutil.Process | None) -> float:
    return 0.0 if process is None else processor_s(process)


def _start_edge(port: int, server_port: int) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Speaks the edge's control protocol by hand: the bench imports nothing of infra."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            (sys.executable, "-m", "infra.localcloud.edge", "us-west2"),
            env={"PATH": os.environ["PATH"], "CACHED_AUTH_CONTROL_FD": str(theirs.fileno())},
            pass_fds=(theirs.fileno(),),
            stdout=subprocess.DEVNULL,
        )
    groups = [{"region": "us-west2", "upstreams": [[HOST, server_port]]}]
    route = {"domain": "bench", "address": HOST, "port": port, "groups": groups, "is_deployed": True}
    ours.sendall(json.dumps({"generation": 1, "table": [route]}).encode() + b"\n")
    ours.settimeout(10)
    answer = json.loads(ours.recv(4096))
    if answer["errors"]:
        raise SystemExit(f"the edge could not listen: {answer['errors']}")
    return process, ours


def _start_server(port: int) -> subprocess.Popen[bytes]:
    process = subprocess.Popen((sys.executable, "-m", "loadtests.bench.edge", "--serve", str(port)), stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    return process


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Server, HOST, port, backlog=1024)
    sys.stdout.write("listening\n")
    sys.stdout.flush()
    async with server:
        await server.serve_forever()


async def compare(connections: int, duration_s: float) -> list[Figures]:
    server_port, edge_port = free_port(HOST), free_port(HOST)
    server = _start_server(server_port)
    edge, control = _start_edge(edge_port, server_port)
    try:
        direct = await measure("direct", server_port, connections, duration_s, None)
        running = psutil.Process(edge.pid)
        same = await measure("edge", edge_port, connections, duration_s, running)
        return [direct, same, await measure("edge, new heads", edge_port, connections, duration_s, running, count())]
    finally:
        control.close()
        for process in (edge, server):
            process.terminate()
            await asyncio.to_thread(process.wait, 15)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--duration-s", type=float, default=5.0)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        uvloop.run(serve(arguments.serve))
        return
    figures = uvloop.run(compare(arguments.connections, arguments.duration_s))
    if arguments.json:
        sys.stdout.write(json.dumps([asdict(row) for row in figures]) + "\n")
        return
    for row in figures:
        carries = f", one core carries {1e6 / row.edge_us_per_request:.0f}/s" if row.edge_us_per_request else ""
        sys.stdout.write(
            f"{row.what:15} {row.requests_per_s:7.0f} requests/s  p50 {row.p50_ms} ms  p99 {row.p99_ms} ms  "
            f"errors {row.errors}  edge {row.edge_us_per_request} us/request{carries}\n"
        )


if __name__ == "__main__":
    main()
