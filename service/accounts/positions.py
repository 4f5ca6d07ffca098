"""How far a replica must have replayed the primary's log to be believed about one user: what was taken away is gone, and whoever
wrote reads it.

Three bounds, and the furthest counts. The revocation feed tells how far the log had come at most REVOCATION_STALENESS_MAX_S ago:
no replica is read that is further behind, whoever wrote. The same connection brings a notice when what a user may do has changed
(migrations/0011): from then on that place in the log must be one that was asked for after the notice, and until there is one the
primary is read. So a role is gone after half a round trip, and a lost notice costs no more than the first bound. And whoever
changes a user through us notes how far the log had come after that, in this process and in the region's Redis, so that the user's
next read sees it at whichever replica of the service it arrives. Neither needs to be remembered longer than the feed's bound: by
then every read asks for more.

Where Redis cannot be asked, nothing is known about the region's other writers, and the primary is read. A cell without a Redis
has its processes' own notes, and the feed's bound among them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

from service.clocks import Clock

CHANNEL = "cached_auth_accounts"
# Past any log's end. A write whose position could not be learnt sends its user's reads to the primary.
FAR = 2**62
NOTES_MAX = 10_000
# Replicas count the same seconds on clocks of their own, and a note may be a moment on its way.
MARGIN_S = 1.0


class SharedNotes(Protocol):
    """The region's; RedisTier is the real one."""

    async def position_of(self, user_id: str) -> int | None:
        """0 where nothing is noted, None where that cannot be told."""

    async def note_position(self, user_id: str, position: int, life_s: float) -> None: ...


class Positions:
    """In bytes of the primary's log. `lately(since)`: the feed's bound, asked for after `since` (monotonic), None if unknown."""

    def __init__(
        self, lately: Callable[[float], int | None], shared: SharedNotes | None, clock: Clock, staleness_max_s: float
    ) -> None:
        self._lately = lately
        self._shared = shared
        self._clock = clock
        self._life_s = staleness_max_s + MARGIN_S
        self._notes: dict[str, tuple[int, float]] = {}
        self._everyones = (0, 0.0)  # what the notes that were too many come to
        self._changed: dict[str, float] = {}  # when a notice came, the oldest first
        self._everyone_changed = -math.inf

    async def of(self, user_id: str) -> int | None:
        """What a replica must have replayed for this user; None where only the primary will do."""
        lately = self._lately(max(self._changed.get(user_id, -math.inf), self._everyone_changed))
        if lately is None:
            return None
        shared = 0 if self._shared is None else await self._shared.position_of(user_id)
        if shared is None:
            return None
        now = self._clock.monotonic()
        own = (position for position, until in (self._everyones, self._notes.get(user_id, (0, 0.0))) if until > now)
        return max(lately, shared, *own)

    def changed(self, user_id: str) -> None:
        """Somebody changed this user, or (without an id) many, on the primary a moment ago."""
        now = self._clock.monotonic()
        if not user_id:
            self._everyone_changed = now
            return
        self._changed.pop(user_id, None)
        self._changed[user_id] = now
        while len(self._changed) > NOTES_MAX or next(iter(self._changed.values())) < now - self._life_s:
            oldest = next(iter(self._changed))
            self._everyone_changed = max(self._everyone_changed, self._changed.pop(oldest))

    async def wrote(self, user_id: str, position: int) -> None:
        """Notes it here at once, and for the region before this returns. Never fails."""
        now = self._clock.monotonic()
        self._make_room(now)
        earlier, _ = self._notes.pop(user_id, (0, 0.0))  # taken out, so that the oldest are always the first
        self._notes[user_id] = (max(position, earlier), now + self._life_s)
        if self._shared is not None:
            await self._shared.note_position(user_id, position, self._life_s)

    def _make_room(self, now: float) -> None:
        while self._notes:
            user_id, (position, until) = next(iter(self._notes.items()))
            if until > now and len(self._notes) < NOTES_MAX:
                return
            del self._notes[user_id]
            if until > now:
                self._everyones = (max(position, self._everyones[0]), max(until, self._everyones[1]))
