"""The framework behind the front: everything that is not on the hot path, and the hot path's routes once more for the docs.

Bodies are checked here; a wrong one answers 400 {code: validation_failed} with the field's name and never its value.
/docs and /openapi.json exist outside prod only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

import structlog
from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.json_schema import SkipJsonSchema
from starlette.exceptions import HTTPException

from service.errors import TokenRejected, TooManyRequests, Unavailable
from service.metrics.exposition import CONTENT_TYPE, Exposition
from service.metrics.performance import Performance
from service.readiness import Readiness
from service.revocation.records import Kind
from service.settings import Settings
from service.tokens.parsing import KEY_ID_CHARACTERS_MAX, UUID_PATTERN
from service.web import documents
from service.web.answers import Answer, error_answer, fault_answer, limited_answer, rejection_answer
from service.web.auth_endpoints import AuthEndpoints
from service.web.callers import address_of
from service.web.compressing_app import CompressingApp
from service.web.compression import Compression
from service.web.limited_endpoints import LimitedEndpoints

log = structlog.get_logger("service.web")

Policy = Annotated[Literal["cached", "strict"], Query(description="strict: ask the issuer for this very request")]


class Credentials(BaseModel):
    email: Annotated[str, Field(min_length=3, max_length=320)]
    password: Annotated[str, Field(min_length=1, max_length=1024)]


class Registration(Credentials):
    display_name: Annotated[str | None, Field(max_length=200)] = None


class Refresh(BaseModel):
    refresh_token: Annotated[str, Field(min_length=1, max_length=4096)]


# Control characters are in nobody's name; PostgreSQL refuses one of them, and mails and terminals obey others.
_DisplayName = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]


class ProfileChange(BaseModel):
    """null takes the name away."""

    model_config = ConfigDict(extra="forbid")

    display_name: _DisplayName | None


_Id = Annotated[str, Field(pattern=f"^{UUID_PATTERN}$")]


class RevocationRequest(BaseModel):
    """Exactly one of the four. key_id: a key's `kid` or RFC 7638 thumbprint. issued_before: seconds since 1970."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"minProperties": 1, "maxProperties": 1})

    user_id: _Id | SkipJsonSchema[None] = None
    session_id: _Id | SkipJsonSchema[None] = None
    key_id: Annotated[str, Field(min_length=1, max_length=KEY_ID_CHARACTERS_MAX)] | SkipJsonSchema[None] = None
    issued_before: Annotated[int, Field(ge=1, le=2**40)] | SkipJsonSchema[None] = None

    @model_validator(mode="after")
    def _one_subject(self) -> RevocationRequest:
        if len([name for name in _KINDS if getattr(self, name) is not None]) != 1:
            raise ValueError("expected exactly one of user_id, session_id, key_id and issued_before")
        return self

    @property
    def what(self) -> tuple[Kind, str]:
        return next((kind, str(getattr(self, name))) for name, kind in _KINDS.items() if getattr(self, name) is not None)


_KINDS: dict[str, Kind] = {"user_id": "user", "session_id": "session", "key_id": "key", "issued_before": "everyone"}


def build_app(
    settings: Settings,
    endpoints: AuthEndpoints,
    limited: LimitedEndpoints,
    readiness: Readiness,
    exposition: Exposition,
    performance: Performance,
) -> FastAPI:
    has_docs = settings.environment != "prod"
    app = FastAPI(
        title="cached-auth",
        version=settings.release,
        docs_url="/docs" if has_docs else None,
        openapi_url="/openapi.json" if has_docs else None,
        redoc_url=None,
        # Starlette would send `/login/` to `/login` with an absolute URL made from the caller's Host and our own scheme: behind
        # an edge that ends TLS, a password posted again in the clear, or to whatever host the request named (CVE-2026-48710).
        redirect_slashes=False,
    )
    _add_auth_routes(app, endpoints, limited)
    _add_operations_routes(app, endpoints, readiness, exposition, performance)
    app.openapi = documents.document_of(app)  # type: ignore[method-assign]
    app.add_exception_handler(TokenRejected, _rejected)
    app.add_exception_handler(Unavailable, _unavailable)
    app.add_exception_handler(TooManyRequests, _limited)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _refused)
    app.add_middleware(CompressingApp, compression=Compression(settings.gzip_bytes_min, settings.gzip_level))
    return app


def response_of(answer: Answer) -> Response:
    """An Answer as the framework wants it, header by header the same as from the front."""
    response = Response(answer.body, answer.status)
    response.raw_headers = list(answer.headers)
    return response


def client_address(request: Request) -> str:
    """The caller's address, by which log-ins are limited."""
    return address_of(request.headers.raw, request.client.host if request.client else "")


def _add_auth_routes(app: FastAPI, endpoints: AuthEndpoints, limited: LimitedEndpoints) -> None:
    @app.get(
        "/api/v1/auth/verify",
        summary="Is this token good? 200 with X-Auth-* headers",
        response_class=Response,
        responses=documents.VERIFY,
        openapi_extra=documents.BEARER,
    )
    async def verify(request: Request, policy: Policy = "cached") -> Response:
        return response_of(await endpoints.verify(request.scope["headers"], is_strict=policy == "strict"))

    @app.get("/api/v1/auth/me", summary="The user, with the profile", responses=documents.ME, openapi_extra=documents.BEARER)
    async def me(request: Request, policy: Policy = "cached") -> Response:
        return response_of(await endpoints.me(request.scope["headers"], is_strict=policy == "strict"))

    async def strict_user(request: Request) -> str:
        return await endpoints.user_of(request.scope["headers"])

    @app.patch(
        "/api/v1/auth/me",
        summary="Change the user's own profile; the token is checked with the issuer",
        responses=documents.CHANGE_ME,
        openapi_extra=documents.BEARER,
    )
    async def change_me(
        request: Request,
        body: ProfileChange,
        user_id: str = Depends(strict_user),  # an annotation is a text here, and could not name a function in a function
    ) -> Response:
        return response_of(await limited.change_me(user_id, body.display_name, client_address(request)))

    @app.post("/api/v1/auth/register", status_code=201, responses=documents.REGISTER)
    async def register(request: Request, body: Registration) -> Response:
        return response_of(await limited.register(body.email, body.password, body.display_name, client_address(request)))

    @app.post("/api/v1/auth/login", responses=documents.TOKENS)
    async def login(request: Request, body: Credentials) -> Response:
        return response_of(await limited.log_in(body.email, body.password, client_address(request)))

    @app.post("/api/v1/auth/refresh", responses=documents.TOKENS)
    async def refresh(request: Request, body: Refresh) -> Response:
        return response_of(await limited.refresh(body.refresh_token, client_address(request)))

    @app.post("/api/v1/auth/logout", status_code=204, responses=documents.LOGOUT, openapi_extra=documents.BEARER)
    async def logout(request: Request, scope: Annotated[Literal["global", "local", "others"], Query()] = "global") -> Response:
        return response_of(await endpoints.log_out(request.scope["headers"], scope))

    @app.post(
        "/api/v1/auth/revoke",
        status_code=202,
        summary="End sessions, or void a key's or all old tokens; service role key only",
        responses=documents.REVOKE,
        openapi_extra=documents.BEARER,
        dependencies=[Depends(_service_role_of(endpoints))],
    )
    async def revoke(request: Request, body: RevocationRequest) -> Response:
        return response_of(await endpoints.revoke(request.scope["headers"], *body.what))


def _add_operations_routes(
    app: FastAPI, endpoints: AuthEndpoints, readiness: Readiness, exposition: Exposition, performance: Performance
) -> None:
    @app.get(
        "/health/ready",
        summary="200 if this replica should get requests, else 503 with the parts that are missing",
        responses=documents.READY,
    )
    async def ready() -> Response:
        report = await readiness.report()
        return Response(report.body, 200 if report.is_ready else 503, media_type="application/json")

    @app.get("/metrics", summary="Prometheus text", response_class=Response, responses=documents.METRICS)
    async def metrics() -> Response:
        pieces = []
        for piece in exposition.pieces():
            pieces.append(piece)
            await asyncio.sleep(0)
        return Response(b"".join(pieces), media_type=CONTENT_TYPE)

    @app.get(
        "/performance-metrics",
        summary="Sections auth, system and database; service role key only",
        responses=documents.PERFORMANCE,
        openapi_extra=documents.BEARER,
        dependencies=[Depends(_service_role_of(endpoints))],
    )
    async def performance_metrics() -> Response:
        return Response(performance.report(), headers={"cache-control": "no-store"}, media_type="application/json")


def _service_role_of(endpoints: AuthEndpoints) -> Callable[[Request], Awaitable[None]]:
    """Asked before the body is looked at: a stranger does not even learn what is wrong with it."""

    async def require(request: Request) -> None:
        endpoints.require_service_role(request.scope["headers"])

    return require


async def _rejected(_request: Request, error: Exception) -> Response:
    assert isinstance(error, TokenRejected)
    return response_of(rejection_answer(error))


async def _unavailable(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Unavailable)
    return response_of(fault_answer(error))


async def _limited(_request: Request, error: Exception) -> Response:
    assert isinstance(error, TooManyRequests)
    return response_of(limited_answer(error))


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "request_refused")
    extra = [(name.lower().encode(), value.encode()) for name, value in (error.headers or {}).items()]
    return response_of(error_answer(error.status_code, code, str(error.detail), extra))


async def _invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return response_of(error_answer(400, "validation_failed", "; ".join(map(_mistake, error.errors()))))


def _mistake(mistake: Any) -> str:
    # Only where and what kind: `input` would repeat a password, and `msg` of some kinds quotes it.
    return f"{'.'.join(str(part) for part in mistake['loc'])}: {mistake['type']}"
