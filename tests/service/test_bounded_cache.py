"""L1's policy: what is bounded, what stays, and that no put does more than its share of work."""

from __future__ import annotations

import io
import random
from bisect import bisect_left
from collections import OrderedDict
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.cache.bounded import GHOSTS_PER_ENTRY, TURNS_MAX, BoundedCache
from service.cache.replay import LOOKUP, read_lookups, replay

FOREVER = float("inf")
KEYS = st.integers(0, 30)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), KEYS, st.integers(0, 60), st.sampled_from([FOREVER, -1.0])),
        st.tuples(st.just("get"), KEYS),
        st.tuples(st.just("pop"), KEYS),
    ),
    max_size=200,
)


@given(entries_max=st.integers(1, 12), bytes_max=st.integers(0, 120), steps=STEPS)
def test_law_never_above_either_bound_and_never_anothers_value(entries_max: int, bytes_max: int, steps: list[tuple[object, ...]]):
    """Whatever happened before: a key has what was put last under it or nothing, and nothing is counted that is not there."""
    cache: BoundedCache[int, tuple[int, int]] = BoundedCache(entries_max, bytes_max, lambda: 0.0)
    last: dict[int, tuple[int, int]] = {}
    for number, (what, key, *rest) in enumerate(steps):
        assert isinstance(key, int)
        if what == "put":
            size, good_until = rest
            last[key] = (number, size)  # type: ignore[assignment]
            cache.put(key, last[key], size, good_until)  # type: ignore[arg-type]
        elif what == "pop":
            cache.pop(key)
            last.pop(key, None)
        assert cache.get(key) in (None, last.get(key))
        kept = dict(cache)
        assert len(kept) == len(cache) <= entries_max
        assert sum(size for _, size in kept.values()) == cache.size_bytes <= bytes_max
        assert kept.items() <= last.items()
        assert len(cache._ghosts) <= entries_max * GHOSTS_PER_ENTRY


@given(keys=st.lists(KEYS, max_size=100))
def test_law_nothing_is_let_go_while_there_is_room(keys: list[int]):
    cache: BoundedCache[int, int] = BoundedCache(31, 31, lambda: 0.0)
    for key in keys:
        cache.put(key, key, 1, FOREVER)
    assert {key for key, _ in cache} == set(keys)


def test_flood_of_others_leaves_what_is_asked_for_again():
    cache: BoundedCache[str, str] = BoundedCache(100, 100, lambda: 0.0)
    cache.put("regular", "regular", 1, FOREVER)
    assert cache.get("regular") == "regular"
    for number in range(10_000):
        cache.put(f"flood {number}", "once", 1, FOREVER)
    assert cache.get("regular") == "regular"
    assert len(cache) == 100


def test_who_comes_back_soon_enough_is_believed_to_come_again():
    """Not asked for before its end came: only its name stayed, which is enough to be let into the main queue next time."""
    cache: BoundedCache[str, int] = BoundedCache(20, 20, lambda: 0.0)
    cache.put("slow", 1, 1, FOREVER)
    for number in range(30):
        cache.put(f"a {number}", 1, 1, FOREVER)
    assert cache.get("slow") is None
    cache.put("slow", 2, 1, FOREVER)
    for number in range(30):
        cache.put(f"b {number}", 1, 1, FOREVER)
    assert cache.get("slow") == 2


def test_what_is_past_its_time_gets_no_other_turn():
    now = 0.0
    cache: BoundedCache[int, int] = BoundedCache(10, 10, lambda: now)
    for key in range(10):
        cache.put(key, key, 1, 1.0 if key < 5 else FOREVER)
        cache.get(key)
    now = 2.0
    for key in range(10, 15):
        cache.put(key, key, 1, FOREVER)
    assert {key for key, _ in cache} == set(range(5, 15))


def test_one_large_entry_does_not_empty_the_rest():
    cache: BoundedCache[str, int] = BoundedCache(100, 1000, lambda: 0.0)
    for number in range(50):
        cache.put(f"{number}", number, 10, FOREVER)
        cache.get(f"{number}")
    cache.put("large", 0, 1001, FOREVER)
    assert cache.get("large") is None
    assert len(cache) >= 50 - TURNS_MAX


@pytest.mark.parametrize("count", [10, 5000])
def test_put_gives_few_others_another_turn(count: int):
    """Were all of them asked for, one put would otherwise go through the whole queue: milliseconds, in some request."""
    looked_at = 0

    def now() -> float:
        nonlocal looked_at
        looked_at += 1
        return 0.0

    cache: BoundedCache[int, int] = BoundedCache(count, count, now)
    for key in range(count):
        cache.put(key, key, 1, FOREVER)
    for key in range(count):
        for _ in range(5):
            cache.get(key)
    looked_at = 0
    cache.put(-1, -1, 1, FOREVER)
    assert looked_at <= TURNS_MAX + 1
    assert len(cache) == count


def lookups(*, is_flooded: bool) -> list[tuple[float, int, bool]]:
    """A small audience, by Zipf's law, with a new token each hour; flooded: as many look-ups again of tokens used once."""
    chance = random.Random(1)  # noqa: S311 - a trace to be repeated, nothing to be guessed
    sessions, rate = 300, 40.0
    shares = list(accumulate(1 / rank for rank in range(1, sessions + 1)))
    made = []
    for number in range(int(rate * 900)):
        session = bisect_left(shares, chance.random() * shares[-1])
        made.append((number / rate, session + sessions * int((number / rate + session * 12) // 3600), True))
        if is_flooded:
            made.append((number / rate, 1_000_000 + number, False))
    return made


def lru_hits(trace: list[tuple[float, int, bool]], entries_max: int) -> int:
    kept: OrderedDict[int, float] = OrderedDict()
    hits = 0
    for now, token, counts in trace:
        good_until = kept.get(token, 0.0)
        hits += counts and now < good_until
        kept[token] = good_until if now < good_until - 60.0 else now + 300.0
        kept.move_to_end(token)
        if len(kept) > entries_max:
            kept.popitem(last=False)
    return hits


def test_hit_rates_of_a_small_audience():
    """The benchmark's trace in small (python -m loadtests.bench.hit_rate): as good as an LRU in peace, far better in a flood."""
    steady, flooded = lookups(is_flooded=False), lookups(is_flooded=True)
    counted, hits = replay(steady, 300, 300.0, 60.0)
    assert counted == 36_000
    assert hits / counted >= 0.97
    assert hits >= 0.995 * lru_hits(steady, 300)
    flooded_counted, flooded_hits = replay(flooded, 300, 300.0, 60.0)
    assert flooded_counted == counted
    assert flooded_hits / counted >= 0.95
    assert lru_hits(flooded, 300) / counted < 0.85, "else this is no flood"


def test_trace_that_breaks_off_is_read_to_its_last_whole_look_up():
    packed = LOOKUP.pack(1.0, 7, True) + LOOKUP.pack(2.0, 8, False)
    assert list(read_lookups(io.BytesIO(packed[:-1]))) == [(1.0, 7, True)]
    assert list(read_lookups(io.BytesIO(packed))) == [(1.0, 7, True), (2.0, 8, False)]
