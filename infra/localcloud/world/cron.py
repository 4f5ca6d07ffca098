"""Cron schedules: five fields in UTC, read once; when they are due next. Pure.

Day of month and day of week are either-or where both are restricted, as in crontab(5). Railway runs nothing more often than
every five minutes (its docs, "Cron jobs").
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from infra.localcloud.world.errors import BadInput

GAP_MINUTES_MIN = 5
FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day of month", 1, 31), ("month", 1, 12), ("day of week", 0, 7))
DAYS_MAX = 366 * 8 + 1  # the 29th of February, also over a year like 2100


@dataclass(frozen=True, slots=True)
class Schedule:
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]  # 0 is Sunday
    is_any_day: bool
    is_any_weekday: bool

    def is_on(self, at: datetime) -> bool:
        """Whether it is due at all on that day."""
        is_day, is_weekday = at.day in self.days, at.isoweekday() % 7 in self.weekdays
        is_either = not self.is_any_day and not self.is_any_weekday
        return at.month in self.months and ((is_day or is_weekday) if is_either else (is_day and is_weekday))


def parse_schedule(text: str) -> Schedule:
    """BadInput says which field is wrong, and why."""
    fields = text.split()
    if len(fields) != len(FIELDS):
        raise BadInput("cronSchedule: expected five fields, like */15 * * * *")
    minutes, hours, days, months, weekdays = (
        _field(name, low, high, part) for (name, low, high), part in zip(FIELDS, fields, strict=True)
    )
    _check_gap(minutes, hours)
    return Schedule(
        minutes,
        hours,
        frozenset(days),
        frozenset(months),
        frozenset(day % 7 for day in weekdays),
        is_any_day=fields[2].startswith("*"),
        is_any_weekday=fields[4].startswith("*"),
    )


def next_after(schedule: Schedule, at: datetime) -> datetime | None:
    """The first time strictly after `at`; None for one that never comes (the 30th of February)."""
    start = at.replace(second=0, microsecond=0) + timedelta(minutes=1)
    for days in range(DAYS_MAX):
        day = start if days == 0 else (start + timedelta(days=days)).replace(hour=0, minute=0)
        if not schedule.is_on(day):
            continue
        for hour in schedule.hours:
            for minute in schedule.minutes:
                if (hour, minute) >= (day.hour, day.minute):
                    return day.replace(hour=hour, minute=minute)
    return None


def _field(name: str, low: int, high: int, text: str) -> tuple[int, ...]:
    found: set[int] = set()
    for part in text.split(","):
        span, slash, step = part.partition("/")
        first, dash, last = span.partition("-")
        numbers = [*([] if span == "*" else [first, *([last] if dash else [])]), *([step] if slash else [])]
        if not all(number.isascii() and number.isdecimal() and len(number) <= 2 for number in numbers):
            raise BadInput("cronSchedule: expected five fields, like */15 * * * *")
        start = low if span == "*" else int(first)
        end = high if span == "*" or (slash and not dash) else int(last or first)
        if not (low <= start <= end <= high) or (slash and int(step) < 1):
            raise BadInput(f"cronSchedule: {name}: expected {low} to {high}, got {part!r}")
        found.update(range(start, end + 1, int(step) if slash else 1))
    return tuple(sorted(found))


def _check_gap(minutes: tuple[int, ...], hours: tuple[int, ...]) -> None:
    gaps = [later - earlier for earlier, later in pairwise(minutes)]
    if any((hour + 1) % 24 in hours for hour in hours):  # over the full hour
        gaps.append(minutes[0] + 60 - minutes[-1])
    if gaps and min(gaps) < GAP_MINUTES_MIN:
        raise BadInput(f"cronSchedule: expected at least {GAP_MINUTES_MIN} minutes between two runs, got {min(gaps)}")
