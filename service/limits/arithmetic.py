"""Rate limits as arithmetic on whole microseconds: no clock, no store. `scripts.py` does the same in Lua; a test holds the two
together number by number, which is why nothing here is a float.

Theory of operation
-------------------
A *bucket* is a GCRA (generic cell rate algorithm, ITU-T I.371): one number, the time at which it will be full again. It costs
no timer, cannot be cheated at the edge of a window as counters per minute can, and a request costs `interval_us`.

*Strikes* count failed log-ins and leak away one by one. Each strike beyond those that are free locks for twice as long as the
one before, up to a bound. What is asked while locked changes nothing: the owner of an account must not be kept out for longer
by somebody who keeps knocking.
"""

from __future__ import annotations

from dataclasses import dataclass

SECOND_US = 1_000_000
DOUBLINGS_MAX = 20  # 2 ** 20 seconds are twelve days: beyond any bound, and far from what a double counts exactly


@dataclass(frozen=True, slots=True)
class Rate:
    """`burst` requests at once, and one more every `interval_us`. A burst of 0 means no limit."""

    interval_us: int
    burst: int

    @property
    def depth_us(self) -> int:
        return self.interval_us * self.burst


@dataclass(frozen=True, slots=True)
class Lockout:
    """`free` failures cost nothing; the next locks for `base_us`, the one after for twice that. 0 free means no lock-out."""

    free: int
    base_us: int
    max_us: int
    leak_us: int


@dataclass(frozen=True, slots=True)
class Strikes:
    """`count` as of `at_us`; nothing is let in before `locked_until_us`."""

    count: int = 0
    at_us: int = 0
    locked_until_us: int = 0


def per(count: int, period_s: int) -> Rate:
    """`count` in `period_s` seconds, all of them at once where nobody asked before."""
    return Rate(period_s * SECOND_US // count if count else 0, count)


def divided(rate: Rate, parts: int) -> Rate:
    """One part of a rate that `parts` processes share without talking to each other; never less than one request."""
    return Rate(rate.interval_us * parts, max(1, rate.burst // parts)) if rate.burst else rate


def wait_us(full_at_us: int, now_us: int, rate: Rate) -> int:
    """How long until one more request fits; 0 where it fits now."""
    return max(0, max(full_at_us, now_us) + rate.interval_us - rate.depth_us - now_us) if rate.burst else 0


def taken(full_at_us: int, now_us: int, rate: Rate) -> int:
    """The bucket after one more request."""
    return max(full_at_us, now_us) + rate.interval_us


def given_back(full_at_us: int, now_us: int, rate: Rate) -> int:
    """The bucket as if one request had never been."""
    return max(now_us, full_at_us - rate.interval_us)


def left(full_at_us: int, now_us: int, rate: Rate) -> int:
    """Requests that still fit."""
    return (rate.depth_us - max(0, full_at_us - now_us)) // rate.interval_us if rate.burst else 0


def leaked(strikes: Strikes, now_us: int, rule: Lockout) -> int:
    """How many of the strikes are left at `now_us`."""
    return max(0, strikes.count - max(0, now_us - strikes.at_us) // rule.leak_us)


def struck(strikes: Strikes, now_us: int, rule: Lockout) -> Strikes:
    """One failure more."""
    count = leaked(strikes, now_us, rule) + 1
    over = count - rule.free
    locked_us = min(rule.max_us, rule.base_us * 2 ** min(over - 1, DOUBLINGS_MAX)) if over > 0 else 0
    return Strikes(count, now_us, now_us + locked_us if locked_us else 0)


def pardoned(strikes: Strikes, now_us: int, rule: Lockout) -> Strikes:
    """One failure less, and no lock that it alone brought about."""
    count = max(0, leaked(strikes, now_us, rule) - 1)
    return Strikes(count, now_us, strikes.locked_until_us if count > rule.free else 0)
