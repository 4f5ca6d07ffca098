"""Relay connections over a list that is in order already."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from infra.localcloud.world.errors import BadInput

PAGE_MAX = 500
T = TypeVar("T")


def cursor_of(identifier: str) -> str:
    return base64.urlsafe_b64encode(identifier.encode()).decode()


def connection(
    items: Sequence[T],
    identify: Callable[[T], str],
    view: Callable[[T], Any],
    *,
    first: int | None = None,
    after: str | None = None,
    last: int | None = None,
    before: str | None = None,
) -> dict[str, Any]:
    """The page as GraphQL wants it. An unknown cursor is BadInput: what it pointed at has gone, and guessing would skip items."""
    cursors = [cursor_of(identify(item)) for item in items]
    start = _position(cursors, after) + 1 if after is not None else 0
    end = _position(cursors, before) if before is not None else len(items)
    start, end = _cut(start, max(start, end), first, last)
    edges = [{"cursor": cursors[index], "node": view(items[index])} for index in range(start, end)]
    info = {
        "startCursor": edges[0]["cursor"] if edges else None,
        "endCursor": edges[-1]["cursor"] if edges else None,
        "hasNextPage": end < len(items),
        "hasPreviousPage": start > 0,
    }
    return {"edges": edges, "pageInfo": info}


def _position(cursors: Sequence[str], cursor: str) -> int:
    try:
        return cursors.index(cursor)
    except ValueError:
        raise BadInput("Invalid cursor") from None


def _cut(start: int, end: int, first: int | None, last: int | None) -> tuple[int, int]:
    for name, size in (("first", first), ("last", last)):
        if size is not None and size < 0:
            raise BadInput(f"{name}: expected 0 or more, got {size}")
    if first is not None:
        end = min(end, start + first)
    if last is not None:
        start = max(start, end - last)
    if first is None and last is None:
        end = min(end, start + PAGE_MAX)
    return start, min(end, start + PAGE_MAX)
