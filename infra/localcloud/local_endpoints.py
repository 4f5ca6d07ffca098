"""/_local/...: what only a local cloud has. All of it needs the account's token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from infra.localcloud.conducting.clock import new_stamp
from infra.localcloud.plane.interface import REGIONS
from infra.localcloud.railway_api.call import Cloud
from infra.localcloud.railway_api.endpoint import BodyTooLarge, read_body
from infra.localcloud.world.errors import BadInput
from infra.localcloud.world.projects import DeleteProject
from infra.localcloud.world.supabase import DeleteSupabaseProject

RTT_MS_MAX = 10_000.0
View = dict[str, Any]


class LinkRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Both directions unless `from` and `to` name one; regions left out mean all of them."""

    rtt_ms: float
    from_region: str | None = msgspec.field(default=None, name="from")
    to_region: str | None = msgspec.field(default=None, name="to")
    is_cut: bool = msgspec.field(default=False, name="cut")


class Links:
    """The link settings as last set here; the plane keeps no record that can be asked for."""

    def __init__(self, rtt_ms: float) -> None:
        self.table = {(one, other): (rtt_ms, False) for one in REGIONS for other in REGIONS if one != other}

    def view(self) -> list[View]:
        return [
            {"from": one, "to": other, "rtt_ms": rtt_ms, "cut": is_cut} for (one, other), (rtt_ms, is_cut) in self.table.items()
        ]


async def set_links(request: Request, cloud: Cloud, links: Links) -> Response:
    try:
        asked = msgspec.json.decode(await read_body(request, 4096), type=LinkRequest)
    except (msgspec.DecodeError, UnicodeDecodeError, BodyTooLarge) as exc:
        raise BadInput(f"links: {exc}") from exc
    if not 0 <= asked.rtt_ms <= RTT_MS_MAX:
        raise BadInput(f"links: rtt_ms: expected 0 to {RTT_MS_MAX:g}, got {asked.rtt_ms:g}")
    for region in (asked.from_region, asked.to_region):
        if region is not None and region not in REGIONS:
            raise BadInput(f"links: expected one of {', '.join(REGIONS)}, got {region[:40]!r}")
    for one, other in list(links.table):
        if asked.from_region in (None, one) and asked.to_region in (None, other):
            await cloud.plane.set_link(one, other, asked.rtt_ms, asked.is_cut)
            links.table[one, other] = (asked.rtt_ms, asked.is_cut)
    return JSONResponse({"links": links.view()})


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
