"""Reads for programs: how to connect to a project's databases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.provider.definition import Call
from infra.provider.errors import NotFound
from infra.provider.fields import Field
from infra.provider.functions import Read, by_token
from infra.supabase.client import SupabaseClient
from infra.supabase.names import REF


async def connection_strings(call: Call[SupabaseClient], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """As the pooler has them, the primary first. None holds a password: where one belongs stands [YOUR-PASSWORD]."""
    ref = arguments["projectRef"]
    entries = await call.client.get_or_none("list databases", f"/v1/projects/{ref}/config/database/pooler")
    if entries is None:
        raise NotFound(f"getConnectionStrings/project_ref: there is no project {ref}")
    databases = [
        {
            "identifier": each["identifier"],
            "databaseType": each["database_type"],
            "host": each.get("db_host") or "",
            "port": each.get("db_port") or 5432,
            "user": each.get("db_user") or "postgres",
            "database": each.get("db_name") or "postgres",
            "poolMode": each.get("pool_mode") or "",
            "connectionString": each.get("connection_string") or "",
        }
        for each in entries
    ]
    return {"databases": sorted(databases, key=lambda each: (each["databaseType"] != "PRIMARY", str(each["identifier"])))}


READS = by_token(Read("supabase:index:getConnectionStrings", (Field("projectRef", REF, is_required=True),), connection_strings))
