"""The page's routes. Its files are open to whoever reaches 127.0.0.1 and say nothing; everything else needs a session."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from infra.localcloud.page import state
from infra.localcloud.page.sessions import Sessions
from infra.localcloud.railway_api.call import Cloud
from infra.localcloud.railway_api.endpoint import BodyTooLarge, read_body

STATIC = Path(__file__).parent / "static"
FILES = {
    "": ("index.html", "text/html; charset=utf-8"),
    "page.css": ("page.css", "text/css; charset=utf-8"),
    "icon.svg": ("icon.svg", "image/svg+xml"),
    **{name: (name, "text/javascript; charset=utf-8") for name in ("page.js", "dom.js", "map.js", "sections.js", "asking.js")},
}
HEADERS = {
    # Nothing from elsewhere, nothing inline, no frame around it, no form that leaves it.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
Handler = Callable[[Request, Cloud], Awaitable[Response]]


class CodeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    code: str


@cache
def _content(name: str) -> bytes:
    return (STATIC / name).read_bytes()


async def file(request: Request) -> Response:
    found = FILES.get(request.path_params.get("name", ""))
    if found is None:
        return Response(status_code=404, headers=HEADERS)
    return Response(_content(found[0]), media_type=found[1], headers=HEADERS)


async def to_page(request: Request) -> Response:
    """A relative reference in the page needs the slash."""
    return RedirectResponse("/page/", 308)


def routes(
    with_page: Callable[[Handler], Callable[[Request], Awaitable[Response]]],
    with_account: Callable[[Handler], Callable[[Request], Awaitable[Response]]],
    sessions: Sessions,
    page_url: str,
) -> list[Route]:
    """`with_page` asks for a session or the account's token, `with_account` for the latter, and says whose it is."""

    async def link(request: Request, cloud: Cloud) -> Response:
        return JSONResponse({"url": f"{page_url}#{sessions.new_code(request.state.principal)}"}, headers=HEADERS)

    async def session(request: Request) -> Response:
        try:
            asked = msgspec.json.decode(await read_body(request, 4096), type=CodeRequest)
        except (msgspec.DecodeError, UnicodeDecodeError, BodyTooLarge):
            return JSONResponse({"message": "expected a code"}, 400, HEADERS)
        made = sessions.exchange(asked.code)
        if made is None:
            return JSONResponse({"message": "this link was used or is too old"}, 401, HEADERS)
        return JSONResponse({"session": made}, headers=HEADERS)

    async def logs(request: Request, cloud: Cloud) -> Response:
        shown: dict[str, Any] = state.log_view(cloud, request.query_params.get("name", ""))
        return JSONResponse(shown, headers=HEADERS)

    return [
        Route("/page", to_page, methods=["GET"]),
        Route("/page/", file, methods=["GET"]),
        Route("/page/session", session, methods=["POST"]),
        Route("/page/{name}", file, methods=["GET"]),
        Route("/_local/page", with_account(link), methods=["POST"]),
        Route("/_local/logs", with_page(logs), methods=["GET"]),
    ]
