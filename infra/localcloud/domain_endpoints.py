"""/_local/domains: whether the DNS record of a custom domain is there. Needs the account's token."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from infra.localcloud.conducting.clock import new_stamp
from infra.localcloud.local_requests import asked
from infra.localcloud.railway_api.call import Cloud
from infra.localcloud.world.networking import SetDns


class DomainRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    domain: str
    has_record: bool


async def set_dns(request: Request, cloud: Cloud) -> Response:
    wanted = await asked(request, DomainRequest, "domains")
    await cloud.keeper.apply(SetDns(new_stamp(), wanted.domain, wanted.has_record))
    return JSONResponse(msgspec.to_builtins(wanted))
