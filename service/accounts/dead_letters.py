"""`python -m service dead-letters [retry [NUMBER ...]]`: jobs that were given up, and another try for them.

What it prints is one line per job: number, kind, user, attempts, when it was given up and its last error. Nothing of the payload,
which holds names and addresses. Errors: DeadLettersFailed: the message is one line.
"""

from __future__ import annotations

import asyncpg  # type: ignore[import-untyped]

from service.database.pools import connect_arguments

LISTED_MAX = 1000

_LIST = f"""
SELECT id, kind, user_id, attempts, dead_at, last_error FROM cached_auth.outbox
 WHERE dead_at IS NOT NULL AND done_at IS NULL ORDER BY dead_at DESC LIMIT {LISTED_MAX}
"""  # noqa: S608 - a constant
_RETRY = """
WITH revived AS (
    UPDATE cached_auth.outbox SET dead_at = NULL, attempts = 0, run_at = now()
     WHERE dead_at IS NOT NULL AND done_at IS NULL AND ($1::bigint[] IS NULL OR id = ANY ($1)) RETURNING id
) SELECT id, pg_notify('cached_auth_outbox', '') FROM revived ORDER BY id
"""


class DeadLettersFailed(Exception):
    """The database could not be asked."""


async def listed(database_url: str) -> list[str]:
    """One line per job that was given up, the newest first. DeadLettersFailed."""
    rows = await _rows(database_url, _LIST)
    return [
        f"{row['id']}  {row['kind']}  {row['user_id']}  {row['attempts']} attempts  {row['dead_at']:%Y-%m-%d %H:%M:%SZ}  "
        f"{row['last_error']}"
        for row in rows
    ]


async def retried(database_url: str, numbers: list[int] | None) -> list[int]:
    """Gives these jobs (None: all that were given up) their attempts back; the numbers of those. DeadLettersFailed."""
    return [row["id"] for row in await _rows(database_url, _RETRY, numbers)]


async def _rows(database_url: str, statement: str, *arguments: object) -> list[asyncpg.Record]:
    try:
        connection = await asyncpg.connect(database_url, timeout=10.0, **connect_arguments(database_url))
        try:
            rows: list[asyncpg.Record] = await connection.fetch(statement, *arguments)
        finally:
            connection.terminate()
    except (OSError, TimeoutError, asyncpg.PostgresError) as exc:
        raise DeadLettersFailed(f"DATABASE_URL: cannot be asked: {type(exc).__name__}") from exc
    return rows
