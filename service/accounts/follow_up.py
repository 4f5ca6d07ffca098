"""One statement after a log-in: the profile if it is missing, and the jobs that have never been made for this user.

Only where the database does not do it by itself (migrations/0008), which the revocation feed tells. It is one round trip to the
primary, and a log-in does not depend on it: where the primary is away, the log-in is answered, the failure is counted, and the
next log-in makes what is missing.
"""

from __future__ import annotations

import asyncpg  # type: ignore[import-untyped]
import msgspec
import structlog

from service.database.pools import Database
from service.errors import Unavailable
from service.metrics.counters import Counters

# A log-in's whole budget is 200 ms; a primary slower than this is treated as away.
TIMEOUT_S = 0.5
CHANNEL = "cached_auth_outbox"

# The profile first and the jobs by name, as the trigger has it: whoever makes the same rows meanwhile is waited for, and two that
# went in opposite orders would wait for each other. Without the look before it, each log-in would use up three numbers and a
# transaction to insert nothing.
_FOLLOW_UP = """
WITH profile AS (
    INSERT INTO cached_auth.profiles (id, email, display_name)
    SELECT $1::uuid, $2::text, $3::text WHERE NOT EXISTS (SELECT FROM cached_auth.profiles WHERE id = $1::uuid)
        ON CONFLICT (id) DO NOTHING RETURNING id
), jobs AS (
    INSERT INTO cached_auth.outbox (user_id, kind, payload)
    SELECT $1::uuid, kinds.kind, jsonb_build_object('email', $2::text, 'display_name', $3::text)
      FROM (SELECT count(*) FROM profile) AS first,
           unnest(ARRAY['default_preferences', 'storage_folders', 'welcome_mail']) AS kinds (kind)
     WHERE NOT EXISTS (SELECT FROM cached_auth.outbox AS made WHERE made.user_id = $1::uuid AND made.kind = kinds.kind)
        ON CONFLICT (user_id, kind) DO NOTHING RETURNING id
)
SELECT count(*) AS made, CASE WHEN count(*) > 0 THEN pg_notify('cached_auth_outbox', '') END FROM jobs
"""

log = structlog.get_logger("service.accounts")


class SignedInUser(msgspec.Struct, frozen=True):
    """What we read of the user in a token response."""

    id: str
    email: str | None = ""
    user_metadata: dict[str, object] | None = None

    @property
    def display_name(self) -> str | None:
        name = (self.user_metadata or {}).get("display_name")
        return name[:200] if isinstance(name, str) else None


async def follow_up(database: Database, counters: Counters, user: SignedInUser) -> bool:
    """True where there is work for the worker now. Never raises for a primary that is away."""
    try:
        rows = await database.write(_FOLLOW_UP, user.id, user.email or None, user.display_name, timeout_s=TIMEOUT_S)
    except (Unavailable, asyncpg.PostgresError) as fault:
        counters.follow_up_failures += 1
        log.warning("login_follow_up_failed", reason=type(fault).__name__)
        return False
    return bool(rows[0]["made"])
