"""Two pools: the primary for what must be true, the nearest replica for what may be a moment old.

A pool never keeps the service from starting: connections are made when first wanted, and a database that is away shows as
Unavailable on the request that needed it and as `not ready` in /health/ready.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import structlog

from service.addresses import is_loopback, options_of
from service.breaker import Breaker
from service.clocks import Clock
from service.errors import Unavailable
from service.metrics.counters import Counters
from service.settings import Settings
from service.tracing.tracer import asking

STATEMENT_TIMEOUT_S = 5.0
CONNECT_TIMEOUT_S = 3.0
IDLE_S_MAX = 600.0
# A connection that was idle this long is asked first whether it still lives: after a failover a pool is full of dead ones.
CHECK_AFTER_S = 5.0
CHECK_TIMEOUT_S = 0.5
FAILURES_MAX = 3
PAUSE_S = 2.0

log = structlog.get_logger("service.database")

# What a lost, full or refusing database looks like from here. Other SQL errors are bugs of ours and stay what they are.
_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ReadOnlySQLTransactionError,
)


def connect_arguments(url: str) -> dict[str, Any]:
    """What every connection to `url` has in common. TLS is asked of every server that is not on this machine, unless `url` says
    what to ask."""
    arguments: dict[str, Any] = {
        "server_settings": {"application_name": "cached-auth", "statement_timeout": str(int(STATEMENT_TIMEOUT_S * 1000))}
    }
    if "sslmode" not in options_of(url):
        arguments["ssl"] = False if is_loopback(url) else "require"
    return arguments


async def _keep_session(_connection: object) -> None:
    """asyncpg would reset the session on every release: a round trip for nothing, as no statement here leaves anything behind."""


async def _answers(connection: Any) -> bool:
    """True where the connection was in use just now, or says so when asked."""
    if time.monotonic() - connection.used_at < CHECK_AFTER_S:
        return True
    try:
        await connection.fetchval("SELECT 1", timeout=CHECK_TIMEOUT_S)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False
    return True


async def _rows(connection: Any, statement: str, arguments: tuple[object, ...]) -> list[asyncpg.Record]:
    try:
        rows: list[asyncpg.Record] = await connection.fetch(statement, *arguments)
    except asyncio.CancelledError:
        # asyncpg would ask the server to cancel the statement, over a connection of its own, and wait for that as long again: a
        # server that does not answer would cost twice what it may. The statement ends by its own time-out.
        connection.terminate()
        raise
    return rows


class _Connection(asyncpg.Connection):  # type: ignore[misc]
    """asyncpg's, with its age."""

    __slots__ = ("born_at", "used_at")

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.born_at = self.used_at = time.monotonic()

    def touch(self) -> float:
        """Notes that it was used just now; its age in seconds."""
        self.used_at = time.monotonic()
        return self.used_at - self.born_at


class Pool:
    """One server's connections, opened on demand, checked after idling, closed when old, with a breaker in front."""

    def __init__(self, name: str, url: str, settings: Settings, clock: Clock, counters: Counters) -> None:
        self.name = name
        self._url = url
        self._warm = settings.pool_size_min
        self._size_max = settings.pool_size_max
        self._timeout_s = settings.pool_timeout_s
        self._recycle_s = settings.pool_recycle_s
        self._clock = clock
        self._counters = counters
        self._breaker = Breaker(FAILURES_MAX, PAUSE_S, clock.monotonic)
        self._pool: asyncpg.Pool | None = None

    async def open(self) -> None:
        self._pool = await asyncpg.create_pool(
            self._url,
            min_size=0,
            max_size=self._size_max,
            max_inactive_connection_lifetime=IDLE_S_MAX,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=STATEMENT_TIMEOUT_S,
            reset=_keep_session,
            connection_class=_Connection,
            **connect_arguments(self._url),
        )

    async def warm(self) -> None:
        """Opens the first POOL_SIZE_MIN connections, so that no request waits for a handshake. A failure is only logged."""
        results = await asyncio.gather(*(self.fetch("SELECT pg_sleep(0.01)") for _ in range(self._warm)), return_exceptions=True)
        failed = [result for result in results if isinstance(result, BaseException)]
        if failed:
            log.warning("database_pool_cold", pool=self.name, reason=str(failed[0]))

    async def fetch(self, statement: str, *arguments: object, timeout_s: float = STATEMENT_TIMEOUT_S) -> list[asyncpg.Record]:
        """All rows. Unavailable where the server is away, full, or slower than `timeout_s`."""
        if self._pool is None or self._breaker.is_open:
            raise Unavailable("database", f"the {self.name} database is not reachable")
        began = self._clock.monotonic()
        try:
            async with asyncio.timeout(timeout_s):
                with asking(f"database {self.name}"):
                    async with self._connection(timeout_s) as connection:
                        rows = await _rows(connection, statement, arguments)
        except _AWAY as exc:
            self._breaker.failed()
            self._counters.database_failures += 1
            raise Unavailable("database", f"the {self.name} database does not answer") from exc
        self._breaker.succeeded()
        self._counters.database_latency.observe(self._clock.monotonic() - began)
        return rows

    @asynccontextmanager
    async def _connection(self, timeout_s: float) -> AsyncIterator[_Connection]:
        """A connection that answers. A dead one is closed and the next one taken: each costs the pool a place less to try."""
        assert self._pool is not None
        for _ in range(self._size_max + 1):
            async with self._pool.acquire(timeout=min(self._timeout_s, timeout_s)) as connection:
                if not await _answers(connection):
                    connection.terminate()  # given back closed, so its place is opened anew
                    continue
                yield connection
                if connection.touch() > self._recycle_s:
                    connection.terminate()
                return
        raise TimeoutError

    @property
    def connections(self) -> tuple[int, int]:
        """(open, idle) connections."""
        return (0, 0) if self._pool is None else (self._pool.get_size(), self._pool.get_idle_size())

    @property
    def is_given_up(self) -> bool:
        """The breaker is open: nobody waits for this server at the moment."""
        return self._breaker.is_tripped

    async def close(self) -> None:
        if self._pool is not None:
            self._pool.terminate()


class Database:
    """The primary, and the replica next to us (the primary again where there is none)."""

    def __init__(self, settings: Settings, clock: Clock, counters: Counters) -> None:
        primary_url = settings.database_url.get_secret_value()
        self.primary = Pool("primary", primary_url, settings, clock, counters)
        self.replica = self.primary
        if settings.database_replica_url is not None and settings.database_replica_url.get_secret_value() != primary_url:
            self.replica = Pool("replica", settings.database_replica_url.get_secret_value(), settings, clock, counters)

    @property
    def pools(self) -> tuple[Pool, ...]:
        return (self.primary,) if self.replica is self.primary else (self.primary, self.replica)

    async def open(self) -> None:
        for pool in self.pools:
            await pool.open()

    async def warm(self) -> None:
        await asyncio.gather(*(pool.warm() for pool in self.pools))

    async def write(self, statement: str, *arguments: object, timeout_s: float = STATEMENT_TIMEOUT_S) -> list[asyncpg.Record]:
        """On the primary. Unavailable."""
        return await self.primary.fetch(statement, *arguments, timeout_s=timeout_s)

    async def close(self) -> None:
        for pool in self.pools:
            await pool.close()
