"""The ASGI application: gateway in front, routes behind, every error in the shape its caller expects."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infra.localcloud.supabase_api import admin_routes, auth_routes, storage
from infra.localcloud.supabase_api.database import DatabaseErrors, DataError
from infra.localcloud.supabase_api.errors import (
    ApiError,
    OAuthError,
    json_response,
    render,
    unexpected,
    validation_failed,
)
from infra.localcloud.supabase_api.mailer import Mailer
from infra.localcloud.supabase_api.project import opened
from infra.localcloud.supabase_api.settings import Settings

log = logging.getLogger(__name__)

# Storage checks its own key; the others are followed by a browser from a mail or a provider, which has no key.
OPEN_PATHS = (
    "/auth/v1/.well-known/",
    "/auth/v1/verify",
    "/auth/v1/callback",
    "/auth/v1/authorize",
    "/storage/v1/",
)
NO_KEY = {
    "message": "No API key found in request",
    "hint": "No `apikey` request header or url param was found.",
}
BAD_KEY = {"message": "Invalid API key", "hint": "Double check your Supabase `anon` or `service_role` API key."}
TIMED_OUT = ApiError(504, "request_timeout", "Processing this request timed out, please retry after a moment.")
ALLOWED_HEADERS = (
    "accept",
    "authorization",
    "content-type",
    "x-client-ip",
    "x-client-info",
    "x-jwt-aud",
    "x-use-cookie",
    "x-supabase-api-version",
    "apikey",
    "x-upsert",
)


class Gateway:
    """Supabase's edge as far as a client sees it: the `apikey` check, and a deadline for each request (GoTrue: 10 s)."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._keys = (settings.anon_key.encode(), settings.service_role_key.encode())
        self._timeout_s = settings.request_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/storage/v1/"):
            await self._app(scope, receive, send)  # an upload of 50 MB over a slow link may take longer than a request
            return
        refusal = None if scope["path"].startswith(OPEN_PATHS) else self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        has_begun = False

        async def noting(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            async with asyncio.timeout(self._timeout_s):
                await self._app(scope, receive, noting)
        except TimeoutError:
            if has_begun:  # a client that reads too slowly: the connection ends, there is no second answer
                raise
            await render(TIMED_OUT, Headers(scope=scope))(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        given = Headers(scope=scope).get("apikey")
        if given is None:
            given = parse_qs(scope["query_string"].decode("latin-1")).get("apikey", [""])[0]
        if not given:
            return json_response(NO_KEY, 401)
        # Both comparisons are always made: which key was nearly right must not show in the time.
        matches = [hmac.compare_digest(given.encode(), key) for key in self._keys]
        return None if any(matches) else json_response(BAD_KEY, 401)


async def on_api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return render(error, request.headers)


async def on_oauth_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, OAuthError)
    return json_response({"error": error.error, "error_description": error.description}, 400)


async def on_storage_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, storage.StorageError)
    return error.render()


async def on_bad_text(request: Request, error: Exception) -> Response:
    """PostgreSQL cannot hold every text that JSON can (U+0000)."""
    log.info("refused by the database: %s", type(error).__name__)
    return render(validation_failed("A value of the request cannot be stored"), request.headers)


async def on_database_error(request: Request, error: Exception) -> Response:
    log.error("database: %s", type(error).__name__, exc_info=error)
    return render(unexpected(), request.headers)


async def on_our_mistake(request: Request, _: Exception) -> Response:
    return render(unexpected(), request.headers)


async def on_http_exception(_: Request, error: Exception) -> Response:
    """What Go's router answers."""
    assert isinstance(error, HTTPException)
    if error.status_code != 404:
        return Response(status_code=error.status_code, headers=dict(error.headers or {}))
    return PlainTextResponse("404 page not found\n", 404, dict(error.headers or {}))


def create_app(settings: Settings, mailer: Mailer | None = None) -> Starlette:
    """The application of one project. The database is reached in its lifespan, before the socket accepts.

    `mailer` takes the place of the one that the settings ask for.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with opened(settings, mailer) as project:
            app.state.project = project
            yield

    return Starlette(
        routes=[
            Mount("/auth/v1/admin", routes=admin_routes.routes),
            Mount("/auth/v1", routes=auth_routes.routes),
            Mount("/storage/v1", routes=storage.routes),
        ],
        middleware=[
            Middleware(
                CORSMiddleware,
                allow_origins=["*"],
                allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
                allow_headers=ALLOWED_HEADERS,
                expose_headers=["X-Total-Count", "Link", "X-Supabase-Api-Version"],
            ),
            Middleware(Gateway, settings=settings),
        ],
        exception_handlers={
            ApiError: on_api_error,
            OAuthError: on_oauth_error,
            storage.StorageError: on_storage_error,
            DataError: on_bad_text,
            **dict.fromkeys(DatabaseErrors, on_database_error),
            HTTPException: on_http_exception,
            Exception: on_our_mistake,  # rendered, then raised again by Starlette so that the server logs it
        },
        lifespan=lifespan,
    )
