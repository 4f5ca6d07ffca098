"""Reference variables: `${{Service.NAME}}`, `${{shared.NAME}}` and `${{NAME}}`, resolved to the end.

A value is resolved once; a reference that leads back to itself, names nothing, or grows past the bound is a problem with
the whole path in its message and never a value. Railway renders an unknown reference as an empty text; so do we where
values are only shown, but a deployment with problems fails, because a service that starts with an empty password does more
harm than one that does not start.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

REFERENCE = re.compile(r"\$\{\{\s*([^{}]*?)\s*\}\}")
RENDERED_CHARACTERS_MAX = 131_072  # one environment string may have this size on Linux (MAX_ARG_STRLEN)
DEPTH_MAX = 50


@dataclass(frozen=True, slots=True)
class Rendered:
    values: dict[str, str]
    problems: tuple[str, ...]


class _Renderer:
    def __init__(self, service: str, scopes: Mapping[str, Mapping[str, str]], shared: Mapping[str, str]) -> None:
        self.service = service
        self.scopes = scopes
        self.shared = shared
        self.done: dict[tuple[str | None, str], str] = {}
        self.problems: dict[str, None] = {}

    def value(self, scope: str | None, name: str, path: tuple[tuple[str | None, str], ...]) -> str:
        """`scope` None means shared variables."""
        key = (scope, name)
        if key in self.done:
            return self.done[key]
        if key in path or len(path) >= DEPTH_MAX:
            kind = "refers to itself" if key in path else f"is nested deeper than {DEPTH_MAX}"
            self._problem(f"{kind}: {' -> '.join(_label(step) for step in (*path, key))}", path)
            return ""
        raw = self.shared[name] if scope is None else self.scopes[scope][name]
        text = REFERENCE.sub(lambda match: self._reference(match.group(1), scope, (*path, key)), raw)
        if len(text) > RENDERED_CHARACTERS_MAX:
            self._problem(f"is longer than {RENDERED_CHARACTERS_MAX} characters once rendered", (*path, key))
            text = ""
        self.done[key] = text
        return text

    def _reference(self, reference: str, scope: str | None, path: tuple[tuple[str | None, str], ...]) -> str:
        owner, dot, name = reference.rpartition(".")
        target: str | None
        if not dot:
            target = scope
        elif owner == "shared":
            target = None
        else:
            target = owner
        where = self.shared if target is None else self.scopes.get(target)
        if where is None:
            self._problem(f"refers to ${{{{{reference}}}}}, but this environment has no service named {owner!r}", path)
            return ""
        if name not in where:
            self._problem(f"refers to ${{{{{reference}}}}}, which is not set", path)
            return ""
        return self.value(target, name, path)

    def _problem(self, text: str, path: tuple[tuple[str | None, str], ...]) -> None:
        self.problems[f"variable {_label(path[-1]) if path else '?'} {text}"] = None


def _label(key: tuple[str | None, str]) -> str:
    return f"{'shared' if key[0] is None else key[0]}.{key[1]}"


def references_in(value: str) -> list[str]:
    """What stands between `${{` and `}}`, in order."""
    return REFERENCE.findall(value)


def rendered(service: str, scopes: Mapping[str, Mapping[str, str]], shared: Mapping[str, str]) -> Rendered:
    """All variables of `service` (a key of `scopes`) with their references resolved."""
    renderer = _Renderer(service, scopes, shared)
    values = {name: renderer.value(service, name, ()) for name in scopes[service]}
    return Rendered(values, tuple(renderer.problems))
