"""The page and what it asks for answer under names of this machine alone.

Without that, a page elsewhere could have its own name resolve to 127.0.0.1 (DNS rebinding) and be of one origin with this one in
the eyes of a browser. The APIs are left alone: each of their requests needs a token, and clients reach them through proxies that
keep the name they were asked for.
"""

from __future__ import annotations

from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

GUARDED = ("/page", "/_local")


def is_own(host: str) -> bool:
    """Whether a Host names this machine: `localhost`, or a loopback address, with or without a port."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    if name.lower() == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


class OwnHost:
    """ASGI middleware: 421 Misdirected Request (RFC 9110 section 15.5.20) for another Host."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_guarded = scope["type"] == "http" and scope["path"].startswith(GUARDED)
        if is_guarded and not is_own(Headers(scope=scope).get("host", "")):
            message = "the page and /_local answer under localhost and 127.x.x.x only"
            await JSONResponse({"message": message}, 421)(scope, receive, send)
            return
        await self._app(scope, receive, send)
