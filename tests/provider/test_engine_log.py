"""Lines reach the engine as it wants them: passing ones ephemeral, lasting ones as diagnostics; none is worth a failure."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc

from infra.provider.engine_log import EngineLog

pytestmark = pytest.mark.anyio
URN = "urn:pulumi:dev::test::railway:index:Deployment::x"


class Engine(engine_pb2_grpc.EngineServicer):
    def __init__(self) -> None:
        self.lines: list[tuple[str, str, bool]] = []

    def Log(self, request: Any, context: Any) -> empty_pb2.Empty:  # noqa: N802
        assert request.severity == engine_pb2.INFO
        self.lines.append((request.urn, request.message, request.ephemeral))
        return empty_pb2.Empty()


async def test_lines_pass_or_stay() -> None:
    # In threads: what an asyncio server leaves to its loop, which ends with this test, gRPC hands to the next test's loop.
    engine, server = Engine(), grpc.server(ThreadPoolExecutor(1))
    engine_pb2_grpc.add_EngineServicer_to_server(engine, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    log = EngineLog(f"127.0.0.1:{port}")
    try:
        await log.progress(URN, "building")
        await log.line(URN, "build: done")
    finally:
        await log.close()
        server.stop(None).wait()
    assert engine.lines == [(URN, "building", True), (URN, "build: done", False)]


@pytest.mark.parametrize("address", ["", "127.0.0.1:9"])
async def test_without_an_engine_nothing_happens(address: str) -> None:
    log = EngineLog(address)
    await log.progress(URN, "building")
    await log.line(URN, "build: done")
    await log.close()
