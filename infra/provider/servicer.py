"""Pulumi's ResourceProvider service over a NativeProvider's declaration.

Each method decodes, calls one pure function or one verb, and encodes. Errors become one line; a traceback goes to standard
error only when CACHED_AUTH_TRACE is set, because a Pulumi user cannot act on it.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, NoReturn, TypeAlias, TypeVar

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
from google.protobuf import empty_pb2  # type: ignore[import-untyped]
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from infra.provider.answers import check_failures, diff_response, fail_half_made, state
from infra.provider.arrivals import Arrivals
from infra.provider.comparison import compare
from infra.provider.definition import Call, ClientT, Recorded, Resource
from infra.provider.engine_log import EngineLog
from infra.provider.errors import ConfigurationError, HalfMade, ProviderError
from infra.provider.native import NativeProvider
from infra.provider.properties import (
    Properties,
    as_secret,
    from_struct,
    has_unknown,
    mark_like,
    plain,
    secret_texts,
    to_struct,
)  # fmt: skip
from infra.provider.rules import Problem
from infra.provider.schema import package_schema
from infra.provider.stopping import Stopper

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Method = TypeVar("Method", bound=Callable[..., Awaitable[Any]])

_ENGINE_KEYS = ("version", "pluginDownloadURL")
"""What engines put among a provider's settings for themselves."""

_SECRET_CHARS_MIN = 4
"""Shorter secrets are not blotted out of messages: that would tell more than it hides."""

_SECRET_LINE_CHARS_MIN = 16
"""A line of a longer secret that is shorter (a brace, a word) says little, and would be blotted out everywhere."""

_SECRETS_MAX = 10_000
"""More are not remembered; each costs a look through every line."""


def _one_line_errors(method: Method) -> Method:
    """Notes the call, and turns whatever it raises into one line for the user."""

    @functools.wraps(method)
    async def guarded(self: Servicer[Any], request: Any, context: Context) -> Any:
        self.arrivals.note()
        try:
            return await method(self, request, context)
        except ProviderError as error:
            await self.abort(request, context, str(error))
        except (grpc.aio.AbortError, asyncio.CancelledError):
            raise
        except Exception as error:  # noqa: BLE001  the last stop before the wire; it is reported, not swallowed
            if os.environ.get("CACHED_AUTH_TRACE"):
                sys.stderr.write(self._blotted(traceback.format_exc(), request))
            await self.abort(
                request,
                context,
                f"{self.provider.name}: our mistake in {method.__name__}: {type(error).__name__}: {error}; "
                "run again with CACHED_AUTH_TRACE=1 and report it",
            )

    return guarded  # type: ignore[return-value]


class Servicer(provider_pb2_grpc.ResourceProviderServicer, Generic[ClientT]):
    """One per process. Method names are the protocol's."""

    def __init__(self, provider: NativeProvider[ClientT], engine_address: str, stopper: Stopper | None = None) -> None:
        self.provider = provider
        self.stopper = stopper or Stopper()
        self.arrivals = Arrivals()
        self._log = EngineLog(engine_address)
        self._client: ClientT | None = None
        self._config_secrets: set[str] = set()
        self._secrets: set[str] = set()

    async def close(self) -> None:
        if self._client is not None:
            await self.provider.disconnect(self._client)
        await self._log.close()

    async def abort(self, request: Any, context: Context, message: str) -> NoReturn:
        await context.abort(grpc.StatusCode.UNKNOWN, self._blotted(message, request))
        raise AssertionError("abort always raises")

    def _blotted(self, message: str, request: Any = None) -> str:
        """`message` without any secret that this process was told: an API quotes what it was sent, a program logs it."""
        for name in ("properties", "news", "olds", "inputs", "old_inputs"):
            if request is not None and hasattr(request, name):
                self._remember(from_struct(getattr(request, name)))
        for text in sorted(self._config_secrets | self._secrets, key=len, reverse=True):
            if len(text) >= _SECRET_CHARS_MIN:
                message = message.replace(text, "[secret]")
        return message

    def _remember(self, *properties: Properties) -> None:
        """Secrets that may turn up in logs later, also in another resource's."""
        for each in properties:
            if len(self._secrets) < _SECRETS_MAX:
                texts = secret_texts(each)
                # A key of many lines is logged line by line.
                lines = {line for text in texts if "\n" in text for line in text.splitlines()}
                self._secrets |= texts | {line for line in lines if len(line) >= _SECRET_LINE_CHARS_MIN}

    # Provider.

    @_one_line_errors
    async def Handshake(self, request: Any, context: Context) -> provider_pb2.ProviderHandshakeResponse:  # noqa: N802
        if request.engine_address:
            await self._log.close()
            self._log = EngineLog(request.engine_address)
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True, accept_resources=True)

    @_one_line_errors
    async def GetPluginInfo(self, request: Any, context: Context) -> plugin_pb2.PluginInfo:  # noqa: N802
        return plugin_pb2.PluginInfo(version=self.provider.version)

    @_one_line_errors
    async def GetSchema(self, request: Any, context: Context) -> provider_pb2.GetSchemaResponse:  # noqa: N802
        return provider_pb2.GetSchemaResponse(schema=package_schema(self.provider))

    @_one_line_errors
    async def GetMapping(self, request: Any, context: Context) -> provider_pb2.GetMappingResponse:  # noqa: N802
        return provider_pb2.GetMappingResponse()

    @_one_line_errors
    async def Attach(self, request: Any, context: Context) -> empty_pb2.Empty:  # noqa: N802
        await self._log.close()
        self._log = EngineLog(request.address)
        return empty_pb2.Empty()

    @_one_line_errors
    async def CheckConfig(self, request: Any, context: Context) -> provider_pb2.CheckResponse:  # noqa: N802
        given = from_struct(request.news)
        known = {each.name: each for each in self.provider.settings}
        problems: list[tuple[str, Problem]] = []
        for key, value in given.items():
            if key in known:
                problems.extend((key, problem) for problem in known[key].rule.problems(value))
                given[key] = as_secret(value) if known[key].is_secret and value is not None else value
            elif key not in _ENGINE_KEYS and not key.startswith("__"):
                problems.append((key, Problem("", "one of " + ", ".join(sorted(known)), f'"{key}"')))
        return provider_pb2.CheckResponse(
            inputs=to_struct(given),
            failures=[
                provider_pb2.CheckFailure(
                    property=key, reason=f"{self.provider.name}:{key}: expected {problem.expected}, got {problem.got}"
                )
                for key, problem in problems
            ],
        )

    @_one_line_errors
    async def DiffConfig(self, request: Any, context: Context) -> provider_pb2.DiffResponse:  # noqa: N802
        """A new token or address reaches the same cloud: never a reason to replace what is deployed there."""
        old = from_struct(request.old_inputs) or from_struct(request.olds)
        return diff_response(compare(self.provider.settings, old, from_struct(request.news)), (), deletes_first=False)

    @_one_line_errors
    async def Configure(self, request: Any, context: Context) -> provider_pb2.ConfigureResponse:  # noqa: N802
        given = from_struct(request.args)
        variables = {key.rpartition(":")[2]: value for key, value in request.variables.items()}
        settings = {**variables, **{key: _text(plain(value)) for key, value in given.items() if not has_unknown(value)}}
        secret = [each.name for each in self.provider.settings if each.is_secret and each.name in settings]
        self._config_secrets = {settings[name] for name in secret} | secret_texts(given)
        if self._client is not None:
            await self.provider.disconnect(self._client)
        self._client = self.provider.connect(settings, os.environ, self.stopper)
        return provider_pb2.ConfigureResponse(acceptSecrets=True, acceptResources=True, supportsPreview=True, acceptOutputs=False)

    @_one_line_errors
    async def Invoke(self, request: Any, context: Context) -> provider_pb2.InvokeResponse:  # noqa: N802
        function = self.provider.functions.get(request.tok)
        if function is None:
            raise ConfigurationError(f"{request.tok}: expected one of {', '.join(self.provider.functions) or 'no functions'}")
        answer = await function(self._call(request.tok, 0.0), plain(from_struct(request.args)))
        return provider_pb2.InvokeResponse(**{"return": to_struct(answer)})

    @_one_line_errors
    async def Cancel(self, request: Any, context: Context) -> empty_pb2.Empty:  # noqa: N802
        self.stopper.stop()
        return empty_pb2.Empty()

    # Resources: the pure half.

    @_one_line_errors
    async def Check(self, request: Any, context: Context) -> provider_pb2.CheckResponse:  # noqa: N802
        checked = self._resource(request.urn).check(_name(request.urn), from_struct(request.news))
        return provider_pb2.CheckResponse(inputs=to_struct(checked.inputs), failures=check_failures(checked.failures))

    @_one_line_errors
    async def Diff(self, request: Any, context: Context) -> provider_pb2.DiffResponse:  # noqa: N802
        resource = self._resource(request.urn)
        old_outputs = from_struct(request.olds)
        old_inputs = _inputs_of(resource, from_struct(request.old_inputs), old_outputs)
        news = from_struct(request.news)
        self._remember(old_inputs, news)
        if self._client is not None:
            resource.declared(self._client, request.id, news)
        changes = resource.diff(old_inputs, old_outputs, news)
        ignored = set(request.ignoreChanges)
        kept = [each for each in changes if each.path not in ignored and each.field not in ignored]
        stable = [each.name for each in resource.outputs if each.is_stable]
        return diff_response(kept, stable, deletes_first=resource.deletes_before_replace)

    # Resources: effects.

    @_one_line_errors
    async def Create(self, request: Any, context: Context) -> provider_pb2.CreateResponse:  # noqa: N802
        resource = self._resource(request.urn)
        inputs = from_struct(request.properties)
        self._remember(inputs)
        if request.preview:
            shown = state(inputs, resource.preview(inputs, None), resource.outputs)
            return provider_pb2.CreateResponse(properties=to_struct(shown))
        try:
            made = await resource.create(self._call(request.urn, request.timeout), resource.typed(inputs))
        except HalfMade as half:
            await self._fail_half_made(request, context, resource, inputs, half)
        return provider_pb2.CreateResponse(id=made.identity, properties=to_struct(state(inputs, made.outputs, resource.outputs)))

    @_one_line_errors
    async def Read(self, request: Any, context: Context) -> provider_pb2.ReadResponse:  # noqa: N802
        resource = self._resource(request.urn)
        outputs = from_struct(request.properties)
        inputs = _inputs_of(resource, from_struct(request.inputs), outputs)
        call, known = self._call(request.urn, request.timeout), resource.typed_or_none(inputs)
        identity = request.id if inputs else await resource.located(call, request.id)
        found = await resource.read(call, Recorded(identity, known, plain(outputs)))
        if found is None:
            return provider_pb2.ReadResponse()
        marked = _marked(resource, inputs, found.inputs)
        properties = state(marked, found.outputs, resource.outputs)
        if found.unwell:
            reasons = [self._blotted(reason, request) for reason in found.unwell]
            await fail_half_made(context, found.identity, properties, marked, reasons)
        return provider_pb2.ReadResponse(id=found.identity, properties=to_struct(properties), inputs=to_struct(marked))

    @_one_line_errors
    async def Update(self, request: Any, context: Context) -> provider_pb2.UpdateResponse:  # noqa: N802
        resource = self._resource(request.urn)
        inputs, old_outputs = from_struct(request.news), from_struct(request.olds)
        if request.preview:
            shown = state(inputs, resource.preview(inputs, old_outputs), resource.outputs)
            return provider_pb2.UpdateResponse(properties=to_struct(shown))
        recorded = self._recorded(resource, request.id, request.old_inputs, old_outputs)
        try:
            made = await resource.update(self._call(request.urn, request.timeout), recorded, resource.typed(inputs))
        except HalfMade as half:
            await self._fail_half_made(request, context, resource, inputs, half)
        return provider_pb2.UpdateResponse(properties=to_struct(state(inputs, made.outputs, resource.outputs)))

    @_one_line_errors
    async def Delete(self, request: Any, context: Context) -> empty_pb2.Empty:  # noqa: N802
        resource = self._resource(request.urn)
        recorded = self._recorded(resource, request.id, request.old_inputs, from_struct(request.properties))
        await resource.delete(self._call(request.urn, request.timeout), recorded)
        return empty_pb2.Empty()

    # Private.

    def _resource(self, urn: str) -> Resource[ClientT, Any]:
        token = urn.split("::")[2].rpartition("$")[2]
        try:
            return self.provider.resources[token]
        except KeyError:
            known = ", ".join(sorted(self.provider.resources))
            raise ConfigurationError(f"{token}: expected one of {known}") from None

    def _call(self, urn: str, timeout_s: float) -> Call[ClientT]:
        if self._client is None:
            raise ConfigurationError(f"{self.provider.name}: used before it was configured")
        self.stopper.check()

        async def tell(message: str) -> None:
            await self._log.progress(urn, self._blotted(message))

        async def show(message: str) -> None:
            await self._log.line(urn, self._blotted(message))

        return Call(self._client, self.stopper.sleep, tell, show, time.monotonic, timeout_s or None, self.arrivals, self._blotted)

    def _recorded(self, resource: Resource[ClientT, Any], identity: str, old_inputs: Any, outputs: Properties) -> Recorded[Any]:
        inputs = _inputs_of(resource, from_struct(old_inputs), outputs)
        return Recorded(identity, resource.typed_or_none(inputs), plain(outputs))

    async def _fail_half_made(
        self, request: Any, context: Context, resource: Resource[ClientT, Any], inputs: Properties, half: HalfMade
    ) -> NoReturn:
        reasons = [self._blotted(reason, request) for reason in half.reasons]
        await fail_half_made(context, half.identity, state(inputs, half.outputs, resource.outputs), inputs, reasons)


def _name(urn: str) -> str:
    return urn.split("::", 3)[3]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _inputs_of(resource: Resource[Any, Any], inputs: Properties, outputs: Properties) -> Properties:
    """Engines before 3.74 send no old inputs; the outputs repeat them."""
    if inputs:
        return inputs
    return {each.name: outputs[each.name] for each in resource.fields if each.name in outputs}


def _marked(resource: Resource[Any, Any], old: Properties, new: Mapping[str, Any]) -> Properties:
    """Inputs read back, secret where they were secret before or are declared so."""
    declared = {each.name for each in resource.fields if each.is_secret}

    def marked(name: str, value: Any) -> Any:
        if name in declared:
            return as_secret(value)
        # A field that is new at the top level is judged by its declaration and its own marks, not by its neighbours'.
        return mark_like(old[name], value) if name in old else value

    return {name: marked(name, value) for name, value in new.items() if value is not None}
