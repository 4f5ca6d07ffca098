"""What is deleted and not gone yet: Railway shows it for a while, by its id and in some lists, and nothing can be done with it.

For us it is gone once it says so. A moment in the future is another matter: a project whose deletion somebody has scheduled runs
on for Railway's 48 hours, and can be kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

GOING = frozenset({"DELETED", "DELETING"})
"""Of syncStatus."""


def is_gone(entry: dict[str, Any], now: datetime | None = None) -> bool:
    at = entry.get("deletedAt")
    return entry.get("syncStatus") in GOING or (bool(at) and not is_to_come(at, now))


def is_to_come(at: Any, now: datetime | None = None) -> bool:
    """Whether this is a moment in the future; what cannot be read is none."""
    try:
        moment = datetime.fromisoformat(str(at))
    except ValueError:
        return False
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) > (now or datetime.now(UTC))


def there(entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without those that are gone."""
    return [each for each in entries if not is_gone(each)]
