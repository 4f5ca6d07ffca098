"""What the OpenAPI document says of answers: every status that can come, and whose words they are.

FastAPI would promise 422 with its own shape; here a wrong body is 400 in GoTrue's. What the issuer refuses is passed on with the
issuer's own status, hence "4XX" beside the ones that are ours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, ConfigDict

BEARER: dict[str, Any] = {"security": [{"bearer": []}]}
_RETRY_AFTER = {"Retry-After": {"schema": {"type": "integer"}, "description": "seconds"}}
_TEXT = {"schema": {"type": "string"}}
_IDENTITY: dict[str, Any] = {
    **dict.fromkeys(("X-Auth-User-Id", "X-Auth-Session-Id", "X-Auth-Role", "X-Auth-Email"), _TEXT),
    "X-Cache": {"schema": {"type": "string", "enum": ["l1", "l2", "miss"]}},
}
_EVERYTHING = {"schema": {"type": "object", "additionalProperties": True}}

Responses = dict[int | str, dict[str, Any]]


class ErrorBody(BaseModel):
    """GoTrue's error shape since 2024-01-01; some of its errors say more."""

    model_config = ConfigDict(extra="allow")

    code: str
    message: str


class RevocationLogged(BaseModel):
    sequence: int


def refusals(*statuses: int | str) -> Responses:
    """The answers that are errors; 429 and 503 say when to come again."""
    descriptions = {
        400: "The request's body or query is wrong",
        401: "There is no token, or it is definitely not good",
        404: "There is no active profile",
        413: "The body is longer than 64 KB",
        429: "Too many attempts by this address or for this account",
        503: "It cannot be told at the moment; try again",
        "4XX": "The issuer's own refusal, passed on",
    }
    return {
        status: {
            "model": ErrorBody,
            "description": descriptions[status],
            **({"headers": _RETRY_AFTER} if status in (429, 503) else {}),
        }
        for status in statuses
    }


def object_answer(description: str) -> dict[str, Any]:
    """A JSON object whose members are the issuer's business or are described in docs/service.md."""
    return {"description": description, "content": {"application/json": _EVERYTHING}}


_ISSUERS = refusals("4XX", 400, 413, 429, 503)
VERIFY: Responses = {200: {"description": "The token is good", "headers": _IDENTITY}, **refusals(401, 503)}
ME: Responses = {200: object_answer("The issuer's user, with `profile`, `roles` and `permissions` added"), **refusals(401, 503)}
CHANGE_ME: Responses = {200: object_answer("`profile` as it is now"), **refusals(400, 401, 404, 413, 429, 503)}
REGISTER: Responses = {
    200: object_answer("The issuer's answer where it gives no session yet"),
    201: object_answer("A token response"),
    **_ISSUERS,
}
TOKENS: Responses = {200: object_answer("A token response"), **_ISSUERS}
LOGOUT: Responses = {204: {"description": "Ended everywhere"}, **refusals("4XX", 400, 401, 413, 503)}
REVOKE: Responses = {202: {"model": RevocationLogged, "description": "In the log"}, **refusals(400, 401, 413, 503)}
READY: Responses = {200: object_answer("`ready` or `degraded`"), 503: object_answer("`not_ready`: `parts` names what is missing")}
METRICS: Responses = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}
PERFORMANCE: Responses = {200: object_answer("Sections auth, system and database"), **refusals(401)}


def document_of(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """`app.openapi`: made once, with the bearer scheme and without FastAPI's 422."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(title=app.title, version=app.version, routes=app.routes)
            for operations in made["paths"].values():
                for operation in operations.values():
                    operation["responses"].pop("422", None)
            made["components"].setdefault("securitySchemes", {})["bearer"] = {"type": "http", "scheme": "bearer"}
            for unused in ("HTTPValidationError", "ValidationError"):
                made["components"]["schemas"].pop(unused, None)
            app.openapi_schema = made
        return app.openapi_schema

    return document
