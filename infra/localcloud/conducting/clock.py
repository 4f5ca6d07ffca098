"""Time and identity, taken at the edge and handed inwards as a Stamp."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from infra.localcloud.world.model import Stamp


def timestamp() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def new_stamp() -> Stamp:
    return Stamp(id=str(uuid.uuid4()), at=timestamp())
