"""The one way out: HTTP with deadlines, bounded concurrency, retries with jitter, and no blind second change.

Three outcomes of a try are told apart. It was refused before it was carried out (throttled, no connection): send again.
It was carried out or refused for good: return or raise. Its outcome is unknown (connection lost after sending, 5xx): a
query is sent again, a change only after its caller's `settled` has looked and not found it done.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx

from infra.provider.errors import RemoteError, RemoteFault, Throttled, Unreachable
from infra.provider.retry import RetryPolicy

Answer = TypeVar("Answer")
Sleep = Callable[[float], Awaitable[None]]

TIMEOUT = httpx.Timeout(30.0, connect=5.0)
BODY_BYTES_MAX = 16 * 1024 * 1024
_REQUEST_ID_HEADERS = ("x-railway-request-id", "x-request-id", "sb-request-id", "cf-ray")


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. `operation` names it in errors; `is_query` means that sending it twice is harmless."""

    operation: str
    method: str
    url: str
    is_query: bool
    json: Any = None
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float | None = None


class Transport:
    """Shared by all calls of one provider. `judge` functions turn a response into an answer or raise a RemoteError."""

    def __init__(
        self,
        headers: Mapping[str, str],
        *,
        policy: RetryPolicy | None = None,
        deadline_s: float = 120.0,
        concurrency_max: int = 8,
        sleep: Sleep = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        dice: Callable[[], float] = random.random,
        wire: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._client = httpx.AsyncClient(headers=dict(headers), timeout=TIMEOUT, transport=wire, trust_env=wire is None)
        self._policy = policy or RetryPolicy()
        self._deadline_s = deadline_s
        self._slots = asyncio.Semaphore(concurrency_max)
        self._sleep = sleep
        self._clock = clock
        self._dice = dice

    async def close(self) -> None:
        await self._client.aclose()

    async def ask(self, request: Request, judge: Callable[[httpx.Response], Answer]) -> Answer:
        """Sends a request, again where that is harmless, until it is answered or the deadline has passed."""
        give_up_at = self._clock() + self._deadline_s
        attempt = 0
        while True:
            attempt += 1
            try:
                return judge(await self._send(request))
            except RemoteError as error:
                if error.may_have_happened and not request.is_query:
                    raise
                await self._wait_or_raise(attempt, error, give_up_at)

    async def change(
        self,
        request: Request,
        judge: Callable[[httpx.Response], Answer],
        settled: Callable[[], Awaitable[Answer | None]],
    ) -> Answer:
        """Sends a change. After an unknown outcome `settled` looks whether it took effect: its answer, or None for no."""
        give_up_at = self._clock() + self._deadline_s
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self.ask(request, judge)
            except RemoteError as error:
                if not error.may_have_happened:
                    raise
                # Wait first: reads may lag behind the change that we are looking for.
                await self._wait_or_raise(attempt, error, give_up_at)
                answer = await settled()
                if answer is not None:
                    return answer

    async def _wait_or_raise(self, attempt: int, error: RemoteError, give_up_at: float) -> None:
        wait_s = self._policy.wait_s(attempt, error, self._dice())
        if wait_s is None or self._clock() + wait_s > give_up_at:
            raise error
        await self._sleep(wait_s)

    async def _send(self, request: Request) -> httpx.Response:
        timeout = httpx.Timeout(request.timeout_s, connect=5.0) if request.timeout_s else TIMEOUT
        async with self._slots:
            try:
                response = await self._client.request(
                    request.method,
                    request.url,
                    json=request.json,
                    content=request.content,
                    headers=dict(request.headers),
                    params=dict(request.params) or None,
                    timeout=timeout,
                )
            except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as exc:
                where = httpx.URL(request.url)
                raise Unreachable(
                    f"no connection to {where.host}:{where.port or where.scheme}; is it running?", operation=request.operation
                ) from exc
            except httpx.InvalidURL as exc:
                raise RemoteError("the endpoint is not a URL", operation=request.operation) from exc
            except httpx.HTTPError as exc:
                raise RemoteFault(f"the answer was lost ({type(exc).__name__})", operation=request.operation) from exc
        if response.status_code == 429:
            raise Throttled(
                "too many requests",
                operation=request.operation,
                request_id=request_id(response),
                retry_after_s=retry_after_s(response),
            )
        return response


def request_id(response: httpx.Response) -> str:
    """The id by which the API's own people can find this request, or an empty text."""
    return next((response.headers[name] for name in _REQUEST_ID_HEADERS if name in response.headers), "")


def retry_after_s(response: httpx.Response) -> float | None:
    """Retry-After (RFC 9110, section 10.2.3): seconds or a date, measured against the response's own Date header."""
    text = response.headers.get("retry-after", "").strip()
    if not text:
        return None
    if text.isdecimal():
        return float(text)
    try:
        until = parsedate_to_datetime(text)
        now = parsedate_to_datetime(response.headers["date"])
        return max(0.0, (until - now).total_seconds())
    except (KeyError, ValueError, TypeError):
        return None
