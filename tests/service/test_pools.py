"""The pools on a real PostgreSQL: dead connections are found out before they are used, old ones are closed, waits are bounded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from service.clocks import Clock
from service.database.pools import Database, Pool
from service.errors import Unavailable
from service.metrics.counters import Counters
from tests.service.conftest import settings_with

pytestmark = pytest.mark.anyio

PID = "SELECT pg_backend_pid() AS pid"


@pytest.fixture
async def pool(empty_database: str, anyio_backend: str) -> AsyncIterator[Pool]:
    database = Database(settings_with(DATABASE_URL=empty_database, POOL_SIZE_MAX="2"), Clock(), Counters())
    await database.open()
    yield database.primary
    await database.close()


async def pid_of(pool: Pool) -> int:
    (row,) = await pool.fetch(PID)
    return int(row["pid"])


async def test_connections_that_died_while_idle_are_not_used(pool: Pool, empty_database: str, monkeypatch: pytest.MonkeyPatch):
    """As after a failover of the primary: the first request afterwards must not pay for it."""
    first = await asyncio.gather(*(pool.fetch(f"{PID}, pg_sleep(0.05)") for _ in range(2)))
    admin = await asyncpg.connect(empty_database)
    for rows in first:
        await admin.execute("SELECT pg_terminate_backend($1, 5000)", rows[0]["pid"])
    await admin.close()
    monkeypatch.setattr("service.database.pools.CHECK_AFTER_S", 0.0)
    assert await pid_of(pool) not in {rows[0]["pid"] for rows in first}


async def test_connection_is_used_again_until_it_is_old(pool: Pool, monkeypatch: pytest.MonkeyPatch):
    first = await pid_of(pool)
    assert await pid_of(pool) == first
    monkeypatch.setattr(pool, "_recycle_s", 0.0)
    assert await pid_of(pool) == first, "closed after its use, not before"
    assert await pid_of(pool) != first


async def test_argument_that_no_server_can_take_is_no_sign_of_one_that_is_away(pool: Pool):
    """Three such in a row would have every request of every user refused for two seconds."""
    for _ in range(4):
        with pytest.raises(asyncpg.DataError):
            await pool.fetch("SELECT $1::text", "\ud800")
    assert not pool.is_given_up


async def test_wait_for_a_connection_is_bounded(pool: Pool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pool, "_timeout_s", 0.05)
    busy = [asyncio.create_task(pool.fetch("SELECT pg_sleep(0.5)")) for _ in range(2)]
    while pool.connections != (2, 0):  # noqa: ASYNC110 - the server's doing
        await asyncio.sleep(0.001)
    with pytest.raises(Unavailable):
        await pool.fetch("SELECT 1")
    await asyncio.gather(*busy)
