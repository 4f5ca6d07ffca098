"""A WebSocket client for providers: wsproto decides, asyncio carries. Text messages, one reader, bounded sizes.

No proxies: who is behind one is served by polling, as callers of this must be able to anyway.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping

import httpx
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Event,
    Ping,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.utilities import ProtocolError

from infra.provider.errors import ProviderError

MESSAGE_CHARS_MAX = 4 * 1024 * 1024
CONNECT_TIMEOUT_S = 10.0
_READ_BYTES = 65_536


class SocketLost(ProviderError):
    """The connection could not be made, or is no more."""


class Socket:
    """An open WebSocket. Only one task may receive."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._protocol = WSConnection(ConnectionType.CLIENT)
        self._early: list[Event] = []
        """What came in one piece with the answer to the upgrade."""

    async def open(self, address: httpx.URL, headers: Mapping[str, str], subprotocol: str) -> None:
        await self._send(
            Request(
                host=address.netloc.decode(),
                target=address.raw_path.decode(),
                subprotocols=[subprotocol],
                extra_headers=[(name.encode(), value.encode()) for name, value in headers.items()],
            )
        )
        while True:
            events = await self._events()
            for index, event in enumerate(events):
                if isinstance(event, AcceptConnection):
                    if event.subprotocol != subprotocol:
                        raise SocketLost(f"the server does not speak {subprotocol}")
                    self._early = events[index + 1 :]
                    return
                if isinstance(event, RejectConnection):
                    raise SocketLost(f"the server answers {event.status_code} instead of a WebSocket")

    async def send(self, text: str) -> None:
        await self._send(TextMessage(data=text))

    async def messages(self) -> AsyncGenerator[str, None]:
        """Whole text messages until the other side closes; SocketLost when it goes without a word."""
        pieces: list[str] = []
        size = 0
        early, self._early = self._early, []
        while True:
            for event in early or await self._events():
                match event:
                    case TextMessage():
                        pieces.append(event.data)
                        size += len(event.data)
                        if size > MESSAGE_CHARS_MAX:
                            raise SocketLost(f"a message is longer than {MESSAGE_CHARS_MAX} characters")
                        if event.message_finished:
                            yield "".join(pieces)
                            pieces.clear()
                            size = 0
                    case Ping():
                        await self._send(event.response())
                    case CloseConnection():
                        with contextlib.suppress(SocketLost):
                            await self._send(event.response())
                        raise SocketLost(f"closed by the server ({int(event.code)} {event.reason or ''})".replace(" )", ")"))
                    case _:
                        continue
            early = []

    async def _send(self, event: Event) -> None:
        try:
            self._writer.write(self._protocol.send(event))
            await self._writer.drain()
        except (OSError, ProtocolError) as exc:
            raise SocketLost(f"the connection is gone ({type(exc).__name__})") from exc

    async def _events(self) -> list[Event]:
        try:
            data = await self._reader.read(_READ_BYTES)
            self._protocol.receive_data(data or None)
            events = list(self._protocol.events())
        except (OSError, ProtocolError) as exc:
            raise SocketLost(f"the connection is gone ({type(exc).__name__})") from exc
        if not data and not events:
            raise SocketLost("the connection was cut")
        return events


@contextlib.asynccontextmanager
async def connected(url: str, headers: Mapping[str, str], subprotocol: str) -> AsyncIterator[Socket]:
    """`url` is http or https, as for requests. SocketLost when there is no way."""
    address = httpx.URL(url)
    is_secure = address.scheme == "https"
    port = address.port or (443 if is_secure else 80)
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(
                address.host, port, ssl=ssl.create_default_context() if is_secure else None
            )
    except (OSError, TimeoutError) as exc:
        raise SocketLost(f"no connection to {address.host} ({type(exc).__name__})") from exc
    try:
        socket = Socket(reader, writer)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await socket.open(address, headers, subprotocol)
        except TimeoutError as exc:
            raise SocketLost("the server does not answer the upgrade") from exc
        yield socket
    finally:
        writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(1.0):
                await writer.wait_closed()
