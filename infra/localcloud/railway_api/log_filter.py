"""Railway's log filter, as its documentation has it ("Filtering logs"): read once into a predicate. Pure.

error                     the line holds the word, whatever the case
"connection refused"      the line holds the text
@level:error              the attribute (level, region, replica, service, deployment) has the value
@httpStatus:>=400         a number is at least so much; also > < <= and 500..599
-text  NOT text           not that one
a AND b   a b             both; AND binds closer than OR
a OR b   ( ... )          either; grouping
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import ge, gt, le, lt
from typing import Any

from infra.localcloud.world.errors import BadInput

FILTER_CHARACTERS_MAX = 1000
DEPTH_MAX = 20
TOKEN = re.compile(
    r'\s*(?:(?P<open>\()|(?P<close>\))|(?P<minus>-(?=\S))|(?P<quoted>"(?:[^"\\]|\\.)*")|(?P<word>[^\s()"]+(?:"[^"]*")?))'
)
ATTRIBUTE = re.compile(r'@([A-Za-z]+):(?:"([^"]*)"|(.*))')
COMPARED = re.compile(r"(>=|<=|>|<)(\d{1,15}(?:\.\d{1,6})?)|(\d{1,15})\.\.(\d{1,15})")
COMPARISONS: dict[str, Callable[[float, float], bool]] = {">=": ge, "<=": le, ">": gt, "<": lt}
TAGS = {"replica": "deploymentInstanceId", "service": "serviceId", "deployment": "deploymentId"}
Line = Mapping[str, Any]
Predicate = Callable[[Line], bool]


def log_filter(text: str | None) -> Predicate:
    """BadInput says where it cannot be read. Nothing, or blanks, lets everything pass."""
    if not text or not text.strip():
        return lambda line: True
    if len(text) > FILTER_CHARACTERS_MAX:
        raise BadInput(f"filter: expected at most {FILTER_CHARACTERS_MAX} characters, got {len(text)}")
    reader = _Reader(_tokens(text))
    found = reader.either(0)
    if reader.next is not None:
        raise BadInput(f"filter: expected nothing after {reader.next.text!r}")
    return found


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str


def _tokens(text: str) -> list[_Token]:
    tokens, position = [], 0
    while position < len(text.rstrip()):
        match = TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise BadInput(f"filter: cannot read from {text[position : position + 20]!r}; is a quote not closed?")
        tokens.append(_Token(match.lastgroup, match[match.lastgroup]))
        position = match.end()
    return tokens


class _Reader:
    """Recursive descent: either -> both -> one."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens

    @property
    def next(self) -> _Token | None:
        return self._tokens[0] if self._tokens else None

    def _is_word(self, text: str) -> bool:
        return self.next is not None and (self.next.kind, self.next.text) == ("word", text)

    def either(self, depth: int) -> Predicate:
        if depth > DEPTH_MAX:
            raise BadInput(f"filter: expected at most {DEPTH_MAX} groups within each other")
        parts = [self._both(depth)]
        while self._is_word("OR"):
            self._tokens.pop(0)
            parts.append(self._both(depth))
        return parts[0] if len(parts) == 1 else lambda line: any(part(line) for part in parts)

    def _both(self, depth: int) -> Predicate:
        parts = [self._one(depth)]
        while self.next is not None and self.next.kind != "close" and not self._is_word("OR"):
            if self._is_word("AND"):
                self._tokens.pop(0)
            parts.append(self._one(depth))
        return parts[0] if len(parts) == 1 else lambda line: all(part(line) for part in parts)

    def _one(self, depth: int) -> Predicate:
        token = self._tokens.pop(0) if self._tokens else None
        if token is None or token.kind == "close" or (token.kind == "word" and token.text in ("AND", "OR")):
            raise BadInput(f"filter: expected something to look for, got {token.text if token else 'the end'!r}")
        if token.kind == "minus" or (token.kind == "word" and token.text == "NOT"):
            inner = self._one(depth)
            return lambda line: not inner(line)
        if token.kind == "open":
            group = self.either(depth + 1)
            if self.next is None or self.next.kind != "close":
                raise BadInput("filter: expected ) at the end")
            self._tokens.pop(0)
            return group
        return _text(token)


def _text(token: _Token) -> Predicate:
    attribute = ATTRIBUTE.fullmatch(token.text) if token.kind == "word" else None
    if attribute is not None:
        return _attribute(attribute[1].lower(), (attribute[2] if attribute[2] is not None else attribute[3]).lower())
    wanted = (re.sub(r"\\(.)", r"\1", token.text[1:-1]) if token.kind == "quoted" else token.text).lower()
    return lambda line: wanted in str(line["message"]).lower()


def _attribute(name: str, value: str) -> Predicate:
    if name in TAGS:
        return lambda line: str(line["tags"][TAGS[name]] or "").lower() == value
    is_right = _number(value)

    def has(line: Line) -> bool:
        return any(found["key"].lower() == name and is_right(found["value"]) for found in line["attributes"])

    return has


def _number(value: str) -> Callable[[Any], bool]:
    """What a value has to be: so much, or between two, where it is a number; else this text."""
    compared = COMPARED.fullmatch(value)
    if compared is None:
        return lambda found: str(found).lower() == value
    sign, number, low, high = compared.groups()
    if sign is None:
        return lambda found: isinstance(found, int | float) and float(low) <= found <= float(high)
    is_so = COMPARISONS[sign]
    return lambda found: isinstance(found, int | float) and is_so(found, float(number))
