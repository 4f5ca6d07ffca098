"""Patches of an environment's configuration (Railway's EnvironmentConfig), taken apart and compared. Pure.

A patch is a tree of objects; null removes. What is compared and shown is the unit: one setting or one variable, with its path
(`services`, id, section, name) or (`sharedVariables`, name); of the networking, one proxy or domain. Below a unit Railway may
add keys of its own; above it nothing is a value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from infra.provider.rules import printable, shown

Path = tuple[str, ...]
Units = dict[Path, Any]

TOLD_MAX = 20
SECRET = ("variables", "sharedVariables", "registryCredentials")
"""What is told by name alone."""
_MISSING = object()


def units(config: Any) -> Units:
    """Each setting and variable of a patch or a configuration, by its path."""
    return dict(_units(config))


def _units(config: Any) -> Iterator[tuple[Path, Any]]:
    for top, content in _entries(config):
        if top != "services" or not isinstance(content, dict):
            yield from _leaves((top,), content)
            continue
        for service_id, service in content.items():
            if not isinstance(service, dict):
                yield (top, service_id), service  # null: somebody wants the whole service gone
            for name, settings in _entries(service):
                if name != "networking" or not isinstance(settings, dict):
                    yield from _leaves((top, service_id, name), settings)
                    continue
                for kind, things in settings.items():
                    yield from _leaves((top, service_id, name, kind), things)


def _leaves(path: Path, content: Any) -> Iterator[tuple[Path, Any]]:
    """The entries of a section; a section that is no object (isDeleted: true) is a unit itself."""
    if not isinstance(content, dict):
        yield path, content
    for name, value in _entries(content):
        yield (*path, name), value


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    yield from value.items() if isinstance(value, dict) else ()


def built(parts: Mapping[Path, Any]) -> dict[str, Any]:
    """The way back from `units`."""
    config: dict[str, Any] = {}
    for path, value in parts.items():
        place = config
        for name in path[:-1]:
            place = place.setdefault(name, {})
        place[path[-1]] = value
    return config


def holds(found: Any, wanted: Any) -> bool:
    """Whether `found` says all that `wanted` says; keys that Railway added are no contradiction.

    A sealed value may not be shown any more: there it is enough that the entry is sealed. What is masked is taken for ours.
    """
    if isinstance(wanted, dict) and wanted.get("isSealed"):
        return (
            isinstance(found, dict) and found.get("isSealed") is True and found.get("value", wanted["value"]) == wanted["value"]
        )
    if isinstance(wanted, dict) and isinstance(found, dict):
        return all(name in found and holds(found[name], value) for name, value in wanted.items())
    return bool(found == wanted) or (isinstance(wanted, str) and is_masked(found))


def is_masked(value: Any) -> bool:
    """Railway shows a registry's credentials as asterisks, as its own CLI expects."""
    return isinstance(value, str) and len(value) > 2 and set(value) == {"*"}


def foreign(staged: Mapping[Path, Any], wanted: Mapping[Path, Any]) -> Units:
    """What is staged and is not ours: another unit, or another value of one of ours."""
    return {path: value for path, value in staged.items() if path not in wanted or not holds(value, wanted[path])}


def changed(before: Mapping[Path, Any], after: Mapping[Path, Any]) -> Units:
    """Units of `after` that differ from `before`; None for those that are gone."""
    return {path: after.get(path) for path in sorted(before.keys() | after.keys()) if before.get(path) != after.get(path)}


def section(path: Path) -> Path:
    """What one change must have for itself: a service's settings of one kind, or the shared variables."""
    return path[:3] if path[0] == "services" else path[:1]


def told(parts: Mapping[Path, Any], before: Mapping[Path, Any], names: Mapping[str, str]) -> str:
    """Changes as a line for the user: services by name, settings with their values, variables by name alone."""
    lines = [_told(path, value, before.get(path, _MISSING), names) for path, value in islice(parts.items(), TOLD_MAX)]
    return ", ".join([*lines, *([f"and {len(parts) - TOLD_MAX} more"] if len(parts) > TOLD_MAX else [])])


def _told(path: Path, value: Any, before: Any, names: Mapping[str, str]) -> str:
    parts = (names.get(part, part) if index == 1 and path[0] == "services" else part for index, part in enumerate(path))
    place = printable(".".join(parts))
    if any(part in SECRET for part in path):
        return f"{place} {'removed' if value is None else 'set' if before is _MISSING else 'changed'}"
    return f"{place} = {shown(value)}" if before is _MISSING else f"{place}: {shown(before)} -> {shown(value)}"
