"""Railway's GraphQL errors -> our errors.

The code decides where it says something. Most errors carry INTERNAL_SERVER_ERROR, and then only the message tells them
apart: those texts, collected from Railway's own clients, stand in one table here and nowhere else.
"""

from __future__ import annotations

import re
from typing import Any

import httpx

from infra.provider.errors import (
    Busy,
    Conflict,
    InvalidInput,
    NotAuthorized,
    NotFound,
    RemoteError,
    RemoteFault,
    Throttled,
)
from infra.provider.transport import request_id, retry_after_s

_BY_CODE: dict[str, type[RemoteError]] = {
    "UNAUTHENTICATED": NotAuthorized,
    "FORBIDDEN": NotAuthorized,
    "BAD_USER_INPUT": InvalidInput,
    "GRAPHQL_VALIDATION_FAILED": InvalidInput,
    "GRAPHQL_PARSE_FAILED": InvalidInput,
    "NOT_FOUND": NotFound,
    "CONFLICT": Conflict,
    "RATE_LIMITED": Throttled,
    "TOO_MANY_REQUESTS": Throttled,
}

_BY_MESSAGE: tuple[tuple[re.Pattern[str], type[RemoteError]], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), kind)
    for pattern, kind in (
        (r"too quickly|rate limit|too many requests", Throttled),
        (r"not authorized|\btoken not found|unauthorized|unauthenticated|invalid token|access denied", NotAuthorized),
        (r"operation is already in progress|is being (created|deleted|updated)", Busy),
        (r"already exists|already (in use|taken)|name .* taken", Conflict),
        (r"not found|does ?n.t exist|no longer exists|has been deleted", NotFound),
    )
)

_BY_STATUS: dict[int, type[RemoteError]] = {
    400: InvalidInput,
    401: NotAuthorized,
    403: NotAuthorized,
    404: NotFound,
    409: Conflict,
    413: InvalidInput,
    422: InvalidInput,
}

_NEXT_STEP: dict[type[RemoteError], str] = {
    NotAuthorized: "; check RAILWAY_API_TOKEN or the railway:token setting (a project token reaches one environment alone)"
}


def kind_of(code: str, message: str) -> type[RemoteError]:
    """The error class for one GraphQL error. Pure."""
    by_code = _BY_CODE.get(code)
    if by_code is not None and by_code is not InvalidInput:
        return by_code
    by_message = next((kind for pattern, kind in _BY_MESSAGE if pattern.search(message)), None)
    return by_message or by_code or RemoteFault


def data_of(response: httpx.Response, operation: str) -> dict[str, Any]:
    """The `data` of a GraphQL response; raises a RemoteError for everything else."""
    try:
        body = response.json()
    except ValueError:
        raise _by_status(response, operation, "the answer is not JSON") from None
    if not isinstance(body, dict):
        raise _by_status(response, operation, "the answer is not an object")
    errors = body.get("errors")
    if errors:
        raise _from_errors(response, operation, body, errors)
    data = body.get("data")
    if not isinstance(data, dict) or response.is_error:
        raise _by_status(response, operation, "the answer has no data", trace_id=_trace_id(body))
    return data


def object_of(response: httpx.Response, operation: str) -> dict[str, Any]:
    """The JSON object of a plain HTTP answer (the upload endpoint)."""
    if response.is_error:
        raise _by_status(response, operation, _excerpt(response))
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise _by_status(response, operation, "the answer is not an object")
    return body


def _from_errors(response: httpx.Response, operation: str, body: dict[str, Any], errors: Any) -> RemoteError:
    first = errors[0] if isinstance(errors, list) and isinstance(errors[0], dict) else {}
    message = " ".join(str(first.get("message") or "no message").split())
    extensions = first.get("extensions")
    code = str(extensions.get("code", "")) if isinstance(extensions, dict) else ""
    kind = kind_of(code, message)
    return kind(
        f"Railway says: {message}{_NEXT_STEP.get(kind, '')}",
        operation=operation,
        request_id=str(first.get("traceId") or "") or _trace_id(body) or request_id(response),
        retry_after_s=retry_after_s(response),
    )


def _by_status(response: httpx.Response, operation: str, message: str, *, trace_id: str = "") -> RemoteError:
    kind = _BY_STATUS.get(response.status_code, RemoteFault)
    return kind(
        f"HTTP {response.status_code}: {message}{_NEXT_STEP.get(kind, '')}",
        operation=operation,
        request_id=trace_id or request_id(response),
        retry_after_s=retry_after_s(response),
    )


def _trace_id(body: dict[str, Any]) -> str:
    return str(body.get("traceId") or "")


def _excerpt(response: httpx.Response) -> str:
    return " ".join(response.text.split())[:200] or "no body"
