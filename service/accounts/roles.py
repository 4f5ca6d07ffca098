"""`python -m service roles ...`: roles, their permissions, and who has them.

A command and no endpoint: whoever has the primary's credentials can write these rows anyway, and nobody else needs to. Each is
one statement on the primary, which replicas see as docs/service.md says. Errors: RolesFailed: the message is one line.
"""

from __future__ import annotations

import re

import asyncpg  # type: ignore[import-untyped]

from service.database.pools import connect_arguments
from service.tokens.parsing import UUID_PATTERN

NAME_PATTERN = "[a-z][a-z0-9_.:-]{0,63}"  # as in migrations/0009_roles.sql
LISTED_MAX = 1000

_name, _user = re.compile(NAME_PATTERN), re.compile(UUID_PATTERN)

_LIST = f"""
SELECT name, ARRAY(SELECT permission FROM cached_auth.role_permissions WHERE role = name ORDER BY permission) AS permissions
  FROM cached_auth.roles ORDER BY name LIMIT {LISTED_MAX}
"""  # noqa: S608 - a constant
_LIST_OF = "SELECT role, granted_at FROM cached_auth.user_roles WHERE user_id = $1 ORDER BY role"
# Both parts see the table as it was before: a permission that stays is in neither.
_DEFINE = """
WITH made AS (INSERT INTO cached_auth.roles (name) VALUES ($1) ON CONFLICT (name) DO NOTHING),
     gone AS (DELETE FROM cached_auth.role_permissions WHERE role = $1 AND permission <> ALL ($2::text[]))
INSERT INTO cached_auth.role_permissions (role, permission) SELECT DISTINCT $1, unnest($2::text[])
    ON CONFLICT DO NOTHING
"""
_DROP = "DELETE FROM cached_auth.roles WHERE name = $1 RETURNING name"
_GRANT = "INSERT INTO cached_auth.user_roles (user_id, role) VALUES ($1, $2) ON CONFLICT DO NOTHING"
_REVOKE = "DELETE FROM cached_auth.user_roles WHERE user_id = $1 AND role = $2 RETURNING role"


class RolesFailed(Exception):
    """It was not done."""


def is_usage(words: list[str]) -> bool:
    """True where these words after `roles` can be carried out: the right number, well-formed names and users."""
    match words:
        case [] | ["list"]:
            return True
        case ["list", user]:
            return _user.fullmatch(user) is not None
        case ["grant" | "revoke", user, role]:
            return _user.fullmatch(user) is not None and _name.fullmatch(role) is not None
        case ["drop", role]:
            return _name.fullmatch(role) is not None
        case ["define", role, *permissions]:
            return all(_name.fullmatch(name) for name in (role, *permissions))
    return False


async def carried_out(database_url: str, words: list[str]) -> list[str]:
    """What to print. `words`: such as `is_usage` takes. RolesFailed."""
    try:
        connection = await asyncpg.connect(database_url, timeout=10.0, **connect_arguments(database_url))
        try:
            return await _carry_out(connection, words)
        finally:
            connection.terminate()
    except asyncpg.ForeignKeyViolationError as exc:
        raise RolesFailed("there is no such role; `roles define ROLE` makes one") from exc
    except asyncpg.CheckViolationError as exc:
        raise RolesFailed(str(exc)) from exc
    except (OSError, TimeoutError, asyncpg.PostgresError) as exc:
        raise RolesFailed(f"DATABASE_URL: cannot be asked: {type(exc).__name__}") from exc


async def _carry_out(connection: asyncpg.Connection, words: list[str]) -> list[str]:
    match words:
        case ["list", user]:
            rows = await connection.fetch(_LIST_OF, user)
            return [f"{row['role']}  since {row['granted_at']:%Y-%m-%d %H:%M:%SZ}" for row in rows] or ["no role"]
        case ["define", role, *permissions]:
            await connection.execute(_DEFINE, role, permissions)
            return [f"{role} has {len(set(permissions))} permissions"]
        case ["drop", role]:
            rows = await connection.fetch(_DROP, role)
            return [f"{role} is no more" if rows else f"there was no role {role}"]
        case ["grant", user, role]:
            await connection.execute(_GRANT, user, role)
            return [f"{user} has {role}"]
        case ["revoke", user, role]:
            rows = await connection.fetch(_REVOKE, user, role)
            return [f"{user} has {role} no more" if rows else f"{user} did not have {role}"]
    rows = await connection.fetch(_LIST)
    return [f"{row['name']}  {' '.join(row['permissions']) or 'no permission'}" for row in rows] or ["there is no role"]
