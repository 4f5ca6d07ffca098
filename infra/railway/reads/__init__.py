"""Reads for programs: regions, a project by its name, a service's latest deployment, what a month will come to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.provider.definition import Call
from infra.provider.errors import Conflict, NotFound
from infra.provider.fields import Field
from infra.provider.functions import Read, by_token
from infra.provider.rules import Choice, ListOf
from infra.railway.client import RailwayClient, nodes
from infra.railway.names import ID, PROJECT_NAME
from infra.railway.operations import load
from infra.railway.project import LIST as PROJECTS
from infra.railway.project import READ as PROJECT

REGIONS = load(__file__, "regions.graphql")
LATEST = load(__file__, "latest_deployment.graphql")
USAGE = load(__file__, "estimated_usage.graphql")

MEASUREMENTS = ("CPU_USAGE", "MEMORY_USAGE_GB", "DISK_USAGE_GB", "NETWORK_TX_GB", "BACKUP_USAGE_GB")
"""What Railway charges for. CPU and memory are minutes of a processor or a GB, the others GB."""


async def regions(call: Call[RailwayClient], arguments: Mapping[str, Any]) -> dict[str, Any]:
    found = (await call.client.query(REGIONS, projectId=arguments.get("projectId")))["regions"]
    return {"regions": sorted(found, key=lambda each: str(each["name"]))}


async def project(call: Call[RailwayClient], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """NotFound and Conflict rather than a guess: names are not unique at Railway."""
    name = arguments["name"]
    found = nodes((await call.client.query(PROJECTS, workspaceId=arguments.get("workspaceId")))["projects"])
    same = [each for each in found if each["name"] == name]
    if not same:
        raise NotFound(f"getProject/name: there is no project named {name!r}")
    if len(same) > 1:
        raise Conflict(f"getProject/name: {len(same)} projects are named {name!r}; rename all but one")
    answer = (await call.client.query(PROJECT, id=same[0]["id"]))["project"]
    environments = {each["name"]: each["id"] for each in nodes(answer["environments"])}
    return {"id": answer["id"], "name": name, "workspaceId": answer["workspaceId"], "environments": environments}


async def latest_deployment(call: Call[RailwayClient], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Of whatever status; an empty `id` where the service was never deployed."""
    found = nodes((await call.client.query(LATEST, **arguments))["deployments"])
    if not found:
        return {"id": "", "status": "", "createdAt": "", "url": "", "canRollback": False, "image": ""}
    latest = found[0]
    meta = latest["meta"] if isinstance(latest["meta"], dict) else {}
    return {
        "id": latest["id"],
        "status": latest["status"],
        "createdAt": latest["createdAt"],
        "url": latest["url"] or latest["staticUrl"] or "",
        "canRollback": latest["canRollback"],
        "image": str(meta.get("imageDigest") or meta.get("image") or ""),
    }


async def estimated_usage(call: Call[RailwayClient], arguments: Mapping[str, Any]) -> dict[str, Any]:
    answer = await call.client.query(
        USAGE,
        measurements=arguments["measurements"],
        projectId=arguments.get("projectId"),
        workspaceId=arguments.get("workspaceId"),
    )
    found = [
        {"projectId": each["projectId"], "measurement": each["measurement"], "value": each["estimatedValue"]}
        for each in answer["estimatedUsage"]
    ]
    return {"usage": sorted(found, key=lambda each: (each["projectId"], each["measurement"]))}


READS = by_token(
    Read("railway:index:getRegions", (Field("projectId", ID),), regions),
    Read(
        "railway:index:getProject",
        (Field("name", PROJECT_NAME, is_required=True), Field("workspaceId", ID)),
        project,
    ),
    Read(
        "railway:index:getLatestDeployment",
        tuple(Field(name, ID, is_required=True) for name in ("projectId", "environmentId", "serviceId")),
        latest_deployment,
    ),
    Read(
        "railway:index:getEstimatedUsage",
        (
            Field("projectId", ID),
            Field("workspaceId", ID),
            Field("measurements", ListOf(Choice(MEASUREMENTS), items_max=len(MEASUREMENTS)), default=list(MEASUREMENTS)),
        ),
        estimated_usage,
    ),
)
