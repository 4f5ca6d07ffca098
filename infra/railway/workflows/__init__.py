"""What takes Railway its time: an id at first, and then a status to ask for."""

from __future__ import annotations

from infra.provider.definition import Call
from infra.provider.errors import RemoteFault
from infra.provider.waiting import until
from infra.railway.client import RailwayClient
from infra.railway.operations import load

STATUS = load(__file__, "status.graphql")

DEADLINE_S = 1800.0
"""A backup of a large volume takes minutes."""


async def finished(call: Call[RailwayClient], workflow_id: str | None, what: str) -> None:
    """Returns when it is complete; RemoteFault with Railway's reason when it is not going to be. None is done already."""
    if workflow_id is None:
        return

    async def look() -> bool | None:
        found = (await call.client.query(STATUS, workflowId=workflow_id))["workflowStatus"]
        if found["status"] == "Error":
            raise RemoteFault(f"Railway says: {found['error'] or 'no reason'}", operation=what)
        return True if found["status"] == "Complete" else None

    await until(call, look, deadline_s=call.timeout_s or DEADLINE_S, what=what)
