"""`python -m loadtests.bench.hit_rate`: how often a token is found in memory, under L1's own policy and under two others.

One made-up audience, the same for all policies: sessions that are asked for by Zipf's law (the r-th as often as 1/r), each with
a new token every hour at a time of its own, and entries that are good for CACHE_TTL_S and are confirmed anew when asked for in
their last minute. Then the same with a flood: as many look-ups again, each of a token that is never seen a second time. Counted
are the audience's look-ups, from a cold start; the shared tier is left out, so these are lower bounds of what callers see.

L1's policy is the service's own, run by `python -m service.cache.replay`. Exit code 0 if it meets the targets, else 10.
"""

from __future__ import annotations

import argparse
import bisect
import itertools
import json
import random
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from loadtests.bench.policies import Lru, Policy, WTinyLfu
from loadtests.bench.replica_stack import ROOT

TARGETS = {"steady": 0.98, "flood": 0.95}
TTL_S = 300.0
EARLY_S = 60.0
TOKEN_LIFE_S = 3600.0
TIMEOUT_S = 180.0

Lookup = tuple[float, int, bool]
_PACKED = struct.Struct("<dQ?")  # what service/cache/replay.py reads


@dataclass(frozen=True, slots=True)
class Audience:
    sessions: int
    rate: float
    duration_s: float
    seed: int

    def lookups(self, *, is_flooded: bool) -> Iterator[Lookup]:
        """(seconds, token, whether it is the audience's)."""
        chance = random.Random(self.seed)  # noqa: S311 - a trace to be repeated, nothing to be guessed
        shares = list(itertools.accumulate(1 / rank for rank in range(1, self.sessions + 1)))
        phases_s = [chance.uniform(0, TOKEN_LIFE_S) for _ in range(self.sessions)]
        for number in range(int(self.rate * self.duration_s)):
            now = number / self.rate
            session = bisect.bisect_left(shares, chance.random() * shares[-1])
            yield now, session << 16 | int((now + phases_s[session]) // TOKEN_LIFE_S), True
            if is_flooded:
                yield now, 1 << 63 | number, False


def hit_rate(policy: Policy, lookups: list[Lookup]) -> float:
    counted = hits = 0
    for now, token, counts in lookups:
        good_until = policy.get(token)
        counted += counts
        hits += counts and good_until is not None and now < good_until
        if good_until is None or now >= good_until - EARLY_S:
            policy.put(token, now + TTL_S)
    return hits / counted


def own_hit_rate(lookups: list[Lookup], entries_max: int) -> float:
    bounds = [f"--entries-max={entries_max}", f"--ttl-s={TTL_S}", f"--early-s={EARLY_S}"]
    packed = b"".join(itertools.starmap(_PACKED.pack, lookups))
    command = [sys.executable, "-m", "service.cache.replay", *bounds]
    done = subprocess.run(command, cwd=ROOT, input=packed, capture_output=True, timeout=TIMEOUT_S, check=True)
    counts = json.loads(done.stdout)
    return float(counts["hits"] / counts["lookups"])


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench.hit_rate", description="L1's policy beside others.")
    parser.add_argument("--entries-max", type=int, default=5000)
    parser.add_argument("--sessions", type=int, default=5000)
    parser.add_argument("--rate", type=float, default=400.0, help="the audience's look-ups per second")
    parser.add_argument("--duration-s", type=float, default=3600.0, help="of the audience's time, not of yours")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args(arguments)
    audience = Audience(options.sessions, options.rate, options.duration_s, options.seed)
    print(f"{audience.sessions:,} sessions, {options.entries_max:,} entries, {audience.rate:g} look-ups/s, seed {options.seed}")
    is_met = True
    for name, target in TARGETS.items():
        lookups = list(audience.lookups(is_flooded=name == "flood"))
        began = time.monotonic()
        own = own_hit_rate(lookups, options.entries_max)
        lru, tiny = (hit_rate(policy(options.entries_max), lookups) for policy in (Lru, WTinyLfu))
        is_met = is_met and own >= target
        figures = f"S3-FIFO (ours) {own:7.2%}   W-TinyLFU {tiny:7.2%}   LRU {lru:7.2%}   (target {target:.0%})"
        print(f"{name:7} {figures}   {len(lookups):,} look-ups, {time.monotonic() - began:.0f} s")
    return 0 if is_met else 10


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
