"""The profile that /me adds to the user: read next door, and from the primary where the replica has not got it yet.

Profiles are only ever inserted (by the log-in's follow-up), so "not found at the replica" is the one way in which a replica
can be behind what this user last wrote; no LSN needs to be carried around for that.
"""

from __future__ import annotations

import msgspec

from service.database.pools import Database
from service.errors import Unavailable

TIMEOUT_S = 0.25

_SELECT = "SELECT id, email, display_name, created_at FROM cached_auth.profiles WHERE id = $1 AND is_active"


async def read_profile(database: Database, user_id: str) -> bytes | None:
    """The profile as JSON, None if there is none. Unavailable if no database answers."""
    try:
        rows = await database.replica.fetch(_SELECT, user_id, timeout_s=TIMEOUT_S)
    except Unavailable:
        if database.replica is database.primary:
            raise
        rows = []
    if not rows and database.replica is not database.primary:
        rows = await database.primary.fetch(_SELECT, user_id, timeout_s=TIMEOUT_S)
    return msgspec.json.encode({name: value if name != "id" else str(value) for name, value in rows[0].items()}) if rows else None
