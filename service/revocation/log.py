"""Writing the revocation log, in the primary. One statement each; the table's trigger tells every listener."""

from __future__ import annotations

from typing import Literal

import asyncpg  # type: ignore[import-untyped]

from service.database.pools import Database
from service.revocation.records import Revocation

Scope = Literal["local", "global", "others"]

_LIVES_S = "extract(epoch FROM expires_at - clock_timestamp())::float8 AS lives_s"
_COLUMNS = f"sequence, kind, subject, watermark_iat, except_session, {_LIVES_S}"

_WRITE_LOCAL = f"INSERT INTO cached_auth.revocations (kind, subject) VALUES ('session', $1) RETURNING {_COLUMNS}"  # noqa: S608
_WRITE_GLOBAL = f"INSERT INTO cached_auth.revocations (kind, subject) VALUES ('user', $2), ('session', $1) RETURNING {_COLUMNS}"  # noqa: S608
_WRITE_OTHERS = (
    f"INSERT INTO cached_auth.revocations (kind, subject, except_session) VALUES ('user', $2, $1) RETURNING {_COLUMNS}"  # noqa: S608
)
_REVOKE = f"SELECT {_COLUMNS} FROM cached_auth.revoke($1, $2)"  # noqa: S608
# These stand against tokens whose sessions live on, for as long as one can be remembered (TOKEN_LIFE_MAX_S and a minute).
_REVOKE_TOKENS = f"""
INSERT INTO cached_auth.revocations (kind, subject, watermark_iat, expires_at)
VALUES ($1, $2, $3, clock_timestamp() + interval '24 hours 1 minute') RETURNING {_COLUMNS}
"""  # noqa: S608
_PRUNE = """
DELETE FROM cached_auth.revocations WHERE sequence IN
       (SELECT sequence FROM cached_auth.revocations WHERE expires_at < now() - interval '1 hour' LIMIT 10000)
"""


async def write_logout(database: Database, scope: Scope, user_id: str, session_id: str) -> list[Revocation]:
    """Logs a log-out. Unavailable if the primary does not take it."""
    if scope == "local":
        rows = await database.write(_WRITE_LOCAL, session_id)
    else:
        rows = await database.write(_WRITE_GLOBAL if scope == "global" else _WRITE_OTHERS, session_id, user_id)
    return [as_revocation(row) for row in rows]


async def write_revocation(database: Database, kind: Literal["session", "user"], subject: str) -> Revocation:
    """Logs an administrator's revocation and ends the sessions at the issuer, in one transaction. Unavailable."""
    rows = await database.write(_REVOKE, kind, subject)
    return as_revocation(rows[0])


async def write_token_revocation(
    database: Database, kind: Literal["key", "everyone"], subject: str, watermark_iat: int
) -> Revocation:
    """Logs that a key's tokens, or everyone's up to a watermark, count no more. Sessions live on. Unavailable."""
    rows = await database.write(_REVOKE_TOKENS, kind, subject, watermark_iat)
    return as_revocation(rows[0])


async def prune(database: Database) -> None:
    """Deletes lines that no process can need any more, a bounded number at a time."""
    await database.write(_PRUNE)


def as_revocation(row: asyncpg.Record) -> Revocation:
    return Revocation(
        sequence=row["sequence"],
        kind=row["kind"],
        subject=row["subject"],
        watermark_iat=float(row["watermark_iat"]),
        lives_s=row["lives_s"],
        except_session=row["except_session"],
    )
