"""What an input may be, as data. A rule finds problems, gives the normal form and describes itself for the schema."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from infra.provider.properties import Secret, Unknown


@dataclass(frozen=True, slots=True)
class Problem:
    """`path` is relative to the field ("" for the field itself), parts joined by "/"; `got` is safe to print."""

    path: str
    expected: str
    got: str

    def under(self, part: str) -> Problem:
        return Problem(f"{part}/{self.path}" if self.path else part, self.expected, self.got)


class Rule(Protocol):
    """Pure. `problems` sees values with marks; unknown values are never a problem."""

    def problems(self, value: Any) -> Iterator[Problem]: ...

    def normal(self, value: Any) -> Any: ...

    def schema(self) -> dict[str, Any]: ...


def printable(text: str) -> str:
    """Without what would break a line or steer a terminal: others' words turn up in messages, too."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text)


def shown(value: Any) -> str:
    """How a value appears in a message: short, and never a secret."""
    match value:
        case Secret():
            return "[secret]"
        case None:
            return "nothing"
        case str():
            return f'"{printable(value)}"' if len(value) <= 60 else f"{len(value)} characters"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"{value}"
        case list():
            return f"a list of {len(value)}"
        case dict():
            return f"a map of {len(value)}"
        case _:
            return type(value).__name__


def _open(value: Any) -> Any:
    return value.value if isinstance(value, Secret) else value


@dataclass(frozen=True, slots=True)
class Text:
    """A text of `chars_min` to `chars_max` characters; `pattern` must match all of it, `wanted` says so in words."""

    chars_min: int = 1
    chars_max: int = 32_768
    pattern: str = ""
    wanted: str = ""

    def problems(self, value: Any) -> Iterator[Problem]:
        text = _open(value)
        if isinstance(text, Unknown):
            return
        if not isinstance(text, str):
            yield Problem("", "text", shown(value))
        elif not self.chars_min <= len(text) <= self.chars_max:
            yield Problem("", f"{self.chars_min} to {self.chars_max} characters", f"{len(text)}")
        elif self.pattern and not re.fullmatch(self.pattern, text):
            yield Problem("", self.wanted or f"text like {self.pattern}", shown(value))

    def normal(self, value: Any) -> Any:
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "string"}


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number from `least` to `most`."""

    least: int
    most: int

    def problems(self, value: Any) -> Iterator[Problem]:
        number = _open(value)
        if isinstance(number, Unknown):
            return
        if isinstance(number, bool) or not isinstance(number, int) or not self.least <= number <= self.most:
            yield Problem("", f"{self.least} to {self.most}", shown(value))

    def normal(self, value: Any) -> Any:
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "integer"}


@dataclass(frozen=True, slots=True)
class Number:
    """A number, also with a fraction, from `least` to `most`."""

    least: float
    most: float

    def problems(self, value: Any) -> Iterator[Problem]:
        number = _open(value)
        if isinstance(number, Unknown):
            return
        if isinstance(number, bool) or not isinstance(number, int | float) or not self.least <= number <= self.most:
            yield Problem("", f"{self.least:g} to {self.most:g}", shown(value))

    def normal(self, value: Any) -> Any:
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "number"}


@dataclass(frozen=True, slots=True)
class Truth:
    """true or false."""

    def problems(self, value: Any) -> Iterator[Problem]:
        truth = _open(value)
        if not isinstance(truth, bool | Unknown):
            yield Problem("", "true or false", shown(value))

    def normal(self, value: Any) -> Any:
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few names; `aliases` are accepted and normalised."""

    names: tuple[str, ...]
    aliases: Mapping[str, str] = field(default_factory=dict)

    def problems(self, value: Any) -> Iterator[Problem]:
        name = _open(value)
        if isinstance(name, Unknown):
            return
        if self.normal(name) not in self.names:
            yield Problem("", "one of " + ", ".join(self.names), shown(value))

    def normal(self, value: Any) -> Any:
        return self.aliases.get(value, value) if isinstance(value, str) else value

    def schema(self) -> dict[str, Any]:
        return {"type": "string"}


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of at most `items_max` items of one kind."""

    item: Rule
    items_max: int = 100

    def problems(self, value: Any) -> Iterator[Problem]:
        items = _open(value)
        if isinstance(items, Unknown):
            return
        if not isinstance(items, list):
            yield Problem("", "a list", shown(value))
            return
        if len(items) > self.items_max:
            yield Problem("", f"at most {self.items_max} items", f"{len(items)}")
        for index, entry in enumerate(items):
            for problem in self.item.problems(Secret(entry) if isinstance(value, Secret) else entry):
                yield problem.under(str(index))

    def normal(self, value: Any) -> Any:
        return [self.item.normal(entry) for entry in value] if isinstance(value, list) else value

    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": self.item.schema()}


@dataclass(frozen=True, slots=True)
class MapOf:
    """A map of at most `entries_max` entries; names obey `key`, values obey `item`."""

    item: Rule
    key: Rule = field(default_factory=Text)
    entries_max: int = 1_000
    entries_min: int = 0

    def problems(self, value: Any) -> Iterator[Problem]:
        entries = _open(value)
        if isinstance(entries, Unknown):
            return
        if not isinstance(entries, dict):
            yield Problem("", "a map", shown(value))
            return
        if not self.entries_min <= len(entries) <= self.entries_max:
            yield Problem("", f"{self.entries_min} to {self.entries_max} entries", f"{len(entries)}")
        for name, entry in entries.items():
            for problem in self.key.problems(name):
                yield problem.under(name)
            for problem in self.item.problems(Secret(entry) if isinstance(value, Secret) else entry):
                yield problem.under(name)

    def normal(self, value: Any) -> Any:
        if isinstance(value, Secret):
            return Secret(self.normal(value.value))
        if not isinstance(value, dict):
            return value
        return {self.key.normal(name): self.item.normal(entry) for name, entry in value.items() if entry is not None}

    def schema(self) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": self.item.schema()}


@dataclass(frozen=True, slots=True)
class Anything:
    """Any value at all; compared, never interpreted."""

    def problems(self, value: Any) -> Iterator[Problem]:
        return iter(())

    def normal(self, value: Any) -> Any:
        return value

    def schema(self) -> dict[str, Any]:
        return {"$ref": "pulumi.json#/Any"}
