"""What a resource declares of its inputs and outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from infra.provider.rules import Rule


@dataclass(frozen=True, slots=True)
class Field:
    """One input. `name` is the wire name (camelCase); `is_compared` False means that a change of it alone is no change."""

    name: str
    rule: Rule
    is_required: bool = False
    replaces: bool = False
    is_secret: bool = False
    is_compared: bool = True
    default: Any = None
    about: str = ""


@dataclass(frozen=True, slots=True)
class Output:
    """One output. `is_stable` outputs keep their value through an update, the others are unknown while it is previewed."""

    name: str
    is_secret: bool = False
    is_stable: bool = True
    about: str = ""
