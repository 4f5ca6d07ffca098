"""Where a client opens a session to one of a project's databases.

The direct host of a Supabase database has an IPv6 address only, which Railway's services do not reach unless that is asked
for. Its pooler has both; its session mode (port 5432) keeps what a session needs: LISTEN, prepared statements, advisory
locks. Supabase's Management API tells host and user in the connection string of each database: the user names the database
there (`postgres.<identifier>`), which `db_user` does not always do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_CONNECTION = re.compile(r"postgres(?:ql)?://(?P<user>[^:@/]+)(?::[^@]*)?@(?P<host>[^:/@]+)")


@dataclass(frozen=True, slots=True)
class Session:
    host: str
    user: str


def session_of(entry: Mapping[str, Any]) -> Session:
    """From one entry of `config/database/pooler`."""
    found = _CONNECTION.match(str(entry.get("connection_string") or ""))
    if found:
        return Session(found["host"], found["user"])
    return Session(str(entry["db_host"]), str(entry.get("db_user") or "postgres"))
