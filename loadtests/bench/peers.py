"""`python -m loadtests.bench.peers`: cached validation beside nginx `proxy_cache` keyed by Authorization, in one run.

One replica and one nginx worker (which has kept the replica's answer) take turns under the same load: GET /api/v1/auth/verify
with one token, closed loop. Where there are two processors, the server under test has one and the client the other. Each turn
gives requests per second and the server's own processor time per request, the fairer figure where others use the machine.

Exit code 0 if the replica answers at least as many requests per second (median of the turns), 10 if not, 12 if it could not be
measured, for instance because nginx is not on PATH.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import uvloop

from loadtests.bench.nginx import is_on_path, running_nginx
from loadtests.bench.processes import pin, processor_s
from loadtests.bench.replica_stack import Program, StackFailed, running_stack
from loadtests.bench.validate import PATH, Load, log_in, run_wrk


@dataclass(frozen=True, slots=True)
class Turn:
    rate: float
    processor_us: float


@dataclass(frozen=True, slots=True)
class Peer:
    name: str
    url: str
    program: Program

    def turn(self, token: str, connections: int, duration_s: float) -> Turn:
        process = psutil.Process(self.program.process.pid)
        before_s = processor_s(process)
        rate = closed_loop(self.url, token, connections, duration_s)
        return Turn(rate, (processor_s(process) - before_s) / (rate * duration_s) * 1e6)


def closed_loop(url: str, token: str, connections: int, duration_s: float) -> float:
    """Requests answered per second, as fast as answers come back. StackFailed where any is not 200."""
    if shutil.which("wrk"):
        return run_wrk(url, token, connections, duration_s)
    address = urlsplit(url)
    request = f"GET {PATH} HTTP/1.1\r\nHost: {address.netloc}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    load = Load(request)
    rate: float = uvloop.run(load.run(str(address.hostname), int(address.port or 80), connections, duration_s))
    if load.failures:
        raise StackFailed(f"{url}: {load.failures} answers were not 200")
    return rate


def report(name: str, turns: list[Turn]) -> float:
    """Prints a line; the median rate."""
    rate = statistics.median(turn.rate for turn in turns)
    processor_us = statistics.median(turn.processor_us for turn in turns)
    spread = f"{min(turn.rate for turn in turns):,.0f} to {max(turn.rate for turn in turns):,.0f}"
    print(f"{name:20} {rate:10,.0f} requests/s ({spread})   {processor_us:6.1f} us of processor time each")
    return rate


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench.peers", description="One replica beside one nginx worker.")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--duration-s", type=float, default=3.0, help="of each turn")
    options = parser.parse_args(arguments)
    if not is_on_path():
        print("nginx: not on PATH")
        return 12
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        try:
            with running_stack(directory) as stack:
                replica = stack.start_replica()
                with running_nginx(directory, replica.url) as (nginx_url, nginx):
                    peers = [Peer("cached-auth", replica.url, replica.program), Peer("nginx proxy_cache", nginx_url, nginx)]
                    pinned = [pin(peer.program.process.pid, 0) for peer in peers] and pin(os.getpid(), 1)
                    token = log_in(replica.url)
                    turns: dict[str, list[Turn]] = {peer.name: [] for peer in peers}
                    for _ in range(options.turns):
                        for peer in peers:
                            turns[peer.name].append(peer.turn(token, options.connections, options.duration_s))
        except StackFailed as error:
            print(f"could not measure: {error}", file=sys.stderr)
            return 12
    client = "wrk" if shutil.which("wrk") else "own asyncio client"
    place = "server and client on one processor each" if pinned else "server and client share the processors"
    print(f"{client}, {options.connections} connections, {place}; {options.turns} turns of {options.duration_s:g} s, alternating")
    own, other = (report(peer.name, turns[peer.name]) for peer in peers)
    print(f"{'ratio':20} {own / other:10.2f}   (target 1.00)")
    return 0 if own >= other else 10


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
