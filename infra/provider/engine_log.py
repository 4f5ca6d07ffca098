"""Lines to the user's screen, by the engine's Log service. Losing a line never fails an operation."""

from __future__ import annotations

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc

_LINE_DEADLINE_S = 2.0


class EngineLog:
    """A client of the engine that started us; silent when there is no engine address."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.aio.insecure_channel(address) if address else None
        self._stub = engine_pb2_grpc.EngineStub(self._channel) if self._channel else None

    async def progress(self, urn: str, message: str) -> None:
        """Shows `message` beside the resource until the next one replaces it."""
        await self._log(urn, message, is_ephemeral=True)

    async def line(self, urn: str, message: str) -> None:
        """Adds `message` to the resource's diagnostics."""
        await self._log(urn, message, is_ephemeral=False)

    async def _log(self, urn: str, message: str, *, is_ephemeral: bool) -> None:
        if self._stub is None:
            return
        request = engine_pb2.LogRequest(severity=engine_pb2.INFO, message=message, urn=urn, ephemeral=is_ephemeral)
        try:
            await self._stub.Log(request, timeout=_LINE_DEADLINE_S)
        except grpc.aio.AioRpcError:
            return

    async def close(self) -> None:
        if self._channel is not None:
            await self._channel.close()
