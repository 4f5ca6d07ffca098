"""`python -m service memory-profile`: what a replica's memory goes into, step by step, in a fresh process.

Resident memory after each step of a start, with the parts really made (their dependencies may be away), and then with L1 filled
to CACHE_ENTRIES_MAX or CACHE_BYTES_MAX. `--top` traces every allocation instead and names the files that hold most; tracing
itself takes memory, so the two are not mixed.
"""

from __future__ import annotations

import asyncio
import gc
import time
import tracemalloc
from collections.abc import Sized
from dataclasses import dataclass

import psutil

from service.lean import put_off_the_document
from service.settings import Settings

TOP_FILES = 20
USER_JSON_BYTES = 1200  # what GoTrue says of a user with an e-mail identity


@dataclass(frozen=True, slots=True)
class Step:
    name: str
    resident_bytes: int


def memory_profile(settings: Settings, *, is_traced: bool) -> str:
    """The report."""
    if is_traced:
        tracemalloc.start()
    steps = [Step("interpreter and settings", _resident())]
    steps += asyncio.run(_steps(settings))
    return _top() if is_traced else table(steps)


def table(steps: list[Step]) -> str:
    lines, before = [f"{'step':<44}{'resident':>10}{'more':>10}"], 0
    for step in steps:
        more = f"{(step.resident_bytes - before) / 1e6:+.1f}" if before else ""
        lines.append(f"{step.name:<44}{step.resident_bytes / 1e6:>7.1f} MB{more:>10}")
        before = step.resident_bytes
    return "\n".join(lines)


async def _steps(settings: Settings) -> list[Step]:
    put_off_the_document()
    from service.replica import running

    found = [Step("libraries", _resident())]
    async with running(settings, lambda: False):
        found.append(Step("replica, all parts made", _resident()))
        kept = _filled(settings)
        found.append(Step(f"L1 with {len(kept)} tokens", _resident()))
        del kept
    return found


def _filled(settings: Settings) -> Sized:
    """L1 as it would be with as many users as it takes. Made-up tokens, real entries."""
    from service.cache.bounded import BoundedCache
    from service.cache.entries import Entry
    from service.tokens.identity import Identity
    from service.web.auth_endpoints import verify_lines

    now = time.time()
    cache: BoundedCache[bytes, Entry] = BoundedCache(settings.cache_entries_max, settings.cache_bytes_max, time.time)
    for number in range(settings.cache_entries_max):
        user_id, session_id = (f"{part:08x}-0000-4000-8000-{number:012x}" for part in (1, 2))
        identity = Identity(user_id, session_id, "authenticated", f"user-{number}@example.com", now, now + 3600, "k" * 43)
        entry = Entry(identity, b"%0*d" % (USER_JSON_BYTES, number), now + 300, 0.0, verify_lines(identity))
        cache.put(b"%016d" % number, entry, entry.size_bytes, entry.good_until)
    return cache


def _top() -> str:
    snapshot = tracemalloc.take_snapshot()
    statistics = snapshot.statistics("filename")[:TOP_FILES]
    lines = [f"{'file':<70}{'held':>10}{'blocks':>10}"]
    for found in statistics:
        name = found.traceback[0].filename
        lines.append(f"{name[-70:]:<70}{found.size / 1e6:>7.1f} MB{found.count:>10}")
    return "\n".join(lines)


def _resident() -> int:
    gc.collect()
    resident: int = psutil.Process().memory_info().rss
    return resident
