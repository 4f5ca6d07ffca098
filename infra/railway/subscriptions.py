"""Railway's subscriptions: graphql-transport-ws (graphql-ws's PROTOCOL.md) on the API's own address.

Whatever goes wrong is SocketLost: a subscription only tells sooner what a query tells too.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from infra.provider.websocket import Socket, SocketLost, connected
from infra.railway.operations import Operation

PROTOCOL = "graphql-transport-ws"
ACKNOWLEDGED_TIMEOUT_S = 10.0
SILENCE_MAX_S = 20.0
"""After that much silence we ask whether the other side is still there, and after that much again it is not."""

Asked = Mapping[str, tuple[Operation, Mapping[str, Any]]]


class Message(msgspec.Struct):
    type: str
    id: str | None = None
    payload: Any = None


@dataclass(frozen=True, slots=True)
class Subscriptions:
    """How to reach them. `headers` say who asks, as over HTTP."""

    endpoint: str
    headers: Mapping[str, str]

    async def follow(self, asked: Asked) -> AsyncGenerator[tuple[str, Any], None]:
        """(name, data) of every subscription in `asked` as it comes, over one connection, until all are complete."""
        async with (
            connected(self.endpoint, self.headers, PROTOCOL) as socket,
            contextlib.aclosing(_messages(socket)) as messages,
        ):
            await _initialise(socket, messages)
            for name, (operation, variables) in asked.items():
                payload = {"operationName": operation.name, "query": operation.text, "variables": dict(variables)}
                await _send(socket, {"id": name, "type": "subscribe", "payload": payload})
            open_ones = set(asked)
            while open_ones:
                message = await _next(socket, messages)
                if message.type == "ping":
                    await _send(socket, {"type": "pong"})
                elif message.type == "complete" or message.type == "error":
                    open_ones.discard(message.id or "")
                elif message.type == "next" and message.id in open_ones and isinstance(message.payload, dict):
                    data = message.payload.get("data")
                    if isinstance(data, dict):
                        yield message.id, data


async def _initialise(socket: Socket, messages: AsyncGenerator[Message, None]) -> None:
    await _send(socket, {"type": "connection_init"})
    try:
        async with asyncio.timeout(ACKNOWLEDGED_TIMEOUT_S):
            while (await anext(messages)).type != "connection_ack":
                continue
    except TimeoutError as exc:
        raise SocketLost("the server does not acknowledge the connection") from exc


async def _next(socket: Socket, messages: AsyncGenerator[Message, None]) -> Message:
    """The next message; a silence is met with a ping, and a second one ends the connection.

    The reading task is awaited shielded: a timeout must not cut it in the middle of a message.
    """
    reading = asyncio.ensure_future(anext(messages))
    try:
        for is_last in (False, True):
            with contextlib.suppress(TimeoutError):
                return await asyncio.wait_for(asyncio.shield(reading), SILENCE_MAX_S)
            if not is_last:
                await _send(socket, {"type": "ping"})
        raise SocketLost("the server has fallen silent")
    finally:
        if not reading.done():
            reading.cancel()
            await asyncio.wait([reading])


async def _messages(socket: Socket) -> AsyncGenerator[Message, None]:
    async with contextlib.aclosing(socket.messages()) as texts:
        async for text in texts:
            try:
                yield msgspec.json.decode(text, type=Message)
            except msgspec.DecodeError as exc:
                raise SocketLost("the server sends what is not graphql-transport-ws") from exc


async def _send(socket: Socket, message: Mapping[str, Any]) -> None:
    await socket.send(msgspec.json.encode(message).decode())
