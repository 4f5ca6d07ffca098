"""Supabase's Management API: JSON over HTTP, errors by status code."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from infra.provider.errors import Busy, Conflict, InvalidInput, NotAuthorized, NotFound, RemoteError, RemoteFault
from infra.provider.transport import Request, Transport, request_id, retry_after_s

_BY_STATUS: Mapping[int, type[RemoteError]] = {
    400: InvalidInput,
    401: NotAuthorized,
    402: InvalidInput,
    403: NotAuthorized,
    404: NotFound,
    409: Conflict,
    422: InvalidInput,
    423: Busy,
}
_NEXT_STEP: Mapping[type[RemoteError], str] = {NotAuthorized: "; check SUPABASE_ACCESS_TOKEN or the supabase:accessToken setting"}


@dataclass(frozen=True, slots=True)
class SupabaseClient:
    """`endpoint` is the API's root, without a path; `project_url` a template with {ref} and {database_host}."""

    transport: Transport
    endpoint: str
    project_url: str

    async def get(self, operation: str, path: str, **params: str) -> Any:
        request = Request(operation, "GET", self.endpoint + path, is_query=True, params=params)
        return await self.transport.ask(request, lambda response: answer_of(response, operation))

    async def get_or_none(self, operation: str, path: str, **params: str) -> Any | None:
        """None where Supabase does not know the thing asked for."""
        try:
            return await self.get(operation, path, **params)
        except NotFound:
            return None

    async def send(self, operation: str, method: str, path: str, body: Any, settled: Callable[[], Awaitable[Any | None]]) -> Any:
        """Sends a change. `settled` tells after an unknown outcome whether it took effect."""
        request = Request(operation, method, self.endpoint + path, is_query=False, json=body)
        return await self.transport.change(request, lambda response: answer_of(response, operation), settled)


def answer_of(response: httpx.Response, operation: str) -> Any:
    """The JSON of a good answer ({} for an empty one); a RemoteError otherwise."""
    if response.is_success and not response.content:
        return {}
    try:
        body = response.json()
    except ValueError:
        body = None
    if response.is_success and body is not None:
        return body
    kind = _BY_STATUS.get(response.status_code, RemoteFault)
    message = body.get("message") if isinstance(body, dict) else None
    told = " ".join(str(message or f"HTTP {response.status_code}").split())[:300]
    raise kind(
        f"Supabase says: {told}{_NEXT_STEP.get(kind, '')}",
        operation=operation,
        request_id=request_id(response),
        retry_after_s=retry_after_s(response),
    )
