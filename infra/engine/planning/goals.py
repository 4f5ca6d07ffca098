"""A resource as the program wants it, and the names it may have had. Pure."""

import re
from dataclasses import dataclass, field
from typing import Any

from infra.engine.errors import UsageError
from infra.engine.model.urns import make_urn, qualified_type, urn_name
from infra.engine.model.values import Properties


@dataclass(frozen=True, slots=True)
class AliasSpec:
    """Another name a resource may have had; None fields are as they are now."""

    urn: str = ""
    name: str = ""
    type: str = ""
    stack: str = ""
    project: str = ""
    parent: str | None = None  # "" means: had no parent


@dataclass(slots=True)
class Goal:
    """A resource as the program wants it."""

    type: str
    name: str
    custom: bool
    parent: str = ""
    properties: Properties = field(default_factory=dict)
    is_remote: bool = False
    provider: str = ""
    providers: dict[str, str] = field(default_factory=dict)
    version: str = ""
    plugin_url: str = ""
    dependencies: list[str] = field(default_factory=list)
    property_dependencies: dict[str, list[str]] = field(default_factory=dict)
    aliases: list[AliasSpec] = field(default_factory=list)
    protect: bool | None = None
    retain_on_delete: bool | None = None
    deleted_with: str = ""
    replace_with: list[str] = field(default_factory=list)
    delete_before_replace: bool | None = None
    ignore_changes: list[str] = field(default_factory=list)
    replace_on_changes: list[str] = field(default_factory=list)
    hide_diffs: list[str] = field(default_factory=list)
    replacement_trigger: Any = None
    additional_secret_outputs: list[str] = field(default_factory=list)
    import_id: str = ""
    custom_timeouts: dict[str, float] = field(default_factory=dict)
    hooks: dict[str, list[str]] = field(default_factory=dict)
    source_position: str = ""
    stack_trace: list[dict[str, Any]] = field(default_factory=list)


_UNITS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def duration_s(text: str) -> float:
    """Seconds of a Go duration such as `1m30s`. Raises UsageError."""
    if not re.fullmatch(r"(\d+(\.\d+)?(ns|us|ms|s|m|h))+", text):
        raise UsageError(f"customTimeouts: expected a duration such as 5m or 1h30m, got {text!r}")
    return sum(float(number) * _UNITS[unit] for number, _, unit in re.findall(r"(\d+(\.\d+)?)(ns|us|ms|s|m|h)", text))


def alias_urns(goal: Goal, stack: str, project: str, parent_aliases: list[str]) -> list[str]:
    """Every URN the resource may have had: its own aliases, and those it has because its parent has some.

    A child named `PARENT-rest` is taken to have followed its parent's name; sdk/go/common/resource/urn (InheritedChildAlias).
    """
    own = [_collapse(alias, goal, stack, project) for alias in goal.aliases]
    found = list(own)
    for parent_alias in parent_aliases:
        parent_name = urn_name(goal.parent)
        for name, type_token in [(goal.name, goal.type), *((urn_name(u), qualified_type(u).rsplit("$", 1)[-1]) for u in own)]:
            renamed = urn_name(parent_alias) + name.removeprefix(parent_name) if name.startswith(parent_name) else name
            found.append(make_urn(stack, project, parent_alias, type_token, renamed))
    return list(dict.fromkeys(found))


def _collapse(alias: AliasSpec, goal: Goal, stack: str, project: str) -> str:
    if alias.urn:
        if alias.urn.count("::") < 3:
            raise UsageError(f"alias of {goal.name!r}: expected a URN, got {alias.urn!r}")
        return alias.urn
    parent = goal.parent if alias.parent is None else alias.parent
    return make_urn(alias.stack or stack, alias.project or project, parent, alias.type or goal.type, alias.name or goal.name)
