"""What is learnt from a session that was handed out under /auth/v1, after the answer has gone: off its path, and bounded.

The log-in's jobs do not hang on this where the database has its own trigger (migrations/0008); elsewhere this makes them, and
the user's next log-in makes what a process that died in between could not.
"""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qs

import structlog

from service.metrics.counters import Counters
from service.web.auth_endpoints import AuthEndpoints

PATHS = frozenset({"/auth/v1/token", "/auth/v1/signup", "/auth/v1/verify"})
UNDER_WAY_MAX = 64
BODY_BYTES_MAX = 65_536
CLOSE_TIMEOUT_S = 1.0

log = structlog.get_logger("service.sign_ins")


class SignIns:
    """Give it whole answers; `close` waits a moment for what is under way."""

    def __init__(self, endpoints: AuthEndpoints, counters: Counters) -> None:
        self._endpoints = endpoints
        self._counters = counters
        self._tasks: set[asyncio.Task[None]] = set()

    def note_soon(self, status: int, body: bytes, query: bytes, asked_at: float) -> None:
        """asked_at: monotonic, from before the issuer was asked. More than UNDER_WAY_MAX are left to the next log-in."""
        if status != 200 or not body or len(body) > BODY_BYTES_MAX:
            return
        if len(self._tasks) >= UNDER_WAY_MAX:
            self._counters.follow_up_failures += 1
            return
        is_refresh = parse_qs(query.decode("latin-1")).get("grant_type") == ["refresh_token"]
        task = asyncio.create_task(self._note(body, asked_at, not is_refresh))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        tasks = list(self._tasks)
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_TIMEOUT_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _note(self, body: bytes, asked_at: float, is_new_session: bool) -> None:
        try:
            await self._endpoints.note_signed_in(body, asked_at, is_new_session=is_new_session)
        except Exception:
            # A bug of ours must show, and must not become an error that nobody awaits.
            self._counters.follow_up_failures += 1
            log.exception("sign_in_not_noted")
