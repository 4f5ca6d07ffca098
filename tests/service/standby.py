"""A real standby of a test's PostgreSQL whose replay a test can stop and let go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from loadtests.bench.standby import running_standby


@dataclass
class Pair:
    """A primary and its standby, whose replay is stopped."""

    primary_url: str
    standby_url: str
    primary: asyncpg.Connection
    standby: asyncpg.Connection

    async def position(self) -> int:
        return int(await self.primary.fetchval("SELECT (pg_current_wal_lsn() - '0/0')::bigint"))

    async def go_on(self) -> None:
        """Until the standby has replayed all that the primary has written."""
        await self.standby.execute("SELECT pg_wal_replay_resume()")
        position = await self.position()
        async with asyncio.timeout(20):
            while await self.standby.fetchval("SELECT pg_last_wal_replay_lsn() - '0/0' < $1", position):  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def stop(self) -> None:
        await self.standby.execute("SELECT pg_wal_replay_pause()")
        async with asyncio.timeout(20):
            while await self.standby.fetchval("SELECT pg_get_wal_replay_pause_state()") != "paused":  # noqa: ASYNC110
                await asyncio.sleep(0.01)


@asynccontextmanager
async def lagging_pair(primary_url: str) -> AsyncIterator[Pair]:
    """A standby that has all that the primary has now, and gets no further until it is let."""
    with running_standby(primary_url) as standby_url:
        primary, standby = await asyncpg.connect(primary_url), await asyncpg.connect(standby_url)
        pair = Pair(primary_url, standby_url, primary, standby)
        try:
            await pair.go_on()
            await pair.stop()
            yield pair
        finally:
            await primary.close()
            await standby.close()
