"""World objects as the Management API shows them."""

from __future__ import annotations

from typing import Any

from infra.localcloud.world.model import ReadReplica, SupabaseProject

View = dict[str, Any]
ENGINE = "18"


def project_view(found: SupabaseProject) -> View:
    return {
        "id": found.ref,
        "ref": found.ref,
        "organization_id": found.organization_id,
        "name": found.name,
        "region": found.region,
        "created_at": found.created_at,
        "status": found.status,
        "database": {
            "host": found.address,
            "version": f"{ENGINE}.0",
            "postgres_engine": ENGINE,
            "release_channel": "ga",
        },
    }


def created_view(found: SupabaseProject) -> View:
    return {name: value for name, value in project_view(found).items() if name != "database"}


def api_keys_view(found: SupabaseProject, *, is_revealed: bool) -> list[View]:
    keys = {"anon": found.anon_key, "service_role": found.service_role_key}
    return [{"name": name, "type": "legacy", "api_key": key if is_revealed else None} for name, key in keys.items()]


def pooler_view(found: SupabaseProject) -> list[View]:
    """One entry per database; a read replica appears once it can be connected to."""
    ready = [replica for replica in found.replicas if replica.is_ready]
    return [
        _pooler_entry(found.ref, "PRIMARY", found.address),
        *(_pooler_entry(replica.identifier, "READ_REPLICA", replica.address) for replica in ready),
    ]


def _pooler_entry(identifier: str, database_type: str, address: str) -> View:
    return {
        "identifier": identifier,
        "database_type": database_type,
        "db_user": "postgres",
        "db_host": address,
        "db_port": 5432,
        "db_name": "postgres",
        "connection_string": f"postgresql://postgres:[YOUR-PASSWORD]@{address}:5432/postgres",
        "pool_mode": "session",
        "default_pool_size": None,
        "max_client_conn": None,
        "is_using_scram_auth": True,
    }


def replica_view(found: ReadReplica) -> View:
    return {"identifier": found.identifier, "region": found.region, "address": found.address, "is_ready": found.is_ready}
