"""Errors as GoTrue and the gateway put them on the wire.

ApiError                 a mistake of the caller, or a refusal: status, code, message
  +-- WeakPassword       carries the reasons
  +-- HookFailed         the project's own function: it broke, or answered what cannot be used
        +-- HookRefused  it said no, or its claims will not do; told without the header that names a code
OAuthError               RFC 6749 section 5.2 shape; GoTrue uses it where a refresh token is missing
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

import msgspec
from starlette.responses import Response

VERSION_HEADER = "x-supabase-api-version"
VERSION_2024 = "2024-01-01"
DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


class ApiError(Exception):
    """Answered as GoTrue answers: `status`, error `code` (apierrors/errorcode.go), human `message`."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class WeakPassword(ApiError):
    """422 with the reasons a client can show: length, characters, pwned."""

    def __init__(self, message: str, reasons: tuple[str, ...]) -> None:
        super().__init__(422, "weak_password", message)
        self.reasons = reasons


class HookFailed(ApiError):
    def __init__(self, message: str, status: int = 500) -> None:
        super().__init__(status, "unexpected_failure" if status >= 500 else "unknown", message)


class HookRefused(HookFailed):
    pass


class OAuthError(Exception):
    """400 in the shape of RFC 6749 section 5.2."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error
        self.description = description


def closest_version(header: str) -> str:
    """The API version served for a client that asks for `header`: "2024-01-01", or "" for the initial one."""
    # strptime takes "2024-1-1" and fromisoformat "2024-W01-1"; Go's layout "2006-01-02" takes neither.
    try:
        asked = date.fromisoformat(header) if DATE.fullmatch(header) else date.min
    except ValueError:
        return ""
    return VERSION_2024 if asked >= date(2024, 1, 1) else ""


def body_of(error: ApiError, version: str) -> dict[str, Any]:
    """{code, message} since 2024-01-01, {code: status, error_code, msg} before."""
    body: dict[str, Any] = (
        {"code": error.code, "message": error.message}
        if version == VERSION_2024
        else {"code": error.status, "error_code": error.code, "msg": error.message}
    )
    if isinstance(error, WeakPassword):
        body["weak_password"] = {"reasons": list(error.reasons)}
    return body


def render(error: ApiError, request_headers: Mapping[str, str]) -> Response:
    version = closest_version(request_headers.get(VERSION_HEADER, ""))
    # GoTrue forgets it for a hook's word, and for a weak password in the newer version (api/errors.go, handleResponseError).
    is_told = not (isinstance(error, HookRefused) or (isinstance(error, WeakPassword) and version == VERSION_2024))
    headers = {"x-sb-error-code": error.code} if is_told else {}
    if version:
        headers[VERSION_HEADER] = version
    return json_response(body_of(error, version), error.status, headers)


def json_response(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(body), status, headers, media_type="application/json")


def bad_jwt(message: str) -> ApiError:
    return ApiError(403, "bad_jwt", message)


def validation_failed(message: str, status: int = 400) -> ApiError:
    return ApiError(status, "validation_failed", message)


def unexpected(message: str = "Unexpected failure, please check server logs for more information") -> ApiError:
    return ApiError(500, "unexpected_failure", message)
