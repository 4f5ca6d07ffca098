# ruff: noqa: N802 - methods are named by the protocol
"""The engine service: what programs and plugins log, and the few questions they ask beside resources."""

from typing import Any

import grpc  # type: ignore[import-untyped]
from google.protobuf import empty_pb2  # type: ignore[import-untyped]
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc

from infra.engine.errors import UsageError
from infra.engine.running.deployment import Deployment
from infra.engine.workspace.versions import VERSION, require

SEVERITIES = ("debug", "info", "warning", "error")


class EngineService(engine_pb2_grpc.EngineServicer):
    """Answers pulumirpc.Engine for one deployment."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._root_urn = ""

    async def Log(self, request: Any, context: Any) -> Any:
        severity = SEVERITIES[request.severity]
        if severity == "error":
            # As in Pulumi's engine: a logged error fails nothing by itself, the program or the provider goes on to say more.
            self._deployment.has_logged_error = True
        if severity != "debug" or self._deployment.options.is_debug:
            self._deployment.events.diagnostic(
                severity, request.message.rstrip("\n"), request.urn, request.streamId, request.ephemeral
            )
        return empty_pb2.Empty()

    async def GetRootResource(self, request: Any, context: Any) -> Any:
        return engine_pb2.GetRootResourceResponse(urn=self._root_urn)

    async def SetRootResource(self, request: Any, context: Any) -> Any:
        self._root_urn = request.urn
        return engine_pb2.SetRootResourceResponse()

    async def RequirePulumiVersion(self, request: Any, context: Any) -> Any:
        try:
            require(VERSION, request.pulumi_version_range)
        except UsageError as exc:
            await context.abort(grpc.StatusCode.UNKNOWN, str(exc))
        return engine_pb2.RequirePulumiVersionResponse()
