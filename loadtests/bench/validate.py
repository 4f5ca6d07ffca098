"""`python -m loadtests.bench.validate`: what one replica does with a cached token, measured.

Starts one real replica with real dependencies, logs in, and asks GET /api/v1/auth/verify with the one token:
1. closed loop, as fast as answers come back: requests per second (with `wrk` where it is installed, else with our client);
2. open loop at half that rate, client and replica ahead of the machine's other users if we may: latency from the moment a request
   was *due*, so that a stall is not hidden by waiting for it;
3. the replica's processor time per request in 1, which says what it could do with a processor to itself, and its memory.

The client shares the machine's processors with the replica (and with whatever else runs), so the rates are lower
bounds. Exit code 0 if the targets are met, 10 if not, 12 if nothing could be measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import psutil

from loadtests.bench.beat import ask_on_a_beat
from loadtests.bench.processes import ahead_of_others, processor_s
from loadtests.bench.replica_stack import ReplicaStack, StackFailed, running_stack

PATH = "/api/v1/auth/verify"
RATE_TARGET = 15_000.0
P99_TARGET_MS = 5.0
MEMORY_TARGET_BYTES = 120_000_000
# A client that the system does not let run in time measures the machine's other users, not the replica.
LATENESS_MS_MAX = 1.0


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured. Latencies in milliseconds at `open_rate` requests per second."""

    client: str
    closed_rate: float
    processor_us: float
    open_rate: float
    lateness_p99_ms: float
    p50_ms: float
    p99_ms: float
    memory_bytes: int
    failures: int

    @property
    def meets_targets(self) -> bool:
        is_fast = self.closed_rate >= RATE_TARGET and self.p99_ms < P99_TARGET_MS
        return is_fast and self.memory_bytes < MEMORY_TARGET_BYTES and self.failures == 0


class Connection(asyncio.Protocol):
    """One kept connection. Answers have no body, so a blank line ends each; the next request follows at once."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by descent, only by behaviour
        self._transport.write(self._load.request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._received.endswith(b"\r\n\r\n"):
            self._load.answers += 1
            self._load.failures += not self._received.startswith(b"HTTP/1.1 200 ")
            self._received = b""
            assert self._transport is not None
            self._transport.write(self._load.request)


class Load:
    """Closed loop: every answer asks again."""

    def __init__(self, request: bytes) -> None:
        self.request = request
        self.answers = 0
        self.failures = 0

    async def run(self, host: str, port: int, connections: int, duration_s: float) -> float:
        """Requests answered per second over `duration_s`."""
        loop = asyncio.get_running_loop()
        began = time.perf_counter()
        transports = [(await loop.create_connection(lambda: Connection(self), host, port))[0] for _ in range(connections)]
        await asyncio.sleep(duration_s)
        rate = self.answers / (time.perf_counter() - began)
        for transport in transports:
            transport.abort()
        return rate


def log_in(url: str) -> str:
    """A fresh user's access token."""
    body = json.dumps({"email": "bench@example.com", "password": "a long enough one 1"}).encode()
    request = urllib.request.Request(f"{url}/api/v1/auth/register", body, {"content-type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 - our own loopback URL
        return str(json.load(response)["access_token"])


def run_wrk(url: str, token: str, connections: int, duration_s: float, script: Path | None = None, path: str = PATH) -> float:
    """script: Lua that makes the requests, in wrk's own terms."""
    by_script = [] if script is None else ["-s", str(script)]
    fields = ["-H", f"Authorization: Bearer {token}", url + path]
    command = ["wrk", "-t1", f"-c{connections}", f"-d{duration_s:.0f}s", *by_script, *fields]
    done = subprocess.run(command, capture_output=True, text=True, timeout=duration_s + 30, check=True)
    found = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    if found is None or "Non-2xx" in done.stdout:
        raise StackFailed(f"wrk reported no usable figure:\n{done.stdout}")
    return float(found[1])


def measure(stack: ReplicaStack, connections: int, duration_s: float) -> Figures:
    replica = stack.start_replica()
    token = log_in(replica.url)
    address = urlsplit(replica.url)
    assert address.hostname is not None
    assert address.port is not None
    host, port = address.hostname, address.port
    request = f"GET {PATH} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    process = psutil.Process(replica.program.process.pid)
    closed = Load(request)
    used_before_s = processor_s(process)
    if shutil.which("wrk"):
        client, closed_rate = "wrk", run_wrk(replica.url, token, connections, duration_s)
    else:
        client, closed_rate = "own asyncio client", _run(closed.run(host, port, connections, duration_s))
    used_s = processor_s(process) - used_before_s
    open_rate = closed_rate / 2
    with ahead_of_others(process.pid, os.getpid()):
        opened = ask_on_a_beat(host, port, request, connections, duration_s, open_rate)
    return Figures(
        client=client,
        closed_rate=closed_rate,
        processor_us=used_s / (closed_rate * duration_s) * 1e6,
        open_rate=open_rate,
        lateness_p99_ms=opened.late_ms(0.99),
        p50_ms=opened.latency_ms(0.5),
        p99_ms=opened.latency_ms(0.99),
        memory_bytes=process.memory_info().rss,
        failures=closed.failures + opened.failures,
    )


def _run(work: Coroutine[None, None, float]) -> float:
    import uvloop

    result: float = uvloop.run(work)
    return result


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench.validate", description="One replica, one cached token.")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--duration-s", type=float, default=5.0)
    options = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory() as directory, running_stack(Path(directory)) as stack:
            figures = measure(stack, options.connections, options.duration_s)
    except StackFailed as error:
        print(f"could not measure: {error}", file=sys.stderr)
        return 12
    print(f"client          {figures.client}, {options.connections} connections, on the same processors as the replica")
    print(f"closed loop     {figures.closed_rate:,.0f} requests/s   (target {RATE_TARGET:,.0f})")
    alone = 1e6 / figures.processor_us
    print(f"processor time  {figures.processor_us:.1f} us per request: {alone:,.0f} requests/s with a processor to itself")
    latency = f"p50 {figures.p50_ms:.2f} ms, p99 {figures.p99_ms:.2f} ms"
    print(f"open loop       {figures.open_rate:,.0f} requests/s: {latency}   (target p99 {P99_TARGET_MS:g} ms)")
    print(f"memory          {figures.memory_bytes / 1e6:.0f} MB   (target {MEMORY_TARGET_BYTES / 1e6:.0f} MB)")
    print(f"failures        {figures.failures}")
    if figures.meets_targets:
        return 0
    if figures.lateness_p99_ms > LATENESS_MS_MAX:
        late = f"the client itself was {figures.lateness_p99_ms:.1f} ms late (p99)"
        print(f"could not measure: the machine is too busy, {late}; try again when it is quiet", file=sys.stderr)
        return 12
    return 10


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
