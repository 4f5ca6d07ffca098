"""`python -m loadtests.bench.peers`: cached validation beside nginx `proxy_cache` keyed by Authorization, in one run.

One replica and one nginx worker (which has kept the replica's answer) take turns under the same load: GET /api/v1/auth/verify
with one token, closed loop. Where there are two processors, the server under test has one and the client the other. Each turn
gives requests per second and the server's own processor time per request, the fairer figure where others use the machine.

All requests of a service that asks on its own behalf are alike but for the token. Behind an edge that numbers requests and names
their callers none is like another: that is measured too where `wrk` is installed, and told without a target.

Others take turns too, with heads alike: a JWT decision of Oathkeeper's, where `oathkeeper` is on PATH, and whatever already runs
here and is named by `--beside NAME URL PID TOKEN`: URL is asked with TOKEN as bearer token, PID is whose processor time counts.
So a GoTrue of one's own: `--beside gotrue http://127.0.0.1:9999/user 4711 eyJ...`.

Exit code 0 if the replica answers at least as many requests per second as nginx (median of the turns), 10 if not, 12 if it could
not be measured, for instance because nginx is not on PATH.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psutil
import uvloop

from loadtests.bench import oathkeeper
from loadtests.bench.nginx import is_on_path, running_nginx
from loadtests.bench.processes import pin, processor_s
from loadtests.bench.replica_stack import StackFailed, running_stack
from loadtests.bench.validate import PATH, Load, log_in, run_wrk

ALIKE, NUMBERED = "heads alike", "heads numbered"
# What Railway's edge adds, among what a client says. Made before the clock runs, or it is the client that is measured.
_NUMBERED = """
local heads, last = {}, 0
init = function()
  wrk.headers["User-Agent"], wrk.headers["Accept"], wrk.headers["Accept-Encoding"] = "python-httpx/0.28", "*/*", "gzip, deflate"
  for number = 1, 1000 do
    wrk.headers["X-Request-Id"] = string.format("%016x", number * 2654435761)
    wrk.headers["X-Real-Ip"] = "203.0.113." .. number % 250
    heads[number] = wrk.format()
  end
end
request = function()
  last = last % 1000 + 1
  return heads[last]
end
"""


@dataclass(frozen=True, slots=True)
class Turn:
    rate: float
    processor_us: float


@dataclass(frozen=True, slots=True)
class Peer:
    name: str
    url: str
    process_id: int
    token: str
    path: str = PATH

    def turn(self, connections: int, duration_s: float, script: Path | None) -> Turn:
        process = psutil.Process(self.process_id)
        before_s = processor_s(process)
        rate = closed_loop(self.url, self.token, connections, duration_s, script, self.path)
        return Turn(rate, (processor_s(process) - before_s) / (rate * duration_s) * 1e6)


def closed_loop(url: str, token: str, connections: int, duration_s: float, script: Path | None = None, path: str = PATH) -> float:
    """Requests answered per second, as fast as answers come back. StackFailed where any is not 200. script: for wrk alone."""
    if shutil.which("wrk"):
        return run_wrk(url, token, connections, duration_s, script, path)
    address = urlsplit(url)
    request = f"GET {path} HTTP/1.1\r\nHost: {address.netloc}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    load = Load(request)
    rate: float = uvloop.run(load.run(str(address.hostname), int(address.port or 80), connections, duration_s))
    if load.failures:
        raise StackFailed(f"{url}: {load.failures} answers were not 200")
    return rate


def scripts(directory: Path) -> dict[str, Path | None]:
    """How the requests of a turn look, and what makes them so."""
    if not shutil.which("wrk"):
        return {ALIKE: None}
    script = directory / "numbered.lua"
    script.write_text(_NUMBERED)
    return {ALIKE: None, NUMBERED: script}


def beside(name: str, url: str, process_id: str, token: str) -> Peer:
    """What `--beside` names."""
    parts = urlsplit(url)
    path = urlunsplit(("", "", parts.path, parts.query, ""))
    return Peer(name, f"{parts.scheme}://{parts.netloc}", int(process_id), token, path)


def report(heads: str, name: str, turns: list[Turn]) -> float:
    """Prints a line; the median rate."""
    rate = statistics.median(turn.rate for turn in turns)
    processor_us = statistics.median(turn.processor_us for turn in turns)
    spread = f"{min(turn.rate for turn in turns):,.0f} to {max(turn.rate for turn in turns):,.0f}"
    print(f"{f'{name}, {heads}':34} {rate:10,.0f} requests/s ({spread})   {processor_us:6.1f} us of processor time each")
    return rate


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench.peers", description="One replica beside one nginx worker.")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--duration-s", type=float, default=3.0, help="of each turn")
    parser.add_argument("--beside", nargs=4, action="append", default=[], metavar=("NAME", "URL", "PID", "TOKEN"))
    options = parser.parse_args(arguments)
    if not is_on_path():
        print("nginx: not on PATH")
        return 12
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        try:
            with ExitStack() as programs:
                stack = programs.enter_context(running_stack(directory))
                replica = stack.start_replica()
                token = log_in(replica.url)
                nginx_url, nginx = programs.enter_context(running_nginx(directory, replica.url))
                peers = [Peer("cached-auth", replica.url, replica.program.process.pid, token)]
                peers.append(Peer("nginx proxy_cache", nginx_url, nginx.process.pid, token))
                others = [beside(*words) for words in options.beside]
                if oathkeeper.is_on_path():
                    issuer = stack.environment["JWT_ISSUER"]
                    keys = f"{issuer}/.well-known/jwks.json"
                    url, program = programs.enter_context(oathkeeper.running_oathkeeper(directory, keys, issuer))
                    others.append(Peer("oathkeeper decision", url, program.process.pid, token, oathkeeper.DECISIONS))
                pinned = [pin(peer.process_id, 0) for peer in (*peers, *others)] and pin(os.getpid(), 1)
                turns: dict[tuple[str, str], list[Turn]] = {}
                for _ in range(options.turns):
                    for heads, script in scripts(directory).items():
                        for peer in (*peers, *others) if heads == ALIKE else peers:
                            turn = peer.turn(options.connections, options.duration_s, script)
                            turns.setdefault((heads, peer.name), []).append(turn)
        except StackFailed as error:
            print(f"could not measure: {error}", file=sys.stderr)
            return 12
    client = "wrk" if shutil.which("wrk") else "own asyncio client"
    place = "server and client on one processor each" if pinned else "server and client share the processors"
    print(f"{client}, {options.connections} connections, {place}; {options.turns} turns of {options.duration_s:g} s, alternating")
    rates = {key: report(*key, taken) for key, taken in turns.items()}
    for heads in dict.fromkeys(heads for heads, _ in turns):
        own, other = (rates[heads, peer.name] for peer in peers)
        print(f"{f'ratio, {heads}':34} {own / other:10.2f}{'   (target 1.00)' if heads == ALIKE else ''}")
    own, other = (rates[ALIKE, peer.name] for peer in peers)
    for peer in others:
        print(f"{f'ratio to {peer.name}':34} {own / rates[ALIKE, peer.name]:10.2f}")
    return 0 if own >= other else 10


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
