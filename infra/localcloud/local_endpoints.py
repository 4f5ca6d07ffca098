"""/_local/...: what only a local cloud has. All of it needs the account's token."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from infra.localcloud.conducting.clock import new_stamp
from infra.localcloud.railway_api.call import Cloud
from infra.localcloud.world.projects import DeleteProject
from infra.localcloud.world.supabase import DeleteSupabaseProject


async def reset(request: Request, cloud: Cloud) -> Response:
    """Everything is ended and its data deleted; the daemon, its address and its token stay."""
    for project_id in list(cloud.keeper.world.projects):
        await cloud.keeper.apply(DeleteProject(new_stamp(), project_id))
    for ref in list(cloud.keeper.world.supabase):
        await cloud.keeper.apply(DeleteSupabaseProject(ref))
    return JSONResponse({"reset": True})


def shutdown(on_shutdown: Callable[[], None]) -> Response:
    on_shutdown()
    return JSONResponse({"stopping": True})
