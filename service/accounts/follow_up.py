"""One statement after each log-in: the profile if it is missing, and the jobs that have never been made for this user.

It is one round trip to the primary, and a log-in does not depend on it: where the primary is away, the log-in is answered,
the failure is counted, and the next log-in makes what is missing.
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

_FOLLOW_UP = """
WITH profile AS (
    INSERT INTO cached_auth.profiles (id, email, display_name) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING
), jobs AS (
    INSERT INTO cached_auth.outbox (user_id, kind, payload)
    SELECT $1, kind, jsonb_build_object('email', $2::text, 'display_name', $3::text)
      FROM unnest(ARRAY['welcome_mail', 'default_preferences', 'storage_folders']) AS kind
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
    """True where the primary took it. Never raises for a primary that is away."""
    try:
        await database.write(_FOLLOW_UP, user.id, user.email or None, user.display_name, timeout_s=TIMEOUT_S)
    except (Unavailable, asyncpg.PostgresError) as fault:
        counters.follow_up_failures += 1
        log.warning("login_follow_up_failed", reason=type(fault).__name__)
        return False
    return True
