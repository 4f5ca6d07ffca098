"""The framework with its answers compressed: in place of Starlette's middleware, which takes `gzip;q=0` for a yes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from service.web.answers import Answer
from service.web.compression import Compression

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

# Their answers hold tokens; see compression.py.
SECRET_PATHS = frozenset(f"/api/v1/auth/{name}" for name in ("login", "register", "refresh"))


class CompressingApp:
    """ASGI middleware. An answer in more than one piece is passed on as it comes: nothing here streams what is worth packing."""

    def __init__(self, app: Application, compression: Compression) -> None:
        self._app = app
        self._compression = compression

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in SECRET_PATHS:
            await self._app(scope, receive, send)
            return
        accepted = [value for name, value in scope["headers"] if name == b"accept-encoding"]
        start: Message | None = None

        async def packing(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                return
            if start is not None:
                if not message.get("more_body", False):
                    whole = Answer(start["status"], list(start["headers"]), message.get("body", b""))
                    packed = self._compression.applied(whole, accepted)
                    start, message = {**start, "headers": packed.headers}, {**message, "body": packed.body}
                await send(start)
                start = None
            await send(message)

        await self._app(scope, receive, packing)
