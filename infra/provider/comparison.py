"""Two sets of inputs -> which properties change, how, and whether that forces a replacement. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from infra.provider.fields import Field
from infra.provider.properties import Secret, has_unknown, plain

_PLAIN_KEY = re.compile(r"[^.\[\]\"]+")


class Kind(Enum):
    ADD = auto()
    DELETE = auto()
    UPDATE = auto()


@dataclass(frozen=True, slots=True)
class Change:
    """One changed property. `path` is a Pulumi property path (`variables.CACHE_KEY`), `field` its first part.

    `is_input` is False for a change found in what the API reports rather than in what the user asks for.
    """

    path: str
    kind: Kind
    field: str
    replaces: bool = False
    is_input: bool = True


def compare(fields: Sequence[Field], old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[Change, ...]:
    """Changes from `old` to `new`; values with unknowns count as changed, secrets are compared by value."""
    return tuple(
        Change(path, kind, each.name, each.replaces)
        for each in fields
        if each.is_compared and not (each.is_kept_when_absent and new.get(each.name) is None)
        for path, kind in _changes(each.name, old.get(each.name), new.get(each.name))
    )


def _changes(path: str, old: Any, new: Any) -> Iterator[tuple[str, Kind]]:
    old, new = _opened(old), _opened(new)
    if not has_unknown(new) and plain(old) == plain(new):
        return
    if old is None:
        yield path, Kind.ADD
    elif new is None:
        yield path, Kind.DELETE
    elif isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _changes(child(path, key), old.get(key), new.get(key))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from _changes(f"{path}[{index}]", before, after)
    else:
        yield path, Kind.UPDATE


def _opened(value: Any) -> Any:
    """A secret map is compared by its entries: the diff then names the variable, and the engine hides both values."""
    return value.value if isinstance(value, Secret) else value


def child(path: str, key: str) -> str:
    """A Pulumi property path one step down; odd keys are quoted."""
    if _PLAIN_KEY.fullmatch(key):
        return f"{path}.{key}"
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    return f'{path}["{escaped}"]'
