"""What the daemon's own endpoints are asked: a small JSON object of one shape."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from starlette.requests import Request

from infra.localcloud.railway_api.endpoint import BodyTooLarge, read_body
from infra.localcloud.world.errors import BadInput

BODY_BYTES_MAX = 4096
Kind = TypeVar("Kind")


async def asked(request: Request, kind: type[Kind], what: str) -> Kind:
    """BadInput, which begins with `what`."""
    try:
        return msgspec.json.decode(await read_body(request, BODY_BYTES_MAX), type=kind)
    except BodyTooLarge as exc:
        raise BadInput(f"{what}: expected at most {BODY_BYTES_MAX} bytes") from exc
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise BadInput(f"{what}: {exc}") from exc
