"""The fake's subscriptions: graphql-transport-ws, one deployment at a time, each state as soon as the last was sent."""

from __future__ import annotations

from typing import Any

from starlette.datastructures import Headers
from starlette.websockets import WebSocket, WebSocketDisconnect

Json = dict[str, Any]
PROTOCOL = "graphql-transport-ws"


class Subscriptions:
    """Part of FakeRailway.

    socket_faults: what happens to the next connections: "refused", or "cut" when everything was told and is not complete.
    """

    deployments: dict[str, Json]

    def __init__(self) -> None:
        super().__init__()
        self.socket_faults: list[str] = []
        self.subscribed: list[str] = []

    def _is_let_in(self, headers: Headers, operation: str) -> bool:
        raise NotImplementedError

    def _deployment(self, id: str) -> Json:  # noqa: A002
        raise NotImplementedError

    async def _subscriptions(self, socket: WebSocket) -> None:
        fault = self.socket_faults.pop(0) if self.socket_faults else ""
        if fault == "refused" or PROTOCOL not in socket.scope["subprotocols"]:
            await socket.close(1013)
            return
        await socket.accept(PROTOCOL)
        try:
            assert (await socket.receive_json())["type"] == "connection_init"
            if not self._is_let_in(socket.headers, "subscription"):
                await socket.close(4403)
                return
            await socket.send_json({"type": "connection_ack"})
            await self._serve(socket, fault)
        except WebSocketDisconnect:
            return

    async def _serve(self, socket: WebSocket, fault: str) -> None:
        while True:
            message = await socket.receive_json()
            if message["type"] == "ping":
                await socket.send_json({"type": "pong"})
            if message["type"] != "subscribe":
                continue
            name = message["payload"]["operationName"]
            self.subscribed.append(name)
            for data in self._told(name, message["payload"]["variables"]["id"]):
                await socket.send_json({"id": message["id"], "type": "next", "payload": {"data": {name: data}}})
            if fault == "cut" and name == "deploymentLogs":
                await socket.close(1011)
                return
            await socket.send_json({"type": "ping"})
            await socket.send_json({"id": message["id"], "type": "complete"})

    def _told(self, name: str, deployment_id: str) -> list[Any]:
        match name:
            case "deployment":
                found = [dict(self.deployments[deployment_id])]
                while self.deployments[deployment_id]["to_come"]:
                    found.append(dict(self._deployment(deployment_id)["deployment"]))
                return [{key: each[key] for key in ("id", "status", "url", "staticUrl")} for each in found]
            case "deploymentEvents":
                return [
                    {"step": "BUILD_IMAGE", "completedAt": None, "payload": None},
                    {"step": "BUILD_IMAGE", "completedAt": "2026-01-01T00:00:00Z", "payload": {"error": None}},
                    {"step": "HEALTHCHECK", "completedAt": "2026-01-01T00:00:00Z", "payload": {"error": "no answer"}},
                ]
            case _:
                return [[{"timestamp": f"2026-01-01T00:00:0{number}Z", "message": f"{name} {number}"}] for number in range(2)]
