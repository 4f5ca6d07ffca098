"""A provider as a gRPC client: our types in, our types out, gRPC's errors translated."""

import contextlib
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
from google.protobuf import empty_pb2, struct_pb2  # type: ignore[import-untyped]
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc, status_pb2

from infra.engine.model.resource_state import ResourceState
from infra.engine.model.urns import urn_name
from infra.engine.model.values import Properties, flatten_outputs, keep_secret, reveal
from infra.engine.planning.diff import Kind
from infra.engine.planning.plan import Changes, Difference
from infra.engine.plugins.wire import from_struct, to_struct

CHANNEL_OPTIONS = (("grpc.max_receive_message_length", 400 * 1024 * 1024), ("grpc.max_send_message_length", 400 * 1024 * 1024))


class ProviderFailed(Exception):
    """The provider answered with an error; the message is its own."""

    def __init__(self, message: str, is_unimplemented: bool = False, code: str = "") -> None:
        super().__init__(message)
        self.is_unimplemented = is_unimplemented
        self.code = code


class InitFailed(ProviderFailed):
    """The resource exists but did not become what it should (pulumirpc.ErrorResourceInitFailed)."""

    def __init__(self, message: str, identity: str, outputs: Properties, inputs: Properties | None, reasons: list[str]) -> None:
        super().__init__(message)
        self.identity = identity
        self.outputs = outputs
        self.inputs = inputs
        self.reasons = reasons


@dataclass(frozen=True, slots=True)
class Checked:
    inputs: Properties
    failures: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ReadBack:
    """What Read found. An empty id means that the resource is gone; `outputs` None that the message had none."""

    id: str
    outputs: Properties | None
    inputs: Properties | None


class Provider(Protocol):
    """The operations the engine needs of a provider; RemoteProvider and the builtin one have them."""

    is_configured: bool
    supports_preview: bool

    async def check(self, state: ResourceState, olds: Properties, news: Properties, seed: bytes) -> Checked: ...
    async def diff(self, old: ResourceState, new: ResourceState, news: Properties, ignored: list[str]) -> Difference: ...
    async def create(
        self, state: ResourceState, inputs: Properties, timeout_s: float, is_preview: bool
    ) -> tuple[str, Properties]: ...
    async def update(self, old: ResourceState, new: ResourceState, timeout_s: float, is_preview: bool) -> Properties: ...
    async def read(self, state: ResourceState, identity: str, timeout_s: float) -> ReadBack: ...
    async def delete(self, state: ResourceState, timeout_s: float) -> None: ...
    async def invoke(self, token: str, arguments: Properties, is_preview: bool) -> tuple[Properties, list[tuple[str, str]]]: ...


class RemoteProvider:
    """One plugin process; see Provider."""

    def __init__(self, port: str) -> None:
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=CHANNEL_OPTIONS)
        self.stub: Any = provider_pb2_grpc.ResourceProviderStub(self._channel)
        self.is_configured = False
        self.supports_preview = False
        self.accepts_secrets = False
        self.accepts_resources = False

    async def close(self) -> None:
        await self._channel.close(None)

    async def cancel(self) -> None:
        with contextlib.suppress(ProviderFailed):
            await self._call("Cancel", empty_pb2.Empty(), timeout_s=2)

    async def handshake(self, engine_address: str, root: str, program: str) -> None:
        request = provider_pb2.ProviderHandshakeRequest(
            engine_address=engine_address,
            root_directory=root,
            program_directory=program,
            configure_with_urn=True,
            invoke_with_preview=True,
        )
        try:
            await self._call("Handshake", request)
        except ProviderFailed as exc:
            if not exc.is_unimplemented:
                raise

    async def check_config(self, urn: str, type_token: str, olds: Properties, news: Properties) -> Checked:
        request = provider_pb2.CheckRequest(
            urn=urn, olds=to_struct(olds), news=to_struct(news), name=urn_name(urn), type=type_token
        )
        try:
            response = await self._call("CheckConfig", request)
        except ProviderFailed as exc:
            if exc.is_unimplemented:
                return Checked(news)
            raise
        inputs = flatten_outputs(from_struct(response.inputs)) if response.HasField("inputs") else news
        return Checked(keep_secret(inputs, news), [(f.property, f.reason) for f in response.failures])

    async def diff_config(self, old: ResourceState, news: Properties) -> Difference:
        request = provider_pb2.DiffRequest(
            urn=old.urn,
            id=old.id,
            olds=to_struct(old.outputs),
            news=to_struct(news),
            old_inputs=to_struct(old.inputs),
            type=old.type,
        )
        try:
            return _difference(await self._call("DiffConfig", request))
        except ProviderFailed as exc:
            # SDK 3.272's experimental provider fails here with UNKNOWN; "cannot say" is the safe reading of both.
            if exc.is_unimplemented or exc.code == "UNKNOWN":
                return Difference()
            raise

    async def configure(self, urn: str, identity: str, type_token: str, inputs: Properties) -> None:
        package = type_token.rsplit(":", 1)[-1]
        variables = {f"{package}:config:{k}": v if isinstance(v, str) else str(v) for k, v in reveal(inputs).items()}
        request = provider_pb2.ConfigureRequest(
            variables=variables,
            args=to_struct(inputs),
            acceptSecrets=True,
            acceptResources=True,
            sends_old_inputs=True,
            sends_old_inputs_to_delete=True,
            id=identity,
            urn=urn,
            name=urn_name(urn),
            type=type_token,
        )
        response = await self._call("Configure", request)
        self.accepts_secrets, self.accepts_resources = response.acceptSecrets, response.acceptResources
        self.supports_preview, self.is_configured = response.supportsPreview, True

    async def check(self, state: ResourceState, olds: Properties, news: Properties, seed: bytes) -> Checked:
        request = provider_pb2.CheckRequest(
            urn=state.urn, olds=self._out(olds), news=self._out(news), randomSeed=seed, name=urn_name(state.urn), type=state.type
        )
        response = await self._call("Check", request)
        inputs = self._in(response.inputs) if response.HasField("inputs") else news
        return Checked(self._resecret(inputs, news), [(f.property, f.reason) for f in response.failures])

    async def diff(self, old: ResourceState, new: ResourceState, news: Properties, ignored: list[str]) -> Difference:
        request = provider_pb2.DiffRequest(
            id=old.id,
            urn=new.urn,
            olds=self._out(old.outputs),
            news=self._out(news),
            ignoreChanges=ignored,
            old_inputs=self._out(old.inputs),
            name=urn_name(new.urn),
            type=new.type,
        )
        return _difference(await self._call("Diff", request))

    async def create(
        self, state: ResourceState, inputs: Properties, timeout_s: float, is_preview: bool
    ) -> tuple[str, Properties]:
        request = provider_pb2.CreateRequest(
            urn=state.urn,
            properties=self._out(inputs),
            timeout=timeout_s,
            preview=is_preview,
            name=urn_name(state.urn),
            type=state.type,
        )
        response = await self._call("Create", request)
        return response.id, self._resecret(self._in(response.properties), inputs)

    async def update(self, old: ResourceState, new: ResourceState, timeout_s: float, is_preview: bool) -> Properties:
        request = provider_pb2.UpdateRequest(
            id=old.id,
            urn=new.urn,
            olds=self._out(old.outputs),
            news=self._out(new.inputs),
            timeout=timeout_s,
            ignoreChanges=new.ignore_changes,
            preview=is_preview,
            old_inputs=self._out(old.inputs),
            name=urn_name(new.urn),
            type=new.type,
        )
        response = await self._call("Update", request)
        return self._resecret(self._in(response.properties), new.inputs)

    async def read(self, state: ResourceState, identity: str, timeout_s: float) -> ReadBack:
        request = provider_pb2.ReadRequest(
            id=identity,
            urn=state.urn,
            properties=self._out(state.outputs),
            inputs=self._out(state.inputs),
            name=urn_name(state.urn),
            type=state.type,
            timeout=timeout_s,
        )
        response = await self._call("Read", request)
        outputs = self._resecret(self._in(response.properties), state.outputs) if response.HasField("properties") else None
        inputs = self._resecret(self._in(response.inputs), state.inputs) if response.HasField("inputs") else None
        return ReadBack(response.id, outputs, inputs)

    async def delete(self, state: ResourceState, timeout_s: float) -> None:
        request = provider_pb2.DeleteRequest(
            id=state.id,
            urn=state.urn,
            properties=self._out(state.outputs),
            timeout=timeout_s,
            old_inputs=self._out(state.inputs),
            name=urn_name(state.urn),
            type=state.type,
        )
        await self._call("Delete", request)

    async def invoke(self, token: str, arguments: Properties, is_preview: bool) -> tuple[Properties, list[tuple[str, str]]]:
        request = provider_pb2.InvokeRequest(tok=token, args=self._out(arguments), preview=is_preview)
        response = await self._call("Invoke", request)
        return self._in(getattr(response, "return")), [(f.property, f.reason) for f in response.failures]

    async def call(self, method: str, request: Any) -> Any:
        """Construct and Call, which pass through us."""
        return await self._call(method, request)

    def _out(self, properties: Properties) -> struct_pb2.Struct:
        return to_struct(properties, secrets=self.accepts_secrets, resources=self.accepts_resources)

    @staticmethod
    def _in(struct: struct_pb2.Struct) -> Properties:
        properties: Properties = flatten_outputs(from_struct(struct))
        return properties

    def _resecret(self, outputs: Properties, inputs: Properties) -> Properties:
        return outputs if self.accepts_secrets else keep_secret(outputs, inputs)

    async def _call(self, method: str, request: Any, timeout_s: float | None = None) -> Any:
        try:
            return await getattr(self.stub, method)(request, timeout=timeout_s)
        except grpc.aio.AioRpcError as exc:
            _translate(exc)


def _translate(exc: "grpc.aio.AioRpcError") -> NoReturn:
    message = exc.details() or exc.code().name
    for key, content in exc.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            status = status_pb2.Status.FromString(content if isinstance(content, bytes) else content.encode())
            for detail in status.details:
                failed = provider_pb2.ErrorResourceInitFailed()
                if detail.Is(failed.DESCRIPTOR) and detail.Unpack(failed):
                    inputs = flatten_outputs(from_struct(failed.inputs)) if failed.HasField("inputs") else None
                    outputs = flatten_outputs(from_struct(failed.properties))
                    raise InitFailed(status.message or message, failed.id, outputs, inputs, list(failed.reasons)) from exc
    if exc.code() is grpc.StatusCode.UNAVAILABLE:
        message = f"the provider plugin stopped answering: {message}"
    raise ProviderFailed(message, exc.code() is grpc.StatusCode.UNIMPLEMENTED, exc.code().name) from exc


def _difference(response: Any) -> Difference:
    changes = (Changes.UNKNOWN, Changes.NONE, Changes.SOME)[response.changes]
    kinds = {path: Kind(_KIND_NAMES[d.kind]) for path, d in response.detailedDiff.items()}
    if changes is Changes.UNKNOWN and (kinds or response.replaces):
        changes = Changes.SOME
    replaces = [*response.replaces, *(path for path, kind in kinds.items() if kind.is_replace and path not in response.replaces)]
    return Difference(
        changes,
        tuple(replaces),
        tuple(response.diffs),
        kinds,
        frozenset(path for path, d in response.detailedDiff.items() if d.inputDiff),
        response.deleteBeforeReplace,
    )


_KIND_NAMES = [name.lower().replace("_", "-") for name in provider_pb2.PropertyDiff.Kind.keys()]  # noqa: SIM118 - not a dict
