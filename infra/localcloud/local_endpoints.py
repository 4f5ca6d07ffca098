"""/_local/...: what only a local cloud has. All of it needs the account's token."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from infra.localcloud.conducting.clock import new_stamp
from infra.localcloud.plane.documents import read_document, write_document
from infra.localcloud.plane.interface import REGIONS, Plane
from infra.localcloud.railway_api.call import Cloud
from infra.localcloud.railway_api.endpoint import BodyTooLarge, read_body
from infra.localcloud.world.errors import BadInput
from infra.localcloud.world.projects import DeleteProject
from infra.localcloud.world.supabase import DeleteSupabaseProject

RTT_MS_DEFAULT, RTT_MS_MAX = 20.0, 10_000.0
View = dict[str, Any]


class LinkRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Both directions unless `from` and `to` name one; regions left out mean all of them."""

    rtt_ms: float
    from_region: str | None = msgspec.field(default=None, name="from")
    to_region: str | None = msgspec.field(default=None, name="to")
    is_cut: bool = msgspec.field(default=False, name="cut")


class LinkRecord(msgspec.Struct, frozen=True):
    """One link on disk and in answers."""

    from_region: str = msgspec.field(name="from")
    to_region: str = msgspec.field(name="to")
    rtt_ms: float
    is_cut: bool = msgspec.field(name="cut")


class Links:
    """The link settings as last set here, kept in `path`; the plane keeps no record that can be asked for.

    `rtt_ms` None takes up what was set before (at first RTT_MS_DEFAULT everywhere); a number sets all links anew.
    """

    def __init__(self, path: Path, rtt_ms: float | None) -> None:
        self._path = path
        given = RTT_MS_DEFAULT if rtt_ms is None else rtt_ms
        self.table = {(one, other): (given, False) for one in REGIONS for other in REGIONS if one != other}
        if rtt_ms is not None:
            self.write()
            return
        for kept in read_document(path, tuple[LinkRecord, ...], ()):
            if (kept.from_region, kept.to_region) in self.table:
                self.table[kept.from_region, kept.to_region] = (kept.rtt_ms, kept.is_cut)

    def write(self) -> None:
        records = [LinkRecord(one, other, rtt_ms, is_cut) for (one, other), (rtt_ms, is_cut) in self.table.items()]
        write_document(self._path, records)

    async def apply(self, plane: Plane) -> None:
        """To a plane that was just started with RTT_MS_DEFAULT on every link."""
        for (one, other), (rtt_ms, is_cut) in self.table.items():
            if (rtt_ms, is_cut) != (RTT_MS_DEFAULT, False):
                await plane.set_link(one, other, rtt_ms, is_cut)

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
    links.write()
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
