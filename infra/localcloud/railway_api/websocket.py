"""GraphQL over a WebSocket: the graphql-transport-ws protocol (graphql-ws's PROTOCOL.md), as Railway speaks it.

Who asks is known by the headers of the upgrade, as over HTTP. A connection runs several operations at once, each a task of
its own; all of them end with it. Close codes: 4400 not understood, 4401 not yet initialised, 4403 unknown token, 4408 no
initialisation in time, 4409 an id in use, 4429 a second initialisation.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, cast

import msgspec
from graphql import ExecutionResult, GraphQLError, OperationType, execute, get_operation_ast, parse, subscribe
from starlette.websockets import WebSocket, WebSocketDisconnect

from infra.localcloud.railway_api.call import Call, Cloud
from infra.localcloud.railway_api.endpoint import GraphQLRequest, formatted, problems_of
from infra.localcloud.railway_api.executable import executable_schema
from infra.localcloud.railway_api.faults import PROBLEM
from infra.localcloud.railway_api.limits import BODY_BYTES_MAX, TOKENS_MAX
from infra.localcloud.railway_api.principal import Principal

PROTOCOL = "graphql-transport-ws"
INIT_TIMEOUT_S = 10.0
SEND_TIMEOUT_S = 30.0
OPERATIONS_MAX = 50
CONNECTIONS_MAX = 100
_logger = logging.getLogger("localcloud")
Result = ExecutionResult | list[dict[str, Any]]


class Message(msgspec.Struct):
    type: str
    id: str | None = None
    payload: Any = None


class Closing(Exception):
    """The connection is to be closed with this code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


class Connections:
    """Bounds how many there are: each polls. Who has no token gets none of them, not even for a moment."""

    def __init__(self) -> None:
        self._count = 0

    async def serve(self, websocket: WebSocket, cloud: Cloud, principal: Principal | None) -> None:
        if PROTOCOL not in websocket.scope["subprotocols"] or self._count >= CONNECTIONS_MAX:
            await websocket.close(1013 if PROTOCOL in websocket.scope["subprotocols"] else 4406)
            return
        if principal is None:
            await websocket.accept(PROTOCOL)  # a refused upgrade has no close code to tell why
            await websocket.close(4403, "Forbidden")
            return
        self._count += 1
        try:
            await websocket.accept(PROTOCOL)
            await Session(websocket, cloud, principal).run()
        finally:
            self._count -= 1


class Session:
    """One connection."""

    def __init__(self, websocket: WebSocket, cloud: Cloud, principal: Principal) -> None:
        self._websocket, self._cloud, self._principal = websocket, cloud, principal
        self._operations: dict[str, asyncio.Task[None]] = {}
        self._call: Call | None = None

    async def run(self) -> None:
        try:
            async with asyncio.timeout(INIT_TIMEOUT_S):
                await self._initialise()
            await self._follow()
        except TimeoutError:
            await self._close(4408, "Connection initialisation timeout")
        except Closing as closing:
            await self._close(closing.code, closing.reason)
        except WebSocketDisconnect:
            return
        finally:
            for task in self._operations.values():
                task.cancel()
            if self._operations:
                await asyncio.wait(list(self._operations.values()))

    async def _initialise(self) -> None:
        message = await self._receive()
        while message.type in ("ping", "pong"):
            message = await self._receive()
        if message.type != "connection_init":
            raise Closing(4401, "Unauthorized")
        self._call = Call(self._cloud, self._principal)
        await self._send({"type": "connection_ack"})

    async def _follow(self) -> None:
        while True:
            message = await self._receive()
            if message.type == "subscribe":
                self._begin(message)
            elif message.type == "complete":
                task = self._operations.pop(message.id or "", None)
                if task is not None:
                    task.cancel()
            elif message.type == "connection_init":
                raise Closing(4429, "Too many initialisation requests")

    async def _receive(self) -> Message:
        """Closing for what is not understood; answers a ping."""
        try:
            text = await self._websocket.receive_text()
            if len(text) > BODY_BYTES_MAX:
                raise Closing(4400, "Message is too large")
            message = msgspec.json.decode(text, type=Message)
        except (msgspec.DecodeError, KeyError):  # KeyError: a binary message
            raise Closing(4400, "Invalid message received") from None
        if message.type not in ("connection_init", "subscribe", "complete", "ping", "pong"):
            raise Closing(4400, "Invalid message received")
        if message.type == "ping":
            await self._send({"type": "pong"})
        return message

    def _begin(self, message: Message) -> None:
        try:
            asked = msgspec.convert(message.payload, GraphQLRequest)
        except msgspec.ValidationError:
            raise Closing(4400, "Invalid message received") from None
        if not message.id:
            raise Closing(4400, "Invalid message received")
        if message.id in self._operations:
            raise Closing(4409, f"Subscriber for {message.id[:40]} already exists")
        if len(self._operations) >= OPERATIONS_MAX:
            raise Closing(4400, f"expected at most {OPERATIONS_MAX} operations at once")
        self._operations[message.id] = asyncio.create_task(self._operate(message.id, asked))

    async def _operate(self, identity: str, asked: GraphQLRequest) -> None:
        """`next` for each result and `complete`, or `error` where there is nothing to run."""
        try:
            async with contextlib.aclosing(results_of(asked, self._call)) as results:
                async for result in results:
                    if isinstance(result, list):
                        await self._send({"id": identity, "type": "error", "payload": result})
                        return
                    await self._send({"id": identity, "type": "next", "payload": payload_of(result)})
            await self._send({"id": identity, "type": "complete"})
        except (WebSocketDisconnect, RuntimeError, TimeoutError, OSError):
            return  # the connection is gone or does not read; the reading side ends it
        except Exception:  # our mistake; the other operations of this connection go on
            _logger.exception("operation %s", identity[:40])
            with contextlib.suppress(WebSocketDisconnect, RuntimeError, TimeoutError, OSError):
                await self._send({"id": identity, "type": "error", "payload": [{"message": PROBLEM}]})
        finally:
            if self._operations.get(identity) is asyncio.current_task():
                del self._operations[identity]

    async def _send(self, message: dict[str, Any]) -> None:
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await self._websocket.send_json(message)

    async def _close(self, code: int, reason: str) -> None:
        with contextlib.suppress(RuntimeError):  # it was closed from the other side in the same moment
            await self._websocket.close(code, reason)


async def results_of(asked: GraphQLRequest, call: Call | None) -> AsyncGenerator[Result, None]:
    """Results of a subscription, or the one of a query or mutation; a list of errors where nothing could be run."""
    schema = executable_schema()
    try:
        document = parse(asked.query, max_tokens=TOKENS_MAX)
        problems = problems_of(schema, document)
    except GraphQLError as exc:
        problems = [exc]
    except RecursionError:
        problems = [GraphQLError("Query is too deep")]
    if problems:
        yield [formatted(problem, "GRAPHQL_VALIDATION_FAILED", "") for problem in problems]
        return
    given: dict[str, Any] = {
        "context_value": call,
        "variable_values": asked.variables,
        "operation_name": asked.operationName,
    }
    operation = get_operation_ast(document, asked.operationName)
    is_subscription = operation is not None and operation.operation is OperationType.SUBSCRIPTION
    found = subscribe(schema, document, **given) if is_subscription else execute(schema, document, **given)
    if not isinstance(found, ExecutionResult | AsyncIterator):
        found = await found
    if isinstance(found, ExecutionResult):
        if found.data is None and found.errors:
            yield payload_of(found)["errors"]
        else:
            yield found
        return
    async with contextlib.aclosing(cast("AsyncGenerator[ExecutionResult, None]", found)) as stream:
        async for result in stream:
            yield result


def payload_of(result: ExecutionResult) -> dict[str, Any]:
    payload: dict[str, Any] = {"data": result.data}
    if result.errors:
        payload["errors"] = [formatted(error, "BAD_USER_INPUT", "") for error in result.errors]
    return payload
