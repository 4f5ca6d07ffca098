"""A map bounded by entries and by bytes that keeps what is asked for again, also while a flood of others passes through.

Theory of operation
-------------------
The policy is S3-FIFO (Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023). A new key enters a *small*
queue, a tenth of the whole. When it reaches that queue's end without having been asked for, it leaves and only its name is
remembered, as a *ghost*; asked for once or more, it moves to the *main* queue, as does a ghost that comes back. The main queue
gives each entry that was asked for since its last turn another turn.

So tokens that are used once pass through a tenth of the memory and leave the rest alone, where an LRU would be emptied by them.
W-TinyLFU, the usual answer, pays for its frequency sketch on each look-up; here a hit costs an increment, and what is kept is
no worse (`python -m loadtests.bench.hit_rate` replays one trace through all three).

Two choices differ from the paper. One visit is enough to be promoted, not two, and there are GHOSTS_PER_ENTRY ghosts to each
entry, not one: session tokens come back after seconds, when a flood has long turned the small queue over. And a put gives at
most TURNS_MAX entries another turn, so that no request pays for going through the whole queue.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

SMALL_SHARE = 10
GHOSTS_PER_ENTRY = 4
VISITS_MAX = 3
TURNS_MAX = 32


class _Slot(Generic[Value]):
    __slots__ = ("good_until", "size_bytes", "value", "visits")

    def __init__(self, value: Value, size_bytes: int, good_until: float) -> None:
        self.value = value
        self.size_bytes = size_bytes
        self.good_until = good_until
        self.visits = 0


class BoundedCache(Generic[Key, Value]):
    """At most `entries_max` entries and `bytes_max` bytes as their owners count them. `now` answers in `good_until`'s clock."""

    def __init__(self, entries_max: int, bytes_max: int, now: Callable[[], float]) -> None:
        self._entries_max = entries_max
        self._bytes_max = bytes_max
        self._small_entries_max = max(1, entries_max // SMALL_SHARE)
        self._small_bytes_max = bytes_max // SMALL_SHARE
        self._ghosts_max = entries_max * GHOSTS_PER_ENTRY
        self._now = now
        self._small: OrderedDict[Key, _Slot[Value]] = OrderedDict()
        self._main: OrderedDict[Key, _Slot[Value]] = OrderedDict()
        self._ghosts: OrderedDict[Key, None] = OrderedDict()
        self._small_bytes = 0
        self._main_bytes = 0

    def __len__(self) -> int:
        return len(self._small) + len(self._main)

    def __iter__(self) -> Iterator[tuple[Key, Value]]:
        """A snapshot: what is removed meanwhile is still listed."""
        found = [(key, slot.value) for queue in (self._main, self._small) for key, slot in queue.items()]
        return iter(found)

    @property
    def size_bytes(self) -> int:
        return self._small_bytes + self._main_bytes

    def get(self, key: Key) -> Value | None:
        """The value, whether or not it is still good: who asks has more to check than the time."""
        slot = self._main.get(key) or self._small.get(key)
        if slot is None:
            return None
        if slot.visits < VISITS_MAX:
            slot.visits += 1
        return slot.value

    def put(self, key: Key, value: Value, size_bytes: int, good_until: float) -> None:
        """Remembers it, for now: anything may be let go for something else. A known key keeps its place."""
        slot = _Slot(value, size_bytes, good_until)
        if key in self._main or key in self._small:
            queue = self._main if key in self._main else self._small
            slot.visits = queue[key].visits
            self._add_bytes(queue, size_bytes - queue[key].size_bytes)
            queue[key] = slot
        elif key in self._ghosts:
            del self._ghosts[key]
            self._enter(self._main, key, slot)
        else:
            self._enter(self._small, key, slot)
        turns = TURNS_MAX
        while len(self) > self._entries_max or self.size_bytes > self._bytes_max:
            turns = self._let_one_go(turns)

    def pop(self, key: Key) -> None:
        """Forgets the key, ghost and all, if it is there."""
        for queue in (self._main, self._small):
            slot = queue.pop(key, None)
            if slot is not None:
                self._add_bytes(queue, -slot.size_bytes)
        self._ghosts.pop(key, None)

    def _let_one_go(self, turns: int) -> int:
        """Moves or removes the entry whose turn it is; `turns` that are left for keeping one that deserves it."""
        is_small_full = len(self._small) > self._small_entries_max or self._small_bytes > self._small_bytes_max
        queue = self._small if is_small_full or not self._main else self._main
        key, slot = queue.popitem(last=False)
        self._add_bytes(queue, -slot.size_bytes)
        is_good = slot.good_until > self._now()
        if slot.visits and is_good and turns:
            slot.visits = 0 if queue is self._small else slot.visits - 1
            self._enter(self._main, key, slot)
            return turns - 1
        if queue is self._small and is_good:
            self._ghosts[key] = None
            if len(self._ghosts) > self._ghosts_max:
                self._ghosts.popitem(last=False)
        return turns

    def _enter(self, queue: OrderedDict[Key, _Slot[Value]], key: Key, slot: _Slot[Value]) -> None:
        queue[key] = slot
        self._add_bytes(queue, slot.size_bytes)

    def _add_bytes(self, queue: OrderedDict[Key, _Slot[Value]], count: int) -> None:
        if queue is self._small:
            self._small_bytes += count
        else:
            self._main_bytes += count
