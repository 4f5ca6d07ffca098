"""Supabase's backups of a project: the list, and point-in-time recovery. Shapes as in its Management API's reference."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from infra.localcloud.plane.interface import PlaneError
from infra.localcloud.railway_api.call import Cloud
from infra.localcloud.railway_api.endpoint import BodyTooLarge, read_body
from infra.localcloud.world import lookup
from infra.localcloud.world.errors import BadInput


class RestorePitr(msgspec.Struct, frozen=True):
    """Supabase ignores what it does not know."""

    recovery_time_target_unix: int


async def list_backups(request: Request, cloud: Cloud) -> Response:
    project = lookup.supabase_project(cloud.keeper.world, request.path_params["ref"])
    found = cloud.conductor.recovery.backups(project.ref)
    physical = {}
    if found:
        physical = {
            "earliest_physical_backup_date_unix": int(found[0].completed_s),
            "latest_physical_backup_date_unix": int(datetime.now(UTC).timestamp()),
        }
    return JSONResponse(
        {
            "region": project.region,
            "walg_enabled": bool(found),
            "pitr_enabled": bool(found),
            "backups": [
                {
                    "is_physical_backup": True,
                    "status": "COMPLETED",
                    "inserted_at": datetime.fromtimestamp(one.completed_s, UTC).isoformat(),
                }
                for one in found
            ],
            "physical_backup_data": physical,
        }
    )


async def restore_pitr(request: Request, cloud: Cloud) -> Response:
    """Answered when it is done here; on Supabase the project is RESTORING for minutes."""
    project = lookup.supabase_project(cloud.keeper.world, request.path_params["ref"])
    try:
        asked = msgspec.json.decode(await read_body(request, 4096), type=RestorePitr)
    except (msgspec.DecodeError, UnicodeDecodeError, BodyTooLarge) as exc:
        raise BadInput(str(exc)) from exc
    try:
        await cloud.conductor.recovery.restore(project.ref, float(asked.recovery_time_target_unix))
    except PlaneError as exc:
        raise BadInput(str(exc)) from exc
    return Response(status_code=201)
