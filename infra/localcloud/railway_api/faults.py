"""Faults and limits of the GraphQL API, off until somebody switches them on: what Railway's clients meet in life.

The decision is pure (a seeded die per request, counted windows); only `LostAnswer` touches the connection.

    error    HTTP 200, "Problem processing request", data null, traceId at the top; nothing was done
    throttle HTTP 429 with Retry-After; for projectCreate HTTP 200 "You are creating projects too quickly"
    lost     the request is carried out, then the connection breaks within the answer
"""

from __future__ import annotations

import math
import random
import secrets
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

DELAY_MS_MAX = 60_000.0
LINGER_S_MAX = 86_400.0
RETRY_AFTER_S = 1
PRINCIPALS_MAX = 1000
PROBLEM = "Problem processing request"
CREATING_TOO_QUICKLY = "You are creating projects too quickly"


class GraphQLFaults(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rates from 0 to 1, together at most 1. `seed` makes the order of faults the same for the same order of requests."""

    error_rate: float = 0.0
    throttle_rate: float = 0.0
    lost_answer_rate: float = 0.0
    delay_ms: float = 0.0
    seed: int | None = None

    def __post_init__(self) -> None:
        rates = (self.error_rate, self.throttle_rate, self.lost_answer_rate)
        if not all(0.0 <= rate <= 1.0 for rate in rates) or sum(rates) > 1.0:
            raise ValueError("rates: expected 0 to 1 each and at most 1 together")
        if not 0.0 <= self.delay_ms <= DELAY_MS_MAX:
            raise ValueError(f"delay_ms: expected 0 to {DELAY_MS_MAX:g}")


class RateLimit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Requests that one token may send; None: as many as it likes. Windows are fixed, as X-RateLimit-Reset says."""

    requests_per_second: int | None = None
    requests_per_hour: int | None = None
    projects_per_minute: int | None = None

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            limit = getattr(self, name)
            if limit is not None and limit < 1:
                raise ValueError(f"{name}: expected 1 or more, or null for no limit")


class DeletionFaults(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is deleted stays to be seen this long at least, by the cloud's clock."""

    linger_s: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.linger_s <= LINGER_S_MAX:
            raise ValueError(f"linger_s: expected 0 to {LINGER_S_MAX:g}")


class FaultSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    graphql: GraphQLFaults = GraphQLFaults()
    rate_limit: RateLimit = RateLimit()
    deletions: DeletionFaults = DeletionFaults()


class Fault(StrEnum):
    ERROR = "error"
    THROTTLE = "throttle"
    LOST_ANSWER = "lost"


@dataclass(slots=True)
class Window:
    """A count since `started` (seconds of the caller's clock)."""

    length_s: float
    limit: int
    started: float
    count: int = 0

    def take(self, now: float) -> bool:
        """Whether one more fits."""
        if now - self.started >= self.length_s:
            self.started, self.count = now, 0
        self.count += 1
        return self.count <= self.limit

    def left_s(self, now: float) -> float:
        return max(0.0, self.started + self.length_s - now)


class Faults:
    """What is switched on, and how far its dice and counters are."""

    def __init__(self) -> None:
        self.settings = FaultSettings()
        self._dice = random.Random()  # noqa: S311 - decides which request fails, guards nothing
        self._windows: dict[str, list[Window]] = {}
        self._creations: dict[str, Window] = {}

    def set(self, settings: FaultSettings) -> None:
        """Replaces all of it; the dice and counters begin anew."""
        self.settings = settings
        self._dice = random.Random(settings.graphql.seed)  # noqa: S311 - as above
        self._windows, self._creations = {}, {}

    def next_fault(self) -> Fault | None:
        """One throw per request, so that the story of a seed depends on nothing but the order of requests."""
        rates = self.settings.graphql
        thrown = self._dice.random()
        for fault, rate in (
            (Fault.ERROR, rates.error_rate),
            (Fault.THROTTLE, rates.throttle_rate),
            (Fault.LOST_ANSWER, rates.lost_answer_rate),
        ):
            if thrown < rate:
                return fault
            thrown -= rate
        return None

    def limited(self, principal: str, is_creating_project: bool, now: float) -> Response | None:
        """The refusal where `principal` has sent too many; counts the request."""
        limits = self.settings.rate_limit
        if is_creating_project and limits.projects_per_minute is not None:
            self._bound()
            window = self._creations.setdefault(principal, Window(60.0, limits.projects_per_minute, now))
            if not window.take(now):
                return throttled(is_creating_project=True)
        taken = [(window.take(now), window.left_s(now)) for window in self._windows_of(principal, now)]
        waits = [left_s for fits, left_s in taken if not fits]
        return throttled(retry_after_s=math.ceil(max(waits)) or 1) if waits else None

    def headers(self, principal: str, now: float, wall_clock: float) -> dict[str, str]:
        """X-RateLimit-* of the longest window; none where there is no limit. Reset in seconds since the epoch."""
        windows = self._windows_of(principal, now)
        if not windows:
            return {}
        window = max(windows, key=lambda one: one.length_s)
        return {
            "X-RateLimit-Limit": str(window.limit),
            "X-RateLimit-Remaining": str(max(0, window.limit - window.count)),
            "X-RateLimit-Reset": str(math.ceil(wall_clock + window.left_s(now))),
        }

    def _windows_of(self, principal: str, now: float) -> list[Window]:
        limits = self.settings.rate_limit
        bounds = ((1.0, limits.requests_per_second), (3600.0, limits.requests_per_hour))
        wanted = [(length_s, limit) for length_s, limit in bounds if limit is not None]
        if not wanted:
            return []
        self._bound()
        return self._windows.setdefault(principal, [Window(length_s, limit, now) for length_s, limit in wanted])

    def _bound(self) -> None:
        """Tokens can be made without end; counters of the oldest are forgotten."""
        for table in (self._windows, self._creations):
            while len(table) >= PRINCIPALS_MAX:
                del table[next(iter(table))]


def problem() -> Response:
    trace_id = secrets.token_hex(8)
    error = {"message": PROBLEM, "traceId": trace_id, "extensions": {"code": "INTERNAL_SERVER_ERROR"}}
    return JSONResponse({"errors": [error], "data": None, "traceId": trace_id})


def throttled(*, is_creating_project: bool = False, retry_after_s: int = RETRY_AFTER_S) -> Response:
    if is_creating_project:
        return JSONResponse({"errors": [_internal(CREATING_TOO_QUICKLY)], "data": None})
    return JSONResponse({"errors": [_internal("Too Many Requests")]}, 429, {"Retry-After": str(retry_after_s)})


def _internal(message: str) -> dict[str, Any]:
    return {"message": message, "extensions": {"code": "INTERNAL_SERVER_ERROR"}}


class LostAnswer(Response):
    """Promises more than it sends and stops: the server closes the connection, and the client cannot tell what happened."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-length", b"100")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"{", "more_body": True})
