"""Our schema of railway.toml as data: each key, what it may be, in words and as a check. Pure.

Keys and values are those of Railway's reference of config as code (docs.railway.com/config-as-code/reference), as of August
2026, when it was declared deprecated. Stricter in one thing: names of choices are in capitals, numbers are numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from infra.places import REGIONS, REPLICAS_MAX

SHOWN_CHARS_MAX = 60


@dataclass(frozen=True, slots=True)
class Key:
    """`expected` completes "expected ..."."""

    expected: str
    is_right: Callable[[Any], bool]


def text() -> Key:
    return Key("a text", lambda value: isinstance(value, str))


def texts() -> Key:
    return Key("a list of texts", lambda value: isinstance(value, list) and all(isinstance(item, str) for item in value))


def choice(*names: str) -> Key:
    return Key(f"one of {', '.join(names)}", lambda value: value in names)


def whole(least: int, most: int) -> Key:
    def is_right(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most

    return Key(f"a whole number from {least} to {most}", is_right)


BUILD: Mapping[str, Key] = {
    "builder": choice("RAILPACK", "DOCKERFILE", "NIXPACKS"),
    "watchPatterns": texts(),
    "buildCommand": text(),
    "dockerfilePath": text(),
    "railpackVersion": text(),
}
DEPLOY: Mapping[str, Key] = {
    "startCommand": text(),
    "preDeployCommand": texts(),
    "healthcheckPath": text(),
    "healthcheckTimeout": whole(1, 3_600),
    "restartPolicyType": choice("ON_FAILURE", "ALWAYS", "NEVER"),
    "restartPolicyMaxRetries": whole(0, 100),
    "cronSchedule": text(),
    "overlapSeconds": whole(0, 3_600),
    "drainingSeconds": whole(0, 3_600),
}
PLACEMENT = "multiRegionConfig"
REPLICAS: Mapping[str, Key] = {"numReplicas": whole(1, REPLICAS_MAX)}


@dataclass(frozen=True, slots=True)
class Problem:
    path: str
    expected: str
    got: str

    def __str__(self) -> str:
        return f"{self.path}: expected {self.expected}, got {self.got}"


def problems(file: Mapping[str, Any]) -> Iterator[Problem]:
    """Everything that is wrong with a file as TOML reads it, in its own order."""
    for name, content in file.items():
        if name in ("build", "deploy"):
            yield from _section((name,), name, content)
        elif name == "environments":
            for environment, sections in _tables(("environments",), content):
                for section, inner in _tables(("environments", environment), sections):
                    yield from _section(("environments", environment, section), section, inner)
                yield from _not_a_table(("environments", environment), sections)
            yield from _not_a_table(("environments",), content)
        else:
            yield Problem(_dotted((name,)), "one of build, deploy, environments", "this key")


def _section(path: tuple[str, ...], section: str, content: Any) -> Iterator[Problem]:
    if section not in ("build", "deploy"):
        yield Problem(_dotted(path), "one of build, deploy", "this key")
        return
    yield from _not_a_table(path, content)
    known = BUILD if section == "build" else DEPLOY
    for name, value in _tables(path, content):
        if section == "deploy" and name == PLACEMENT:
            yield from _placement((*path, name), value)
        else:
            yield from _value((*path, name), name, value, known, (PLACEMENT,) if section == "deploy" else ())


def _placement(path: tuple[str, ...], content: Any) -> Iterator[Problem]:
    yield from _not_a_table(path, content)
    for region, entry in _tables(path, content):
        if region not in REGIONS:
            yield Problem(_dotted((*path, region)), f"one of {', '.join(REGIONS)}", "this region")
            continue
        yield from _not_a_table((*path, region), entry)
        for name, value in _tables((*path, region), entry):
            yield from _value((*path, region, name), name, value, REPLICAS, ())
        if isinstance(entry, Mapping) and "numReplicas" not in entry:
            yield Problem(_dotted((*path, region, "numReplicas")), REPLICAS["numReplicas"].expected, "nothing")


def _value(path: tuple[str, ...], name: str, value: Any, known: Mapping[str, Key], others: tuple[str, ...]) -> Iterator[Problem]:
    key = known.get(name)
    if key is None:
        yield Problem(_dotted(path), f"one of {', '.join([*known, *others])}", "this key")
    elif not key.is_right(value):
        yield Problem(_dotted(path), key.expected, shown(value))


def _tables(path: tuple[str, ...], content: Any) -> Iterator[tuple[str, Any]]:
    yield from content.items() if isinstance(content, Mapping) else ()


def _not_a_table(path: tuple[str, ...], content: Any) -> Iterator[Problem]:
    if not isinstance(content, Mapping):
        yield Problem(_dotted(path), "a table", shown(content))


def _dotted(path: tuple[str, ...]) -> str:
    return ".".join(part if part.replace("-", "").replace("_", "").isalnum() else repr(part) for part in path)


def shown(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"{value}"
        case str():
            return repr(value) if len(value) <= SHOWN_CHARS_MAX else f"{len(value)} characters"
        case list():
            return f"a list of {len(value)}"
        case Mapping():
            return f"a table of {len(value)}"
        case _:
            return type(value).__name__  # TOML's dates and times
