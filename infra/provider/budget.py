"""How fast we may ask: one budget for everything that a provider sends, learnt from the API's own answers. Pure.

A token bucket whose size and refill are not ours to choose: X-RateLimit-Limit, -Remaining and -Reset say how many requests are
left until when. While there are plenty nobody waits. The last tenth is spread evenly over the time that is left, so that a
large stack slows down instead of running into a wall; when nothing is left, everybody waits for the reset and asks again then:
the next window is taken to be as large as the last until an answer says otherwise. What is under way counts as spent, because
an answer may have been given before it arrived there. A 429 with Retry-After holds everybody back, not only the request that
met it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

RESERVE_SHARE = 0.1
LOOK_AGAIN_S = 1.0
"""While requests are under way what seems to be used up may not be: their answers tell."""
_EPOCH_LEAST = 1_000_000_000.0
"""A reset that large is a moment, in seconds since 1970; a smaller one is a number of seconds from now."""


@dataclass(frozen=True, slots=True)
class Window:
    """What an answer said: `left` of `limit` requests, for `reset_in_s` seconds more."""

    limit: int
    left: int
    reset_in_s: float


class Budget:
    """`now` is any clock that only goes forward; the same for all calls."""

    def __init__(self) -> None:
        self._limit = 0
        self._left = 0.0
        self._resets_at = float("-inf")
        self._length_s = 0.0
        """Of a window, as far as one was seen."""
        self._next_at = float("-inf")
        self._paused_until = float("-inf")
        self._under_way = 0
        self.windows = 0
        """How many were begun here. An answer to a request of an earlier one says nothing of this one."""

    def take(self, now: float) -> float:
        """0: taken, send it, and say when it has `landed`. Otherwise nothing is taken: ask again after that many seconds."""
        if now < self._paused_until:
            return self._paused_until - now
        if self._limit and now >= self._resets_at:
            self._open(now)
        if self._limit and self._left < 1:
            left_s = self._resets_at - now
            return min(left_s, LOOK_AGAIN_S) if self._under_way else left_s
        if self._limit and self._left <= self._limit * RESERVE_SHARE:
            if now < self._next_at:
                return self._next_at - now
            self._next_at = now + (self._resets_at - now) / self._left
        self._left -= 1
        self._under_way += 1
        return 0.0

    def _open(self, now: float) -> None:
        """A new window, of which nothing is known but that it is one."""
        self._left = float(self._limit - self._under_way)
        self._resets_at = now + self._length_s
        self._next_at = float("-inf")
        self.windows += 1

    def landed(self, window: Window | None, now: float, begun_in: int) -> None:
        """A request that was taken in window number `begun_in` is under way no more. Takes the API's word, where it gave one.

        Answers overtake each other: of one window the smaller rest is the newer.
        """
        self._under_way -= 1
        if window is None or begun_in != self.windows:
            return
        resets_at, left = now + window.reset_in_s, float(window.left - self._under_way)
        is_same = abs(resets_at - self._resets_at) < 2.0 and now < self._resets_at
        self._length_s = window.reset_in_s if not self._limit else max(self._length_s, window.reset_in_s)
        self._left = min(self._left, left) if is_same else left
        self._limit, self._resets_at = window.limit, resets_at

    def pause(self, seconds: float, now: float) -> None:
        self._paused_until = max(self._paused_until, now + seconds)


def window_of(headers: Mapping[str, str], wall_clock: float) -> Window | None:
    """What the answer's headers say; None where they say nothing, or nothing that makes sense."""
    try:
        limit, left = int(headers["x-ratelimit-limit"]), int(headers["x-ratelimit-remaining"])
        reset = float(headers["x-ratelimit-reset"])
    except (KeyError, ValueError):
        return None
    if reset >= _EPOCH_LEAST:
        reset -= _served_at(headers, wall_clock)
    if limit < 1 or left < 0 or not 0 <= reset <= 24 * 3600:
        return None
    return Window(limit, left, reset)


def _served_at(headers: Mapping[str, str], wall_clock: float) -> float:
    """When the answer was given, by the API's own clock where it tells."""
    try:
        return parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, ValueError, TypeError):
        return wall_clock
