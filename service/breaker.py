"""A circuit breaker: after some failures in a row a dependency is left alone for a while, so it costs no more time-outs."""

from __future__ import annotations

from collections.abc import Callable


class Breaker:
    """Closed: calls go through. Open: `is_open` until `pause_s` passed; then one probe at a time decides."""

    __slots__ = ("_failures", "_failures_max", "_monotonic", "_open_until", "_pause_s")

    def __init__(self, failures_max: int, pause_s: float, monotonic: Callable[[], float]) -> None:
        self._failures_max = failures_max
        self._pause_s = pause_s
        self._monotonic = monotonic
        self._failures = 0
        self._open_until = 0.0

    @property
    def is_open(self) -> bool:
        """True where the caller should not even try. Asking after the pause lets this caller through and holds off the next."""
        if self._failures < self._failures_max:
            return False
        now = self._monotonic()
        if now < self._open_until:
            return True
        self._open_until = now + self._pause_s
        return False

    @property
    def has_failed(self) -> bool:
        """The last call did: asking changes nothing."""
        return self._failures > 0

    @property
    def is_tripped(self) -> bool:
        """For those who look on: asking changes nothing."""
        return self._failures >= self._failures_max

    def succeeded(self) -> None:
        self._failures = 0

    def failed(self) -> None:
        self._failures += 1
        if self._failures >= self._failures_max:
            self._open_until = self._monotonic() + self._pause_s
