"""Rules for values that a person wrote: each takes (path, value), gives back a typed value or raises Wrong.

A problem reads `path: expected ..., got ...`. A Findings gathers the problems of several rules, so that the user mends
all of them in one round.

    Wrong     one value, or several inside it, did not pass; `problems` holds one line each
"""

from __future__ import annotations

import contextlib
import difflib
import json
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")
Rule = Callable[[str, object], T]


class Wrong(Exception):
    """See the module docstring."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(slots=True)
class Findings:
    """Runs rules and keeps what they found wrong."""

    problems: list[str] = field(default_factory=list)

    def take(self, rule: Rule[T], path: str, given: object, instead: T) -> T:
        """The rule's value; `instead` after a problem, which nobody gets to use: `finish` raises first."""
        try:
            return rule(path, given)
        except Wrong as wrong:
            self.problems.extend(wrong.problems)
            return instead

    def add(self, problems: Iterable[str]) -> None:
        self.problems.extend(problems)

    def finish(self) -> None:
        if self.problems:
            raise Wrong(*self.problems)


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """Text that never shows: not in repr, not in a message. `text` is for pulumi.Output.secret alone."""

    text: str

    def __repr__(self) -> str:
        return "[secret]"


def shown(value: object) -> str:
    """A value as a message shows it, cut to one short line."""
    text = repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def integer(low: int, high: int) -> Rule[int]:
    def rule(path: str, given: object) -> int:
        # `pulumi config set` writes numbers as text, YAML and --path as numbers; true is an int to Python, not to us.
        number = int(given) if isinstance(given, str) and re.fullmatch(r"-?[0-9]{1,9}", given) else given
        if isinstance(number, bool) or not isinstance(number, int) or not low <= number <= high:
            raise Wrong(f"{path}: expected {low} to {high}, got {shown(given)}")
        return number

    return rule


def one_of(*choices: str) -> Rule[str]:
    def rule(path: str, given: object) -> str:
        if not isinstance(given, str) or given not in choices:
            raise Wrong(f"{path}: expected {' or '.join(choices)}, got {shown(given)}")
        return given

    return rule


def text(pattern: str, expected: str) -> Rule[str]:
    def rule(path: str, given: object) -> str:
        if not isinstance(given, str) or not re.fullmatch(pattern, given):
            raise Wrong(f"{path}: expected {expected}, got {shown(given)}")
        return given

    return rule


def secret(pattern: str, expected: str) -> Rule[Secret]:
    """Like text, but the message tells the length alone."""

    def rule(path: str, given: object) -> Secret:
        if not isinstance(given, str) or not re.fullmatch(pattern, given):
            raise Wrong(f"{path}: expected {expected}, got something else of {len(str(given))} characters")
        return Secret(given)

    return rule


def decoded(path: str, given: object, kind: type[T], expected: str) -> T:
    """A list or an object; at the top Pulumi hands both over as JSON text."""
    value = given
    if isinstance(given, str):
        with contextlib.suppress(ValueError):  # what is not JSON stays text, and the message shows it
            value = json.loads(given)
    if not isinstance(value, kind):
        raise Wrong(f"{path}: expected {expected}, got {shown(value)}")
    return value


def unknown(prefix: str, given: Collection[str], known: Collection[str]) -> list[str]:
    """One problem for each key that nobody reads, with the nearest one that somebody does."""
    problems = []
    for name in sorted(set(given) - set(known)):
        near = difflib.get_close_matches(name, list(known), n=1)
        meant = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(sorted(known))}"
        problems.append(f"{prefix}{name}: unknown key; {meant}")
    return problems
