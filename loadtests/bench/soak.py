"""`python -m loadtests.bench.soak`: does a replica's memory stay where it is?

One replica with CACHE_ENTRIES_MAX=200, so that L1 is full and turned over all the time, and three kinds of requests for some
minutes: hits, log-ins (each a new session and token: bcrypt cost 4) and checks of tokens that are none. Resident memory is read
every few seconds; after the first third, which fills what has a bound, it must not grow by more than GROWTH_MAX.

Exit code 0 if it stays flat, 10 if not, 12 if it could not be measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from loadtests.bench.replica_stack import StackFailed, running_stack
from loadtests.bench.validate import PATH, log_in

GROWTH_MAX = 0.02
SAMPLE_S = 2.0
PAUSE_S = 0.005
ANSWER_TIMEOUT_S = 10.0


def requests_for(host: str, token: str) -> tuple[bytes, ...]:
    """Nine hits, one token that is none, one log-in."""
    hit = f"GET {PATH} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    bad = f"GET {PATH} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token[:-4]}AAAA\r\n\r\n".encode()
    body = json.dumps({"email": "bench@example.com", "password": "a long enough one 1"}).encode()
    fields = f"Host: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return (*(hit,) * 9, bad, f"POST /api/v1/auth/login HTTP/1.1\r\n{fields}\r\n\r\n".encode() + body)


async def caller(host: str, port: int, requests: tuple[bytes, ...], until: float, counted: dict[bytes, int]) -> None:
    """One after another over one connection; statuses are counted."""
    reader, writer = await asyncio.open_connection(host, port)
    while time.monotonic() < until:
        for request in requests:
            writer.write(request)
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                head = await reader.readuntil(b"\r\n\r\n")
                length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
                await reader.readexactly(length)
            counted[head[9:12]] = counted.get(head[9:12], 0) + 1
            await asyncio.sleep(PAUSE_S)
    writer.close()


async def soak(
    url: str, token: str, process: psutil.Process, callers: int, duration_s: float
) -> tuple[list[float], dict[bytes, int]]:
    """Resident megabytes every SAMPLE_S, and how many answers had which status."""
    address, counted, samples = urlsplit(url), dict[bytes, int](), list[float]()
    until = time.monotonic() + duration_s
    async with asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(
                caller(str(address.hostname), int(address.port or 80), requests_for(address.netloc, token), until, counted)
            )
        while time.monotonic() < until:
            await asyncio.sleep(SAMPLE_S)
            samples.append(process.memory_info().rss / 1e6)
    return samples, counted


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench.soak", description="A replica's memory over time.")
    parser.add_argument("--duration-s", type=float, default=600.0)
    parser.add_argument("--callers", type=int, default=4)
    options = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory() as name, running_stack(Path(name)) as stack:
            replica = stack.start_replica(
                CACHE_ENTRIES_MAX="200", RATE_LIMIT_ADDRESS_PER_MINUTE="1000000", RATE_LIMIT_ACCOUNT_PER_HOUR="1000000"
            )
            process = psutil.Process(replica.program.process.pid)
            token = log_in(replica.url)
            idle = process.memory_info().rss / 1e6
            samples, counted = asyncio.run(soak(replica.url, token, process, options.callers, options.duration_s))
    except (StackFailed, OSError, TimeoutError) as error:
        print(f"could not measure: {error}", file=sys.stderr)
        return 12
    third = max(1, len(samples) // 3)
    middle, last = (statistics.median(part) for part in (samples[third : 2 * third], samples[-third:]))
    growth = last / middle - 1
    statuses = ", ".join(f"{count:,} x {status.decode()}" for status, count in sorted(counted.items()))
    print(f"answers   {statuses}")
    parts = f"{middle:.1f} MB in the second third of {options.duration_s:g} s, {last:.1f} MB in the last"
    print(f"memory    {idle:.1f} MB at first, {parts}")
    print(f"growth    {growth:+.2%}   (target {GROWTH_MAX:.0%} at most)")
    return 0 if growth <= GROWTH_MAX else 10


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
