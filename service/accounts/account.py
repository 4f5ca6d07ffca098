"""What /me adds to the issuer's user: profile, roles and permissions, in one statement, read next door where that is safe.

Neither a role that was taken away nor a name that the user has just changed may be seen for as long as a replica happens to lag.
So the caller says how far the primary's log had come (`position`, accounts/positions.py), and a replica that has not replayed it
so far answers nothing; then the primary is asked, as it is for a user whom the replica does not know. Where the primary is away
too, the profile may be as old as it likes, but nobody has a role: deny by default. Nothing of this is kept beyond the request.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import asyncpg  # type: ignore[import-untyped]
import msgspec

from service.accounts.positions import FAR, Positions
from service.database.pools import Database
from service.errors import Unavailable

TIMEOUT_S = 0.25
WRITE_TIMEOUT_S = 0.5

_COLUMNS = "id, email, display_name, created_at, roles, permissions"
_SELECT = f"SELECT {_COLUMNS} FROM cached_auth.accounts WHERE id = $1"  # noqa: S608 - a constant
_SELECT_AT = f"SELECT {_COLUMNS} FROM cached_auth.account_at($1, $2)"  # noqa: S608 - a constant
_RENAME = """
UPDATE cached_auth.profiles SET display_name = $2, updated_at = now() WHERE id = $1 AND is_active
RETURNING id, email, display_name, created_at
"""
# Asked after the commit, since no statement knows where its own commit will stand in the log.
_POSITION = "SELECT (pg_current_wal_lsn() - '0/0')::bigint AS position"

# A replica that has not replayed this release's migration yet. On the primary the same would be our bug.
_NOT_MIGRATED = (asyncpg.UndefinedFunctionError, asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError)


@dataclass(frozen=True, slots=True)
class Account:
    """profile_json: null where there is no (active) profile. roles, permissions: sorted, at most 16 and 1,024.

    is_old: the profile may be of any age, and roles are not known.
    """

    profile_json: bytes = b"null"
    roles: tuple[str, ...] = ()
    permissions: tuple[str, ...] = ()
    is_old: bool = False


async def read_account(database: Database, user_id: str, position: int | None) -> Account:
    """position: what a replica must have replayed; None where that is not known. Unavailable if no database answers."""
    if database.replica is database.primary:
        return _account(await database.primary.fetch(_SELECT, user_id, timeout_s=TIMEOUT_S))
    if position is not None:
        try:
            rows = await database.replica.fetch(_SELECT_AT, user_id, position, timeout_s=TIMEOUT_S)
        except (Unavailable, *_NOT_MIGRATED):
            rows = []
        if rows:
            return _account(rows)
    try:
        return _account(await database.primary.fetch(_SELECT, user_id, timeout_s=TIMEOUT_S))
    except Unavailable:
        return await _old_account(database, user_id)


async def rename(database: Database, positions: Positions, user_id: str, display_name: str | None) -> bytes | None:
    """The changed profile as JSON, None where there is no active one. Noted before this returns. Unavailable."""
    rows = await database.write(_RENAME, user_id, display_name, timeout_s=WRITE_TIMEOUT_S)
    if not rows:
        return None
    if database.replica is not database.primary:
        await positions.wrote(user_id, await _position(database))
    return _profile_json(rows[0])


async def _position(database: Database) -> int:
    try:
        rows = await database.write(_POSITION, timeout_s=TIMEOUT_S)
    except Unavailable:
        return FAR
    return int(rows[0]["position"])


async def _old_account(database: Database, user_id: str) -> Account:
    try:
        rows = await database.replica.fetch(_SELECT, user_id, timeout_s=TIMEOUT_S)
    except _NOT_MIGRATED as exc:
        raise Unavailable("database", "the replica database is behind") from exc
    return replace(_account(rows), roles=(), permissions=(), is_old=True)


def _account(rows: list[asyncpg.Record]) -> Account:
    if not rows:
        return Account()
    row = rows[0]
    return Account(_profile_json(row), tuple(row["roles"]), tuple(row["permissions"]))


def _profile_json(row: asyncpg.Record) -> bytes:
    shown = {"id": str(row["id"]), **{name: row[name] for name in ("email", "display_name", "created_at")}}
    return msgspec.json.encode(shown)
