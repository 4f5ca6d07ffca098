"""Structural difference of property values: what the engine shows, and decides by when a provider cannot say."""

from enum import StrEnum

from infra.engine.model import property_paths
from infra.engine.model.values import SIGNATURE_KEY, UNKNOWN, Properties, Secret, Value


class Kind(StrEnum):
    """As in engine events; sdk/go/common/apitype/events.go DiffKind."""

    ADD = "add"
    ADD_REPLACE = "add-replace"
    DELETE = "delete"
    DELETE_REPLACE = "delete-replace"
    UPDATE = "update"
    UPDATE_REPLACE = "update-replace"

    @property
    def is_replace(self) -> bool:
        return self.value.endswith("-replace")

    def replacing(self) -> "Kind":
        return self if self.is_replace else Kind(f"{self.value}-replace")


def difference(old: Properties, new: Properties) -> dict[str, Kind]:
    """Property path -> kind, for every leaf that differs. Secrets are compared by value; an unknown differs from all."""
    found: dict[str, Kind] = {}
    for key in sorted({*old, *new}):
        _compare(_key_path("", key), old.get(key), new.get(key), found)
    return found


def _compare(path: str, old: Value, new: Value, found: dict[str, Kind]) -> None:
    old, new = _bare(old), _bare(new)
    if new is UNKNOWN or old is UNKNOWN:
        found[path] = Kind.UPDATE if old is not None else Kind.ADD
    elif old is None or new is None:
        if old is not new:
            found[path] = Kind.ADD if old is None else Kind.DELETE
    elif _is_plain_object(old) and _is_plain_object(new):
        for key in sorted({*old, *new}):
            _compare(_key_path(path, key), old.get(key), new.get(key), found)
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            ours = old[index] if index < len(old) else None
            _compare(f"{path}[{index}]", ours, new[index] if index < len(new) else None, found)
    elif type(old) is bool or type(new) is bool:
        if old is not new:
            found[path] = Kind.UPDATE
    elif old != new:
        found[path] = Kind.UPDATE


def _bare(value: Value) -> Value:
    return _bare(value.value) if isinstance(value, Secret) else value


def _is_plain_object(value: Value) -> bool:
    return isinstance(value, dict) and SIGNATURE_KEY not in value


def _key_path(prefix: str, key: str) -> str:
    if not key or any(c in key for c in '.[]"'):
        escaped = key.replace("\\", "\\\\").replace('"', '\\"')
        return f'{prefix}["{escaped}"]'
    return f"{prefix}.{key}" if prefix else key


def without_ignored(found: dict[str, Kind], ignored: list[str]) -> dict[str, Kind]:
    patterns = [property_paths.parse(text) for text in ignored]
    return {
        path: k for path, k in found.items() if not any(property_paths.contains(p, property_paths.parse(path)) for p in patterns)
    }


def with_replacements(found: dict[str, Kind], replace_on_changes: list[str]) -> dict[str, Kind]:
    """Turns kinds into replacing ones where replaceOnChanges names the path, something above it or below it."""
    patterns = [property_paths.parse(text) for text in replace_on_changes]

    def is_named(path: property_paths.Path) -> bool:
        return any(property_paths.contains(p, path) or property_paths.contains(path, p) for p in patterns)

    return {path: kind.replacing() if is_named(property_paths.parse(path)) else kind for path, kind in found.items()}
