"""Calling back into the program: transforms and resource hooks."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
from pulumi.runtime.proto import callback_pb2, callback_pb2_grpc, resource_pb2

from infra.engine.model.resource_state import ResourceState
from infra.engine.model.urns import urn_name
from infra.engine.model.values import Properties
from infra.engine.plugins.remote import CHANNEL_OPTIONS, ProviderFailed
from infra.engine.plugins.wire import to_struct

HOOK_TIMEOUT_S = 600.0


class Callbacks:
    """Clients of the program's callback servers, one channel per address."""

    def __init__(self) -> None:
        self._channels: dict[str, Any] = {}

    async def invoke(self, callback: Any, request: Any) -> bytes:
        """The response's bytes. Raises ProviderFailed with the program's own message."""
        if callback.target not in self._channels:
            self._channels[callback.target] = grpc.aio.insecure_channel(callback.target, options=CHANNEL_OPTIONS)
        stub: Any = callback_pb2_grpc.CallbacksStub(self._channels[callback.target])
        message = callback_pb2.CallbackInvokeRequest(token=callback.token, request=request.SerializeToString())
        try:
            response = await stub.Invoke(message, timeout=HOOK_TIMEOUT_S)
        except grpc.aio.AioRpcError as exc:
            raise ProviderFailed(exc.details() or exc.code().name) from exc
        return bytes(response.response)

    async def close(self) -> None:
        await asyncio.gather(*(channel.close(None) for channel in self._channels.values()))


@dataclass(frozen=True, slots=True)
class _Hook:
    callback: Any
    on_preview: bool
    ignores_errors: bool


class Hooks:
    """Resource hooks by name, as the program registered them."""

    def __init__(self, callbacks: Callbacks, is_preview: bool) -> None:
        self._callbacks = callbacks
        self._is_preview = is_preview
        self._hooks: dict[str, _Hook] = {}
        self.warnings: list[tuple[str, str]] = []

    def add(self, name: str, callback: Any, on_preview: bool, ignores_errors: bool) -> None:
        """Raises ProviderFailed for a name already taken."""
        if name in self._hooks:
            raise ProviderFailed(f"resource hook already registered for name {name!r}")
        self._hooks[name] = _Hook(callback, on_preview, ignores_errors)

    async def run(
        self,
        kind: str,
        state: ResourceState,
        *,
        new_inputs: Properties | None = None,
        old_inputs: Properties | None = None,
        new_outputs: Properties | None = None,
        old_outputs: Properties | None = None,
    ) -> None:
        """Runs the resource's hooks of this kind, in order. Raises ProviderFailed where one fails."""
        for name in state.resource_hooks.get(kind, ()):
            hook = self._hooks.get(name)
            if hook is None:
                if self._is_preview:
                    continue
                raise ProviderFailed(
                    f"hook {name!r} ({kind}) lives in the program, which is not running; "
                    "remove the resource from the program and run `up`"
                )
            if self._is_preview and not hook.on_preview:
                continue
            request = resource_pb2.ResourceHookRequest(urn=state.urn, id=state.id, name=urn_name(state.urn), type=state.type)
            fields = {"new_inputs": new_inputs, "old_inputs": old_inputs, "new_outputs": new_outputs, "old_outputs": old_outputs}
            for field, properties in fields.items():
                if properties is not None:
                    getattr(request, field).CopyFrom(to_struct(properties))
            response = resource_pb2.ResourceHookResponse.FromString(await self._callbacks.invoke(hook.callback, request))
            if response.error and not hook.ignores_errors:
                raise ProviderFailed(f"{kind} hook {name!r} failed: {response.error}")


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
