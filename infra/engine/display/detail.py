"""`--diff`: what changes inside a resource, from the event's metadata. Pure; secrets are masked already."""

import difflib
import json
from collections.abc import Iterator
from typing import Any

from infra.engine.errors import UsageError
from infra.engine.model import property_paths
from infra.engine.model.values import UNKNOWN_TEXT

_SIGNS = {"add": "+", "delete": "-", "update": "~"}


def detail_lines(metadata: dict[str, Any]) -> Iterator[str]:
    """Lines for one step: changed properties of an update or replacement, all inputs of a creation."""
    old, new = metadata.get("old") or {}, metadata.get("new") or {}
    if metadata["op"] in ("create", "import"):
        for key, value in sorted((new.get("inputs") or {}).items()):
            yield from _added(key, value)
        return
    hidden = [tuple(path) for path in (new or old).get("hideDiffs") or ()]
    for path, change in sorted((metadata.get("detailedDiff") or {}).items()):
        if any(property_paths.contains(pattern, property_paths.parse(path)) for pattern in hidden):
            yield f"{_SIGNS[change['diffKind'].removesuffix('-replace')]} {path}: [hidden]"
            continue
        before = _lookup(old.get("inputs") if change["inputDiff"] else old.get("outputs"), path)
        if before is None:
            before = _lookup(old.get("inputs"), path)
        source = new.get("outputs") if metadata["op"] in ("refresh",) or not new.get("inputs") else new.get("inputs")
        yield from _changed(path, change["diffKind"], before, _lookup(source, path))


def _lookup(properties: Any, path: str) -> Any:
    value = properties
    try:
        for step in property_paths.parse(path):
            value = value[step]
    except (KeyError, IndexError, TypeError, UsageError):
        return None
    return value


def _added(key: str, value: Any) -> Iterator[str]:
    if isinstance(value, str) and "\n" in value:
        yield f"+ {key}:"
        yield from (f"    + {line}" for line in value.splitlines())
    else:
        yield f"+ {key}: {_show(value)}"


def _changed(path: str, kind: str, before: Any, after: Any) -> Iterator[str]:
    sign = _SIGNS[kind.removesuffix("-replace")]
    suffix = " [requires replacement]" if kind.endswith("-replace") else ""
    if isinstance(before, str) and isinstance(after, str) and ("\n" in before or "\n" in after):
        yield f"{sign} {path}:{suffix}"
        lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=3)
        yield from (f"    {line}" for line in list(lines)[2:])  # without the two file names
    elif sign == "+":
        yield f"+ {path}: {_show(after)}{suffix}"
    elif sign == "-":
        yield f"- {path}: {_show(before)}{suffix}"
    else:
        yield f"~ {path}: {_show(before)} => {_show(after)}{suffix}"


def _show(value: Any) -> str:
    return "[unknown]" if value == UNKNOWN_TEXT else json.dumps(value, sort_keys=True).replace(f'"{UNKNOWN_TEXT}"', "[unknown]")
