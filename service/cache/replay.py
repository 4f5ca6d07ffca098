"""`python -m service.cache.replay`: how often L1 would have had the answer, for look-ups that are read from standard input.

Each look-up is 17 bytes: seconds (float64), the token's number (uint64), and whether it counts (0 or 1), little-endian, in the
order of time. Prints JSON: `lookups` and `hits` of those that count. Which CACHE_ENTRIES_MAX an audience needs can be found out
with a trace of its own; loadtests/bench/hit_rate.py sends made-up ones.
"""

from __future__ import annotations

import argparse
import json
import struct
import sys
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from service.cache.bounded import BoundedCache

LOOKUP = struct.Struct("<dQ?")
LOOKUPS_AT_A_TIME = 4096


def replay(lookups: Iterable[tuple[float, int, bool]], entries_max: int, ttl_s: float, early_s: float) -> tuple[int, int]:
    """(look-ups, hits) of those that count. An entry that is asked for in its last `early_s` is confirmed anew meanwhile."""
    now = 0.0
    cache: BoundedCache[int, float] = BoundedCache(entries_max, entries_max, lambda: now)
    counted = hits = 0
    for now, token, counts in lookups:
        good_until = cache.get(token)
        is_hit = good_until is not None and now < good_until
        counted += counts
        hits += counts and is_hit
        if good_until is None or now >= good_until - early_s:
            cache.put(token, now + ttl_s, 1, now + ttl_s)
    return counted, hits


def read_lookups(stream: BinaryIO) -> Iterator[tuple[float, int, bool]]:
    while chunk := stream.read(LOOKUP.size * LOOKUPS_AT_A_TIME):
        yield from LOOKUP.iter_unpack(chunk[: len(chunk) - len(chunk) % LOOKUP.size])


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m service.cache.replay", description="L1's hits for a trace on stdin.")
    parser.add_argument("--entries-max", type=int, default=5000)
    parser.add_argument("--ttl-s", type=float, default=300.0)
    parser.add_argument("--early-s", type=float, default=60.0)
    options = parser.parse_args(arguments)
    lookups, hits = replay(read_lookups(sys.stdin.buffer), options.entries_max, options.ttl_s, options.early_s)
    print(json.dumps({"lookups": lookups, "hits": hits}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
