"""Registration requests of the program as our own types."""

import os
from typing import Any
from urllib.parse import quote, unquote

from infra.engine.model.values import flatten_outputs, without_nulls
from infra.engine.planning.goals import AliasSpec, Goal, duration_s
from infra.engine.plugins.wire import from_struct, from_value

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
