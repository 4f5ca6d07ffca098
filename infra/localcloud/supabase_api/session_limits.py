"""How long a session may last, where the project limits it (GoTrue's models.Session.CheckValidity). Pure: times are passed in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

NOTHING = timedelta(0)


@dataclass(frozen=True, slots=True)
class SessionTimes:
    created: datetime
    refreshed: datetime | None

    @property
    def last(self) -> datetime:
        return self.refreshed or self.created


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """`timebox` from its beginning, `inactivity` from its last refresh; 0 is none. `is_single`: only the newest is refreshed."""

    timebox: timedelta = NOTHING
    inactivity: timedelta = NOTHING
    is_single: bool = False

    def reason(self, times: SessionTimes, now_for: Callable[[datetime], datetime]) -> str | None:
        """Why a session may not be refreshed any more, in GoTrue's words; None where it may."""
        if self.timebox and now_for(times.created) > times.created + self.timebox:
            return "Session Expired"
        if self.inactivity and now_for(times.last) > times.last + self.inactivity:
            return "Session Expired (Inactivity)"
        return None

    def is_newest(self, times: SessionTimes, others: list[SessionTimes], now_for: Callable[[datetime], datetime]) -> bool:
        """Among those of its user that are valid."""
        return all(other.last <= times.last or self.reason(other, now_for) for other in others)


NO_LIMITS = SessionLimits()
