"""Supabase's reads for Pulumi programs. Only the SDK is imported here."""

from __future__ import annotations

from typing import Any, cast

import pulumi


def get_connection_strings(
    *, project_ref: pulumi.Input[str], opts: pulumi.InvokeOptions | None = None
) -> pulumi.Output[dict[str, Any]]:
    """{"databases": [{"identifier", "databaseType", "host", "port", "user", "database", "poolMode", "connectionString"}]}"""
    answer = pulumi.runtime.invoke_output("supabase:index:getConnectionStrings", {"projectRef": project_ref}, opts)
    return cast("pulumi.Output[dict[str, Any]]", answer)
