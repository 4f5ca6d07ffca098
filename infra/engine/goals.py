"""What a program asks for: a registration request as our own types."""

import os
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

from infra.engine.errors import UsageError
from infra.engine.urns import make_urn, qualified_type, urn_name
from infra.engine.values import Properties, flatten_outputs, without_nulls
from infra.engine.wire import from_struct, from_value

# Field of the request -> name in the checkpoint; sdk/go/common/resource/resource_hooks.go HookType.
HOOK_KINDS = {
    "before_create": "BeforeCreate",
    "after_create": "AfterCreate",
    "before_update": "BeforeUpdate",
    "after_update": "AfterUpdate",
    "before_delete": "BeforeDelete",
    "after_delete": "AfterDelete",
    "on_error": "OnError",
}


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


def parse_timeouts(message: Any) -> dict[str, float]:
    return {k: duration_s(t) for k in ("create", "update", "delete", "read") if (t := getattr(message, k))}


def parse_alias(alias: Any) -> AliasSpec:
    if alias.WhichOneof("alias") == "urn":
        return AliasSpec(urn=alias.urn)
    spec = alias.spec
    which = spec.WhichOneof("parent")
    parent = (
        None
        if which is None
        else ""
        if which == "noParent" and spec.noParent
        else spec.parentUrn
        if which == "parentUrn"
        else None
    )
    return AliasSpec("", spec.name, spec.type, spec.stack, spec.project, parent)


def parse_hooks(message: Any) -> dict[str, list[str]]:
    return {kind: list(getattr(message, name)) for name, kind in HOOK_KINDS.items() if getattr(message, name)}


def parse_goal(request: Any, root: str) -> Goal:
    """A RegisterResourceRequest as a Goal; `root` is the project's folder, from which source positions count."""
    properties = from_struct(request.object)
    return Goal(
        type=request.type,
        name=request.name,
        custom=request.custom,
        parent=request.parent,
        properties=without_nulls(properties if request.remote else flatten_outputs(properties)),
        is_remote=request.remote,
        provider=request.provider,
        providers=dict(request.providers),
        version=request.version,
        plugin_url=request.pluginDownloadURL,
        dependencies=sorted(set(request.dependencies)),
        property_dependencies={k: sorted(set(v.urns)) for k, v in request.propertyDependencies.items()},
        aliases=[*(AliasSpec(urn=u) for u in request.aliasURNs), *map(parse_alias, request.aliases)],
        protect=request.protect if request.HasField("protect") else None,
        retain_on_delete=request.retainOnDelete if request.HasField("retainOnDelete") else None,
        deleted_with=request.deletedWith,
        replace_with=list(request.replace_with),
        delete_before_replace=request.deleteBeforeReplace if request.deleteBeforeReplaceDefined else None,
        ignore_changes=list(request.ignoreChanges),
        replace_on_changes=list(request.replaceOnChanges),
        hide_diffs=list(request.hideDiffs),
        replacement_trigger=from_value(request.replacement_trigger) if request.HasField("replacement_trigger") else None,
        additional_secret_outputs=list(request.additionalSecretOutputs),
        import_id=request.importId,
        custom_timeouts=parse_timeouts(request.customTimeouts),
        hooks=parse_hooks(request.hooks),
        source_position=_position(request.sourcePosition, root),
        stack_trace=_stack_trace(request.stackTrace.frames, root),
    )


def _position(position: Any, root: str) -> str:
    """`project:///FILE#LINE`, relative to the project: the state is read on other machines too (source_eval.go)."""
    if not position.uri.startswith("file://"):
        return ""
    path = quote(os.path.relpath(unquote(position.uri.removeprefix("file://")), root))
    return f"project:///{path}#{position.line}" + (f",{position.column}" if position.column else "")


def _stack_trace(frames: Any, root: str) -> list[dict[str, Any]]:
    """The frames down to the program's outermost; those below are of the SDK, asyncio and the engine's launcher.

    Pulumi keeps them too. They are the same for every resource and made up half of a state file.
    """
    positions = [_position(frame.pc, root) for frame in frames]
    while positions and (not positions[-1] or positions[-1].startswith("project:///..")):
        positions.pop()
    return [{"sourcePosition": position} if position else {} for position in positions]


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
        return alias.urn
    parent = goal.parent if alias.parent is None else alias.parent
    return make_urn(alias.stack or stack, alias.project or project, parent, alias.type or goal.type, alias.name or goal.name)
