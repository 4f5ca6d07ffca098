"""How fast we may ask: one budget for everything that a provider sends, learnt from the API's own answers. Pure.

A token bucket whose size and refill are not ours to choose: X-RateLimit-Limit, -Remaining and -Reset say how many requests are
left until when. While there are plenty nobody waits. The last tenth is spread evenly over the time that is left, so that a
large stack slows down instead of running into a wall; when nothing is left, everybody waits for the reset. A 429 with
Retry-After holds everybody back, not only the request that met it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

RESERVE_SHARE = 0.1
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
        self._next_at = float("-inf")
        self._paused_until = float("-inf")

    def learn(self, window: Window, now: float) -> None:
        """Takes the API's word. Answers may overtake each other: of one window the smaller rest is the newer."""
        resets_at = now + window.reset_in_s
        is_same = abs(resets_at - self._resets_at) < 2.0 and now < self._resets_at
        self._left = min(self._left, float(window.left)) if is_same else float(window.left)
        self._limit, self._resets_at = window.limit, resets_at

    def pause(self, seconds: float, now: float) -> None:
        self._paused_until = max(self._paused_until, now + seconds)

    def take(self, now: float) -> float:
        """Takes one request; returns after how many seconds it may be sent. Nothing is known: at once."""
        at = max(now, self._paused_until)
        if at >= self._resets_at:
            return at - now
        if self._left < 1:
            return self._resets_at - now
        if self._left > self._limit * RESERVE_SHARE:
            self._left -= 1
            return at - now
        at = max(at, self._next_at)
        self._next_at = at + (self._resets_at - at) / self._left if at < self._resets_at else at
        self._left -= 1
        return min(at, max(self._resets_at, self._paused_until)) - now


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
