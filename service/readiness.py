"""Should this replica get requests? Asks the real parts, all at once, each within its own time.

Redis is optional by design: without it the service is slower, not wrong, so it shows as degraded and the answer stays 200.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from service.cache.flights import Flights
from service.cache.redis_tier import RedisTier
from service.database.pools import Database
from service.errors import Unavailable
from service.revocation.feed import RevocationFeed
from service.tokens.jwks import Jwks

PROBE_TIMEOUT_S = 1.0
REPORT_DEADLINE_S = 3.0


@dataclass(frozen=True, slots=True)
class Report:
    is_ready: bool
    body: bytes


class Readiness:
    """`is_draining` is asked first: a replica that is about to end wants no more requests."""

    def __init__(
        self,
        *,
        jwks: Jwks,
        feed: RevocationFeed,
        database: Database,
        shared: RedisTier | None,
        staleness_max_s: float,
        is_draining: Callable[[], bool],
        release: str,
        region: str,
    ) -> None:
        self._jwks = jwks
        self._feed = feed
        self._database = database
        self._shared = shared
        self._staleness_max_s = staleness_max_s
        self._is_draining = is_draining
        self._probes: Flights[Report] = Flights(1, REPORT_DEADLINE_S)
        self._about = {"release": release, "region": region}

    async def report(self) -> Report:
        """One set of probes at a time, however many ask: whoever floods this reaches the database one question at a time."""
        return await self._probes.run("report", self._report)

    async def close(self) -> None:
        await self._probes.close()

    async def _report(self) -> Report:
        database, redis = await asyncio.gather(self._probe_database(), self._probe_redis())
        parts = {
            "process": "draining" if self._is_draining() else "ok",
            "jwks": "ok" if self._jwks.is_loaded else "not loaded",
            "revocation_feed": "ok" if self._feed.silent_s <= self._staleness_max_s else "silent",
            "database": database,
            "redis": redis,
        }
        is_ready = all(state == "ok" for part, state in parts.items() if part != "redis")
        is_degraded = is_ready and redis == "unreachable"
        status = ("degraded" if is_degraded else "ready") if is_ready else "not_ready"
        return Report(is_ready, msgspec.json.encode({"status": status, "parts": parts, **self._about}))

    async def _probe_database(self) -> str:
        try:
            await self._database.primary.fetch("SELECT 1", timeout_s=PROBE_TIMEOUT_S)
        except Unavailable:
            return "unreachable"
        return "ok"

    async def _probe_redis(self) -> str:
        if self._shared is None:
            return "not configured"
        return "ok" if await self._shared.ping() else "unreachable"
