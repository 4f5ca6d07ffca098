"""What L1's policy is compared with: an LRU, and W-TinyLFU as its authors describe it. Plain rather than fast."""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol


class Policy(Protocol):
    """A map from token to the time until which it is good, bounded by entries."""

    def get(self, token: int) -> float | None: ...

    def put(self, token: int, good_until: float) -> None: ...


class Lru:
    def __init__(self, entries_max: int) -> None:
        self._entries_max = entries_max
        self._kept: OrderedDict[int, float] = OrderedDict()

    def get(self, token: int) -> float | None:
        found = self._kept.get(token)
        if found is not None:
            self._kept.move_to_end(token)
        return found

    def put(self, token: int, good_until: float) -> None:
        self._kept[token] = good_until
        self._kept.move_to_end(token)
        if len(self._kept) > self._entries_max:
            self._kept.popitem(last=False)


class Sketch:
    """Count-min, four rows, counters up to 15, halved after ten look-ups per entry."""

    def __init__(self, entries_max: int) -> None:
        self._width = 1 << (4 * entries_max - 1).bit_length()
        self._counts = bytearray(4 * self._width)
        self._added = 0
        self._added_max = 10 * entries_max

    def _places(self, token: int) -> list[int]:
        mixed = hash((token, 77))
        start, step = mixed & 0xFFFFFFFF, (mixed >> 32) | 1
        return [(start + row * step) % self._width + row * self._width for row in range(4)]

    def add(self, token: int) -> None:
        for place in self._places(token):
            self._counts[place] = min(self._counts[place] + 1, 15)
        self._added += 1
        if self._added >= self._added_max:
            self._counts = bytearray(count >> 1 for count in self._counts)
            self._added //= 2

    def estimate(self, token: int) -> int:
        return min(self._counts[place] for place in self._places(token))


class WTinyLfu:
    """A window of 1 %, then a segmented LRU (80 % protected) that a token enters only if it was asked for more often than
    the one it would replace (Einziger, Friedman and Manes, ACM Transactions on Storage 13, 2017)."""

    def __init__(self, entries_max: int) -> None:
        self._window_max = max(1, entries_max // 100)
        self._main_max = entries_max - self._window_max
        self._protected_max = self._main_max * 8 // 10
        self._window: OrderedDict[int, float] = OrderedDict()
        self._probation: OrderedDict[int, float] = OrderedDict()
        self._protected: OrderedDict[int, float] = OrderedDict()
        self._sketch = Sketch(entries_max)

    def get(self, token: int) -> float | None:
        self._sketch.add(token)
        for segment in (self._window, self._protected):
            if token in segment:
                segment.move_to_end(token)
                return segment[token]
        found = self._probation.pop(token, None)
        if found is not None:
            self._protected[token] = found
            if len(self._protected) > self._protected_max:
                demoted, good_until = self._protected.popitem(last=False)
                self._probation[demoted] = good_until
        return found

    def put(self, token: int, good_until: float) -> None:
        for segment in (self._window, self._probation, self._protected):
            if token in segment:
                segment[token] = good_until
                return
        self._window[token] = good_until
        if len(self._window) > self._window_max:
            self._admit(*self._window.popitem(last=False))

    def _admit(self, candidate: int, good_until: float) -> None:
        if len(self._probation) + len(self._protected) >= self._main_max:
            victim = next(iter(self._probation))
            if self._sketch.estimate(candidate) <= self._sketch.estimate(victim):
                return
            del self._probation[victim]
        self._probation[candidate] = good_until
