"""The one way out: HTTP with deadlines, bounded concurrency, retries with jitter, and no blind second change.

All requests share one budget, learnt from the answers (`budget`). Three outcomes of a try are told apart. It was refused before
it was carried out (throttled, no connection): send again. It was carried out or refused for good: return or raise. Its outcome
is unknown (connection lost after sending, 5xx): a query is sent again, a change only after its caller's `settled` has looked
and not found it done.
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

from infra.provider.budget import Budget, Window, window_of
from infra.provider.errors import OutcomeUnknown, RemoteError, RemoteFault, Stopped, Throttled, Unreachable, WaitTooLong
from infra.provider.retry import RetryPolicy

Answer = TypeVar("Answer")
Sleep = Callable[[float], Awaitable[None]]

TIMEOUT = httpx.Timeout(60.0, connect=5.0)
ANSWER_TIMEOUT_S = 60.0
"""For one try as a whole; httpx's own limits are for single reads, which a slow answer could keep passing."""
PATIENCE_S = 120.0
"""How long a request is tried again, and waits for the budget; a setting of each provider."""
RETRY_AFTER_S_MAX = 24 * 3600.0
BODY_BYTES_MAX = 16 * 1024 * 1024
_CODING_HEADERS = ("content-encoding", "content-length", "transfer-encoding")
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
        patience_s: float = PATIENCE_S,
        patience_setting: str = "waitSeconds",
        concurrency_max: int = 8,
        sleep: Sleep = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        dice: Callable[[], float] = random.random,
        use_proxies: bool = True,
        wire: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._client = httpx.AsyncClient(headers=dict(headers), timeout=TIMEOUT, transport=wire, trust_env=use_proxies)
        self._policy = policy or RetryPolicy()
        self._patience_s = patience_s
        self._patience_setting = patience_setting
        self._slots = asyncio.Semaphore(concurrency_max)
        self._sleep = sleep
        self._clock = clock
        self._wall_clock = wall_clock
        self._budget = Budget()
        self._turns = asyncio.Lock()
        self._dice = dice

    async def close(self) -> None:
        await self._client.aclose()

    async def ask(self, request: Request, judge: Callable[[httpx.Response], Answer]) -> Answer:
        """Sends a request, again where that is harmless, until it is answered or the deadline has passed."""
        give_up_at = self._clock() + self._patience_s
        attempt = 0
        while True:
            attempt += 1
            try:
                # The slot first: whoever has had its turn must be on its way, or the budget would be given to who waits.
                async with self._slots:
                    window = await self._turn(request, give_up_at)
                    response = await self._send(request, window)
                return judge(response)
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
        give_up_at = self._clock() + self._patience_s
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self.ask(request, judge)
            except RemoteError as error:
                if not error.may_have_happened and attempt == 1:
                    raise
                answer = await self._look(attempt, error, give_up_at, settled)
                if answer is not None:
                    return answer
                if not error.may_have_happened:
                    raise

    async def _look(
        self, attempt: int, error: RemoteError, give_up_at: float, settled: Callable[[], Awaitable[Answer | None]]
    ) -> Answer | None:
        """Waits, because reads may lag behind the change that we look for, and looks.

        A refusal after an earlier unknown outcome is looked into as well: `already exists` may mean our own. When the
        engine stops us in the wait we look all the same, so that what was made is not lost with its id.
        """
        if error.may_have_happened:
            try:
                await self._wait_or_raise(attempt, error, give_up_at)
            except RemoteError:
                raise OutcomeUnknown(error) from error
            except Stopped:
                answer = await settled()
                if answer is None:
                    raise
                return answer
        return await settled()

    async def _wait_or_raise(self, attempt: int, error: RemoteError, give_up_at: float) -> None:
        wait_s = self._policy.wait_s(attempt, error, self._dice())
        if wait_s is None:
            raise error
        if self._clock() + wait_s > give_up_at:
            if error.retry_after_s is None:
                raise error
            raise self._too_long(f"{error}; the API asks to wait", error.retry_after_s, error.operation) from error
        await self._sleep(wait_s)

    async def _turn(self, request: Request, give_up_at: float) -> int:
        """Returns when the budget has a request for us: the number of its window. One after the other, first come first served.

        WaitTooLong, without a request, where our turn comes too late.
        """
        async with self._turns:
            while (wait_s := self._budget.take(self._clock())) > 0:
                if self._clock() + wait_s > give_up_at:
                    raise self._too_long("the API's budget of requests is used up", wait_s, request.operation)
                await self._sleep(wait_s)
            return self._budget.windows

    def _too_long(self, what: str, wait_s: float, operation: str) -> WaitTooLong:
        allowed = f"{self._patience_setting} allows {self._patience_s:.0f} s"
        told = what.removeprefix(f"{operation}: ")
        message = f"{told} for {wait_s:.0f} s more, {allowed}: raise it, or run `up` again then"
        return WaitTooLong(message, operation=operation, retry_after_s=wait_s)

    async def _send(self, request: Request, window: int) -> httpx.Response:
        """`window` is the budget's, in which our turn came."""
        told: Window | None = None
        try:
            response = await self._response(request)
            told = window_of(response.headers, self._wall_clock())
        finally:
            self._budget.landed(told, self._clock(), window)
        if response.status_code == 429:
            wait_s = retry_after_s(response)
            if wait_s is not None:
                self._budget.pause(wait_s, self._clock())
            raise Throttled(
                "too many requests", operation=request.operation, request_id=request_id(response), retry_after_s=wait_s
            )
        return response

    async def _response(self, request: Request) -> httpx.Response:
        timeout_s = request.timeout_s or ANSWER_TIMEOUT_S
        try:
            async with asyncio.timeout(timeout_s):
                return await self._exchange(request)
        except TimeoutError as exc:
            raise RemoteFault(f"no answer within {timeout_s:g} s", operation=request.operation) from exc
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as exc:
            where = httpx.URL(request.url)
            raise Unreachable(
                f"no connection to {where.host}:{where.port or where.scheme}; is it running?", operation=request.operation
            ) from exc
        except httpx.InvalidURL as exc:
            raise RemoteError("the endpoint is not a URL", operation=request.operation) from exc
        except httpx.HTTPError as exc:
            raise RemoteFault(f"the answer was lost ({type(exc).__name__})", operation=request.operation) from exc

    async def _exchange(self, request: Request) -> httpx.Response:
        """One request and its whole answer, read piece by piece so that an endless one is noticed."""
        pieces: list[bytes] = []
        size = 0
        async with self._client.stream(
            request.method,
            request.url,
            json=request.json,
            content=request.content,
            headers=dict(request.headers),
            params=dict(request.params) or None,
        ) as response:
            async for piece in response.aiter_bytes():
                size += len(piece)
                if size > BODY_BYTES_MAX:
                    raise RemoteFault(f"the answer is longer than {BODY_BYTES_MAX} bytes", operation=request.operation)
                pieces.append(piece)
        # The pieces are decoded already; the headers that spoke of their coding no longer hold.
        headers = [(name, value) for name, value in response.headers.multi_items() if name not in _CODING_HEADERS]
        return httpx.Response(response.status_code, headers=headers, content=b"".join(pieces))


def request_id(response: httpx.Response) -> str:
    """The id by which the API's own people can find this request, or an empty text."""
    return next((response.headers[name] for name in _REQUEST_ID_HEADERS if name in response.headers), "")


def retry_after_s(response: httpx.Response) -> float | None:
    """Retry-After (RFC 9110, section 10.2.3): seconds or a date, measured against the response's own Date header.

    A day at most: what says more is a mistake, and a number like any other to who waits for it.
    """
    text = response.headers.get("retry-after", "").strip()
    if not text:
        return None
    if text.isdecimal():
        return min(float(text[:20]), RETRY_AFTER_S_MAX)
    try:
        until = parsedate_to_datetime(text)
        now = parsedate_to_datetime(response.headers["date"])
        return min(max(0.0, (until - now).total_seconds()), RETRY_AFTER_S_MAX)
    except (KeyError, ValueError, TypeError):
        return None
