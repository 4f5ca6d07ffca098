"""Drives a provider as the engine does: through gRPC, with state kept between calls as a checkpoint would."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc, status_pb2

from infra.provider.native import NativeProvider
from infra.provider.properties import Properties, from_struct, to_struct
from infra.provider.server import start
from infra.provider.servicer import Servicer
from infra.provider.stopping import Stopper

DEADLINE_S = 90


@dataclass
class Kept:
    """One resource as a checkpoint remembers it."""

    urn: str
    identity: str = ""
    inputs: Properties = field(default_factory=dict)
    outputs: Properties = field(default_factory=dict)
    init_errors: tuple[str, ...] = ()


class HastyStopper(Stopper):
    """Waits for nothing, so that polls and retries take no time; to the clock it looks as if."""

    def __init__(self) -> None:
        super().__init__()
        self._slept_s = 0.0

    def clock(self) -> float:
        return super().clock() + self._slept_s

    async def sleep(self, seconds: float) -> None:
        self.check()
        self._slept_s += seconds
        await asyncio.sleep(0)


class InitFailed(Exception):
    """The provider said ErrorResourceInitFailed; the state is kept in the Kept."""


@dataclass
class Driver:
    stub: Any
    servicer: Servicer[Any]

    def urn(self, kind: str, name: str) -> str:
        return f"urn:pulumi:dev::test::{self.servicer.provider.name}:index:{kind}::{name}"

    def kept(self, kind: str, name: str, identity: str) -> Kept:
        """As an import begins: only the id is known."""
        return Kept(self.urn(kind, name), identity)

    async def configure(self, **settings: Any) -> None:
        await self.stub.Configure(
            provider_pb2.ConfigureRequest(args=to_struct(settings), acceptSecrets=True, acceptResources=True), timeout=DEADLINE_S
        )

    async def check(self, kept: Kept, inputs: Properties) -> tuple[Properties, list[str]]:
        answer = await self.stub.Check(
            provider_pb2.CheckRequest(urn=kept.urn, olds=to_struct(kept.inputs), news=to_struct(inputs)), timeout=DEADLINE_S
        )
        return from_struct(answer.inputs), [each.reason for each in answer.failures]

    async def diff(self, kept: Kept, inputs: Properties) -> Any:
        return await self.stub.Diff(
            provider_pb2.DiffRequest(
                id=kept.identity,
                urn=kept.urn,
                olds=to_struct(kept.outputs),
                old_inputs=to_struct(kept.inputs),
                news=to_struct(inputs),
            ),
            timeout=DEADLINE_S,
        )

    async def create(self, kind: str, name: str, /, *, preview: bool = False, **inputs: Any) -> Kept:
        kept = Kept(self.urn(kind, name))
        checked, failures = await self.check(kept, inputs)
        assert not failures, failures
        await self.create_into(kept, checked, preview=preview)
        return kept

    async def create_into(self, kept: Kept, checked: Properties, *, preview: bool = False) -> None:
        request = provider_pb2.CreateRequest(urn=kept.urn, properties=to_struct(checked), preview=preview)
        kept.inputs = checked
        try:
            answer = await self.stub.Create(request, timeout=DEADLINE_S)
        except grpc.aio.AioRpcError as error:
            self._keep_half_made(kept, error)
        kept.identity, kept.outputs = answer.id, from_struct(answer.properties)

    async def up(self, kept: Kept, /, **inputs: Any) -> list[str]:
        """Check, diff and, where something changes, update. The changed paths; replacement is for the test to look at."""
        checked, failures = await self.check(kept, inputs)
        assert not failures, failures
        answer = await self.diff(kept, checked)
        if answer.changes == provider_pb2.DiffResponse.DIFF_NONE and not kept.init_errors:
            kept.inputs = checked
            return []
        assert not answer.replaces, list(answer.replaces)
        await self.update(kept, checked)
        return sorted(answer.detailedDiff)

    async def update(self, kept: Kept, checked: Properties, *, preview: bool = False) -> Properties:
        request = provider_pb2.UpdateRequest(
            id=kept.identity,
            urn=kept.urn,
            olds=to_struct(kept.outputs),
            old_inputs=to_struct(kept.inputs),
            news=to_struct(checked),
            preview=preview,
        )
        try:
            answer = await self.stub.Update(request, timeout=DEADLINE_S)
        except grpc.aio.AioRpcError as error:
            self._keep_half_made(kept, error, inputs=checked)
        outputs = from_struct(answer.properties)
        if not preview:
            kept.inputs, kept.outputs, kept.init_errors = checked, outputs, ()
        return outputs

    async def refresh(self, kept: Kept) -> bool:
        """False: it is gone. Otherwise the state is what the provider read."""
        request = provider_pb2.ReadRequest(
            id=kept.identity, urn=kept.urn, properties=to_struct(kept.outputs), inputs=to_struct(kept.inputs)
        )
        kept.init_errors = ()
        try:
            answer = await self.stub.Read(request, timeout=DEADLINE_S)
        except grpc.aio.AioRpcError as error:
            with contextlib.suppress(InitFailed):  # a refresh goes on with what it learnt
                self._keep_half_made(kept, error)
            return True
        if not answer.id:
            return False
        kept.identity, kept.inputs, kept.outputs = answer.id, from_struct(answer.inputs), from_struct(answer.properties)
        return True

    async def delete(self, kept: Kept) -> None:
        request = provider_pb2.DeleteRequest(
            id=kept.identity, urn=kept.urn, properties=to_struct(kept.outputs), old_inputs=to_struct(kept.inputs)
        )
        await self.stub.Delete(request, timeout=DEADLINE_S)

    async def cancel(self) -> None:
        await self.stub.Cancel(empty_pb2.Empty(), timeout=DEADLINE_S)

    def _keep_half_made(self, kept: Kept, error: grpc.aio.AioRpcError, inputs: Properties | None = None) -> None:
        """Does what the engine does with the one error that carries a state; raises the others as they are."""
        for key, value in error.trailing_metadata() or ():
            if key == "grpc-status-details-bin":
                status = status_pb2.Status.FromString(value)
                detail = provider_pb2.ErrorResourceInitFailed()
                assert status.details[0].Unpack(detail)
                kept.identity, kept.outputs = detail.id, from_struct(detail.properties)
                kept.inputs = from_struct(detail.inputs) if inputs is None else inputs
                kept.init_errors = tuple(detail.reasons)
                raise InitFailed("; ".join(detail.reasons)) from None
        raise error


@contextlib.asynccontextmanager
async def driven(provider: NativeProvider[Any], *, patient: bool = False) -> AsyncIterator[Driver]:
    """A provider behind a real gRPC channel on a free port; `patient` waits as in life, for a server that takes its time."""
    servicer = Servicer(provider, "", Stopper() if patient else HastyStopper())
    server, port = await start(servicer)
    channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
    try:
        yield Driver(provider_pb2_grpc.ResourceProviderStub(channel), servicer)
    finally:
        await channel.close()
        await server.stop(1)
        await servicer.close()
