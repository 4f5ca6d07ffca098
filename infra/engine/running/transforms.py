"""Transforms: functions of the program through which registrations and invokes pass before they are carried out."""

from collections.abc import Sequence
from typing import Any

from pulumi.runtime.proto import resource_pb2

from infra.engine.running.callbacks import Callbacks


async def transform_invoke(callbacks: Callbacks, transforms: Sequence[Any], request: Any) -> Any:
    """The invocation after all transforms: each gets what the one before it made."""
    for callback in transforms:
        options = resource_pb2.TransformInvokeOptions(
            provider=request.provider, version=request.version, plugin_download_url=request.pluginDownloadURL
        )
        message = resource_pb2.TransformInvokeRequest(token=request.tok, args=request.args, options=options)
        answer = resource_pb2.TransformInvokeResponse.FromString(await callbacks.invoke(callback, message))
        if answer.HasField("args"):
            request.args.CopyFrom(answer.args)
        if answer.HasField("options"):
            request.provider, request.version = answer.options.provider, answer.options.version
            request.pluginDownloadURL = answer.options.plugin_download_url
    return request


async def transform(callbacks: Callbacks, transforms: Sequence[Any], request: Any) -> Any:
    """The registration request after all transforms: each gets what the one before it made."""
    for callback in transforms:
        options = _options_of(request)
        message = resource_pb2.TransformRequest(
            type=request.type,
            name=request.name,
            custom=request.custom,
            parent=request.parent,
            properties=request.object,
            options=options,
        )
        answer = resource_pb2.TransformResponse.FromString(await callbacks.invoke(callback, message))
        if answer.HasField("properties"):
            request.object.CopyFrom(answer.properties)
        if answer.HasField("options"):
            _apply_options(request, answer.options)
    return request


# (field of TransformResourceOptions, field of RegisterResourceRequest)
_LISTS = (
    ("depends_on", "dependencies"),
    ("ignore_changes", "ignoreChanges"),
    ("replace_on_changes", "replaceOnChanges"),
    ("aliases", "aliases"),
    ("additional_secret_outputs", "additionalSecretOutputs"),
    ("replace_with", "replace_with"),
    ("hide_diff", "hideDiffs"),
)
_TEXTS = (
    ("version", "version"),
    ("provider", "provider"),
    ("plugin_download_url", "pluginDownloadURL"),
    ("deleted_with", "deletedWith"),
    ("import", "importId"),
)
_OPTIONAL = (("protect", "protect"), ("retain_on_delete", "retainOnDelete"))
_MESSAGES = (("custom_timeouts", "customTimeouts"), ("hooks", "hooks"), ("replacement_trigger", "replacement_trigger"))


def _options_of(request: Any) -> Any:
    options = resource_pb2.TransformResourceOptions()
    for theirs, ours in _LISTS:
        getattr(options, theirs).extend(getattr(request, ours))
    for theirs, ours in _TEXTS:
        setattr(options, theirs, getattr(request, ours))
    for theirs, ours in _OPTIONAL:
        if request.HasField(ours):
            setattr(options, theirs, getattr(request, ours))
    for theirs, ours in _MESSAGES:
        if request.HasField(ours):
            getattr(options, theirs).CopyFrom(getattr(request, ours))
    if request.deleteBeforeReplaceDefined:
        options.delete_before_replace = request.deleteBeforeReplace
    for package, reference in request.providers.items():
        options.providers[package] = reference
    return options


def _apply_options(request: Any, options: Any) -> None:
    for theirs, ours in _LISTS:
        request.ClearField(ours)
        getattr(request, ours).extend(getattr(options, theirs))
    for theirs, ours in _TEXTS:
        setattr(request, ours, getattr(options, theirs))
    for theirs, ours in _OPTIONAL:
        if options.HasField(theirs):
            setattr(request, ours, getattr(options, theirs))
        else:
            request.ClearField(ours)
    for theirs, ours in _MESSAGES:
        request.ClearField(ours)
        if options.HasField(theirs):
            getattr(request, ours).CopyFrom(getattr(options, theirs))
    request.deleteBeforeReplaceDefined = options.HasField("delete_before_replace")
    request.deleteBeforeReplace = options.delete_before_replace
    request.ClearField("providers")
    for package, reference in options.providers.items():
        request.providers[package] = reference
