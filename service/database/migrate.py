"""`python -m service migrate`: dbmate over service/migrations, one runner at a time in the whole stack.

Every cell runs its migrations before its replicas start, so several runners meet. An advisory lock lets one through; the
others *poll* for it: a session that blocks in pg_advisory_lock holds a snapshot, and CREATE INDEX CONCURRENTLY in the
runner would wait for that snapshot for ever.

Errors: MigrationFailed: the message is one line.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg  # type: ignore[import-untyped]

from service.addresses import is_loopback
from service.database.pools import connect_arguments

MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"
LOCK_NUMBER = 0x6361_6368_6564  # "cached", as good a number as any; every version of the service must use the same
LOCK_WAIT_S = 240.0
RUN_TIMEOUT_S = 240.0
# A new trigger takes a lock on Auth's table, and whoever waits for one keeps all that come later waiting too: every log-in.
TABLE_LOCK_WAIT_S = 2.0
TABLE_LOCK_TRIES = 5
TABLE_LOCK_PAUSE_S = 1.0


class MigrationFailed(Exception):
    """The database is not at the version that this release needs."""


def dbmate_url(url: str) -> str:
    """`url` with TLS off on loopback, where no server has it, and asked for elsewhere: dbmate's driver must be told."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    if not parts.hostname and "host" in query:
        query["socket"] = query.pop("host")  # dbmate's name for the directory of a Unix socket
    query.setdefault("sslmode", "disable" if is_loopback(url) else "require")
    return urlunsplit(parts._replace(scheme="postgres", query=urlencode(query)))


async def migrate(database_url: str) -> str:
    """Brings the database to this release's version; what dbmate said. MigrationFailed."""
    try:
        connection: asyncpg.Connection = await asyncpg.connect(database_url, timeout=30.0, **_without_timeout(database_url))
    except (OSError, TimeoutError, asyncpg.PostgresError) as exc:
        raise MigrationFailed(f"DATABASE_URL: cannot connect: {type(exc).__name__}") from exc
    try:
        await _take_lock(connection)
        said = await asyncio.to_thread(_run_dbmate, database_url)
        return f"{said}\nwatching: {await _watch_auth(connection)}"
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as exc:
        reason = str(exc).partition("\n")[0]
        raise MigrationFailed(f"the database refused, or went away: {type(exc).__name__}: {reason}") from exc
    finally:
        connection.terminate()  # the lock goes with the session


async def _watch_auth(connection: asyncpg.Connection) -> str:
    """What is watched of Auth's tables. MigrationFailed where somebody else holds them all the while."""
    for attempt in range(TABLE_LOCK_TRIES):
        if attempt:
            await asyncio.sleep(TABLE_LOCK_PAUSE_S)
        try:
            return str(await connection.fetchval("SELECT cached_auth.watch_auth()"))
        except asyncpg.LockNotAvailableError:
            continue
    raise MigrationFailed(
        f"auth.sessions and auth.users cannot be watched: other transactions held one of them whenever we asked, "
        f"{TABLE_LOCK_TRIES} times for {TABLE_LOCK_WAIT_S:g} s; see pg_locks, then try again"
    )


async def _take_lock(connection: asyncpg.Connection) -> None:
    try:
        async with asyncio.timeout(LOCK_WAIT_S):
            # Nothing tells us when the lock comes free without waiting for it inside the server.
            while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK_NUMBER):  # noqa: ASYNC110
                await asyncio.sleep(0.2)
    except TimeoutError as exc:
        raise MigrationFailed(
            f"another migration has held the lock for {LOCK_WAIT_S:.0f} s; see pg_locks, then try again"
        ) from exc


def _run_dbmate(database_url: str) -> str:
    # The URL goes by the environment: arguments are everybody's to read in the process list.
    environment = {"PATH": os.environ.get("PATH", ""), "DATABASE_URL": dbmate_url(database_url)}
    command = [
        _find_dbmate(),
        "--no-dump-schema",
        "--migrations-table",
        "cached_auth.schema_migrations",
        "--migrations-dir",
        ".",
        "migrate",
    ]
    try:
        done = subprocess.run(
            command, cwd=MIGRATIONS, env=environment, capture_output=True, text=True, timeout=RUN_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as exc:
        raise MigrationFailed(f"dbmate was not done after {RUN_TIMEOUT_S:.0f} s") from exc
    if done.returncode != 0:
        raise MigrationFailed((done.stderr or done.stdout).strip().replace(environment["DATABASE_URL"], "[secret]"))
    return done.stdout.strip()


def _find_dbmate() -> str:
    beside = Path(sys.executable).parent / "dbmate"
    found = str(beside) if beside.exists() else shutil.which("dbmate")
    if found is None:
        raise MigrationFailed("dbmate is not installed; it comes with service/requirements.lock")
    return found


def _without_timeout(url: str) -> dict[str, object]:
    settings = {"application_name": "cached-auth-migrate", "lock_timeout": f"{TABLE_LOCK_WAIT_S * 1000:.0f}"}
    return {**connect_arguments(url), "server_settings": settings}
