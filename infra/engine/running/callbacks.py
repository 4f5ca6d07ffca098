"""Calling back into the program: resource hooks, and the clients that transforms use too."""

import asyncio
from collections.abc import Mapping
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
ERROR_HOOK_RETRIES_MAX = 100  # pkg/resource/deploy/retries.go maxErrorHookRetries


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
        self._error_hooks: dict[str, Any] = {}

    def add(self, name: str, callback: Any, on_preview: bool, ignores_errors: bool) -> None:
        """Raises ProviderFailed for a name already taken."""
        self._refuse_second(name)
        self._hooks[name] = _Hook(callback, on_preview, ignores_errors)

    def add_for_errors(self, name: str, callback: Any) -> None:
        """Raises ProviderFailed for a name already taken."""
        self._refuse_second(name)
        self._error_hooks[name] = callback

    def _refuse_second(self, name: str) -> None:
        if name in self._hooks or name in self._error_hooks:
            raise ProviderFailed(f"resource hook already registered for name {name!r}")

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
            request = resource_pb2.ResourceHookRequest(**_identity(state))
            fields = {"new_inputs": new_inputs, "old_inputs": old_inputs, "new_outputs": new_outputs, "old_outputs": old_outputs}
            _fill(request, fields)
            response = resource_pb2.ResourceHookResponse.FromString(await self._callbacks.invoke(hook.callback, request))
            if response.error and not hook.ignores_errors:
                raise ProviderFailed(f"{kind} hook {name!r} failed: {response.error}")

    async def is_to_be_retried(
        self, state: ResourceState, operation: str, errors: list[str], fields: Mapping[str, Properties | None]
    ) -> bool:
        """Asks every error hook of the resource, newest error first; one that says yes is enough. Raises ProviderFailed."""
        answers = []
        for name in state.resource_hooks.get("OnError", ()):
            callback = self._error_hooks.get(name)
            if callback is None:
                continue  # without its program; the error itself says more than that
            request = resource_pb2.ErrorHookRequest(**_identity(state), failed_operation=operation, errors=errors)
            _fill(request, fields)
            response = resource_pb2.ErrorHookResponse.FromString(await self._callbacks.invoke(callback, request))
            if response.error:
                raise ProviderFailed(f"error hook {name!r} failed: {response.error}")
            answers.append(response.retry)
        return any(answers)


def _identity(state: ResourceState) -> dict[str, Any]:
    return {"urn": state.urn, "id": state.id, "name": urn_name(state.urn), "type": state.type}


def _fill(request: Any, fields: Mapping[str, Properties | None]) -> None:
    for field, properties in fields.items():
        if properties is not None:
            getattr(request, field).CopyFrom(to_struct(properties))
