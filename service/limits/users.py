"""What one user's checks may cost: whatever is not answered from L1.

An address says nothing about a check (a gateway asks for all its users from one), so what counts here is the user whom a verified
token names: questions to the issuer that no cache spares (`strict`, `GET /auth/v1/user` with ever new headers) and what /me reads
from a database. Hits, and tokens that verify as nobody's, are not counted. In this process's memory alone: a round trip to count
would cost as much as what is counted. Refused is 503, because clients take another refusal of a check for the session's end.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from cachebox import LRUCache

from service.errors import Unavailable
from service.limits.arithmetic import SECOND_US, Rate, taken, wait_us
from service.metrics.counters import Counters

USERS_MAX = 20_000


class UserRates:
    """A bucket for each user. `monotonic`: in seconds."""

    def __init__(self, rate: Rate, monotonic: Callable[[], float], counters: Counters, users_max: int = USERS_MAX) -> None:
        self._rate = rate
        self._monotonic = monotonic
        self._counters = counters
        self._buckets: LRUCache[str, int] = LRUCache(users_max)

    def take(self, user_id: str) -> None:
        """One more. Unavailable where that is too many."""
        if not self._rate.burst:
            return
        now_us = int(self._monotonic() * SECOND_US)
        full_at_us = self._buckets.get(user_id, 0)
        wait = wait_us(full_at_us, now_us, self._rate)
        if wait:
            self._counters.limited["user"] = self._counters.limited.get("user", 0) + 1
            raise Unavailable("limits", "too many requests of this user; try again later", math.ceil(wait / SECOND_US))
        self._buckets[user_id] = taken(full_at_us, now_us, self._rate)
