"""/_local/databases/...: promotion, backups and restores by readable names. All of it needs the account's token."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from infra.localcloud.local_requests import asked
from infra.localcloud.plane.interface import Backup
from infra.localcloud.process_names import key_of, process_names
from infra.localcloud.railway_api.call import Cloud
from infra.localcloud.world.errors import BadInput


class DatabaseRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`name` as `status` has it, or enough of its words; `at` (a restore's moment) in RFC 3339 with an offset."""

    name: str
    at: datetime | None = None


async def _asked(request: Request, cloud: Cloud, role: str) -> tuple[DatabaseRequest, str, str | None]:
    """The request, the project's ref, and the identifier where it is a standby. BadInput."""
    wanted = await asked(request, DatabaseRequest, "databases")
    names = process_names(cloud.keeper.world)
    found = cloud.conductor.databases.scope_of(key := key_of(names, wanted.name))
    is_fitting = found is not None and key.startswith("db-") and (found[2] is not None) == (role == "standby")
    if found is None or not is_fitting:
        raise BadInput(f"databases: expected a {role}, got {names[key]}")
    return wanted, found[1], found[2]


async def promote(request: Request, cloud: Cloud) -> Response:
    _, ref, identifier = await _asked(request, cloud, "standby")
    assert identifier is not None
    await cloud.conductor.recovery.promote(ref, identifier)
    return JSONResponse({"promoted": identifier, "ref": ref})


async def back_up(request: Request, cloud: Cloud) -> Response:
    _, ref, _ = await _asked(request, cloud, "primary")
    return JSONResponse({"ref": ref, **backup_view(await cloud.conductor.recovery.back_up(ref))})


async def restore(request: Request, cloud: Cloud) -> Response:
    wanted, ref, _ = await _asked(request, cloud, "primary")
    if wanted.at is not None and wanted.at.tzinfo is None:
        raise BadInput("databases: at: expected a time with its offset, e.g. 2026-01-31T12:00:00Z")
    await cloud.conductor.recovery.restore(ref, wanted.at.timestamp() if wanted.at else None)
    return JSONResponse({"ref": ref, "restored_to": wanted.at.isoformat() if wanted.at else None})


async def list_backups(request: Request, cloud: Cloud) -> Response:
    world = cloud.keeper.world
    return JSONResponse(
        {
            "backups": [
                {"ref": ref, "name": f"{project.name}/primary", **backup_view(found)}
                for ref, project in world.supabase.items()
                for found in cloud.conductor.recovery.backups(ref)
            ]
        }
    )


def backup_view(found: Backup) -> dict[str, Any]:
    completed = datetime.fromtimestamp(found.completed_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"id": found.id, "completed_at": completed}
