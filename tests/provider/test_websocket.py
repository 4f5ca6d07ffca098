"""The WebSocket client against servers that hurry, fall silent or talk without end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, Event, Ping, Pong, Request, TextMessage

from infra.provider import websocket
from infra.provider.websocket import SocketLost, connected

pytestmark = pytest.mark.anyio
PROTOCOL = "graphql-transport-ws"
Behaviour = Callable[[WSConnection, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def server(behaviour: Behaviour) -> AsyncIterator[str]:
    """`behaviour` begins when the upgrade has been asked for; nothing is answered yet."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        protocol = WSConnection(ConnectionType.SERVER)
        try:
            while not any(isinstance(event, Request) for event in await events(protocol, reader)):
                continue
            await behaviour(protocol, reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            return
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"


async def events(protocol: WSConnection, reader: asyncio.StreamReader) -> list[Event]:
    data = await reader.read(65536)
    if not data:
        raise ConnectionResetError
    protocol.receive_data(data)
    return list(protocol.events())


async def test_what_comes_together_with_the_upgrade_is_not_lost() -> None:
    """One write, so one read on our side: the answer to the upgrade, a message and a ping."""
    answered = asyncio.Event()

    async def hasty(protocol: WSConnection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = (AcceptConnection(subprotocol=PROTOCOL), TextMessage(data="early"), Ping(payload=b"?"))
        writer.write(b"".join(protocol.send(event) for event in first))
        while not any(isinstance(event, Pong) for event in await events(protocol, reader)):
            continue
        answered.set()

    async with asyncio.timeout(10), server(hasty) as url, connected(url, {}, PROTOCOL) as socket:
        messages = socket.messages()
        assert await anext(messages) == "early"
        with pytest.raises(SocketLost):
            await anext(messages)
        await answered.wait()


async def test_a_message_in_many_small_pieces_is_bounded_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "MESSAGE_CHARS_MAX", 100)

    async def piecemeal(protocol: WSConnection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(protocol.send(AcceptConnection(subprotocol=PROTOCOL)))
        piece = TextMessage(data="x", message_finished=False)
        writer.write(b"".join(protocol.send(piece) for _ in range(200)))
        await events(protocol, reader)

    async with asyncio.timeout(10), server(piecemeal) as url, connected(url, {}, PROTOCOL) as socket:
        with pytest.raises(SocketLost, match="longer than 100"):
            await anext(socket.messages())


async def test_a_server_that_does_not_answer_the_upgrade_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "CONNECT_TIMEOUT_S", 0.05)

    async def silent(protocol: WSConnection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await events(protocol, reader)

    async with asyncio.timeout(10), server(silent) as url:
        with pytest.raises(SocketLost, match="does not answer the upgrade"):
            async with connected(url, {}, PROTOCOL):
                pass
