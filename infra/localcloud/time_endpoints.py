"""/_local/time: what time it is in the cloud, and moving it forward. Needs the account's token."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from infra.localcloud.local_requests import asked
from infra.localcloud.railway_api.call import Cloud
from infra.localcloud.world.errors import BadInput
from infra.localcloud.world_clock import WorldClock


class TimeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    advance_s: float


def view(clock: WorldClock) -> dict[str, Any]:
    return {"now": clock.timestamp(), "offset_s": clock.offset_s}


async def time(request: Request, cloud: Cloud) -> Response:
    clock = cloud.keeper.clock
    if request.method == "POST":
        wanted = await asked(request, TimeRequest, "time")
        try:
            clock.advance(wanted.advance_s)
        except ValueError as exc:
            raise BadInput(f"time: {exc}") from exc
    return JSONResponse(view(clock))
