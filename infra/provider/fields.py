"""What a resource declares of its inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from infra.provider.rules import Rule


@dataclass(frozen=True, slots=True)
class Field:
    """One input. `name` is the wire name (camelCase).

    is_compared False: a change of it alone is no change. is_kept_when_absent: left out, it stays what it is, so that taking
    it out of a program changes nothing (the API has no word for "unset", or chose a value when it was never given).
    """

    name: str
    rule: Rule
    is_required: bool = False
    replaces: bool = False
    is_secret: bool = False
    is_compared: bool = True
    is_kept_when_absent: bool = False
    default: Any = None
    about: str = ""


@dataclass(frozen=True, slots=True)
class Output:
    """One output. `is_stable` outputs keep their value through an update, the others are unknown while it is previewed."""

    name: str
    is_secret: bool = False
    is_stable: bool = True
    about: str = ""
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    """Its type in Pulumi's package schema."""
