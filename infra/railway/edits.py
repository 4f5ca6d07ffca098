"""Whether somebody else edited what we are about to write, judged against the state that the preview was made from. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from infra.provider.comparison import Change, child, compare
from infra.provider.definition import snake
from infra.provider.errors import Conflict
from infra.provider.fields import Field
from infra.provider.rules import shown

WAY_OUT = "nothing was changed; run `refresh` to see it in the state, then `up` again"


class Edited(Conflict):
    """What is there is neither what we remember nor what we want."""


def check_unedited(
    what: str,
    fields: Sequence[Field],
    remembered: Mapping[str, Any],
    found: Mapping[str, Any],
    wanted: Mapping[str, Any],
    *,
    is_silent: bool = False,
) -> None:
    """Edited where we would write over somebody's value unseen. What is as we want it already is nobody's harm.

    is_silent: values are secrets, and only names are told.
    """
    to_write = {each.path for each in compare(fields, found, wanted)}
    edits = [each for each in compare(fields, remembered, found) if each.path in to_write]
    if edits:
        parts = (_told(each, remembered, found, is_silent=is_silent) for each in edits)
        raise Edited(f"{what} was edited by somebody else since this stack last saw it: {', '.join(parts)}; {WAY_OUT}")


def _told(change: Change, remembered: Mapping[str, Any], found: Mapping[str, Any], *, is_silent: bool) -> str:
    path = ".".join(snake(part) if index == 0 else part for index, part in enumerate(change.path.split(".")))
    if is_silent:
        return f"{path} ({change.kind.name.lower()})"
    return f"{path}: {shown(_at(remembered, change))} -> {shown(_at(found, change))}"


def _at(properties: Mapping[str, Any], change: Change) -> Any:
    value = properties.get(change.field)
    if change.path == change.field or not isinstance(value, dict):
        return value
    return next((inner for key, inner in value.items() if child(change.field, key) == change.path), None)
