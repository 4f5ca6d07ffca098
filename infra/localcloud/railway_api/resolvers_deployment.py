# ruff: noqa: A002, N803 -- arguments have the names that the schema gives them
"""Deployments and their logs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from msgspec import Struct

from infra.localcloud.conducting.clock import new_stamp
from infra.localcloud.railway_api import views
from infra.localcloud.railway_api.call import Call, Info
from infra.localcloud.railway_api.log_filter import log_filter
from infra.localcloud.railway_api.paging import connection
from infra.localcloud.railway_api.resolvers_account import Input, call_of
from infra.localcloud.world import deployments, lookup
from infra.localcloud.world.errors import BadInput
from infra.localcloud.world.model import Deployment, Stamp

LOG_LIMIT_DEFAULT = 500
LOG_LIMIT_MAX = 5000


def deployment(_: None, info: Info, id: str) -> views.View:
    call = call_of(info)
    return views.deployment_view(call, call.access.deployment(id))


def deployments_(_: None, info: Info, input: Input, **paging: Any) -> views.View:
    """Newest first, as on Railway."""
    call = call_of(info)
    found = [one for one in reversed(call.world.deployments.values()) if _is_asked_for(one, input) and _is_visible(call, one)]
    return connection(found, lambda one: one.id, lambda one: views.deployment_view(call, one), **paging)


def _is_visible(call: Call, found: Deployment) -> bool:
    return call.principal.is_account or found.environment_id == call.principal.environment_id


def _is_asked_for(found: Deployment, wanted: Input) -> bool:
    status = wanted.get("status") or {}
    for name, value in (
        ("projectId", found.project_id),
        ("environmentId", found.environment_id),
        ("serviceId", found.service_id),
    ):
        if wanted.get(name) not in (None, value):
            return False
    is_in = status.get("in") is None or found.status in status["in"]
    return is_in and found.status not in (status.get("notIn") or ())


def deployment_logs(
    _: None,
    info: Info,
    deploymentId: str,
    limit: int | None = None,
    filter: str | None = None,
    startDate: str | None = None,
    endDate: str | None = None,
) -> list[views.View]:
    """What the replicas wrote, in order of time, the newest `limit` lines."""
    call = call_of(info)
    found = call.access.deployment(deploymentId)
    count, is_wanted = checked_limit(limit), log_filter(filter)
    lines = replica_lines(call, [found], LOG_LIMIT_MAX if filter else count)
    return _cut([line for line in lines if is_wanted(line)], count, startDate, endDate)


def replica_lines(call: Call, found: Sequence[Deployment], limit: int) -> list[views.View]:
    """What all their replicas wrote, in order of time, the newest `limit` lines of each."""
    lines = [
        _log(one, line.timestamp, "error" if line.stream == "stderr" else "info", line.text, replica.key, replica.region)
        for one in found
        for replica in one.replicas
        for line in call.cloud.plane.logs(replica.key, limit)
    ]
    return sorted(lines, key=lambda line: str(line["timestamp"]))


def build_logs(
    _: None,
    info: Info,
    deploymentId: str,
    limit: int | None = None,
    filter: str | None = None,
    startDate: str | None = None,
    endDate: str | None = None,
) -> list[views.View]:
    call = call_of(info)
    found = call.access.deployment(deploymentId)
    is_wanted = log_filter(filter)
    return _cut([line for line in build_lines(call, found) if is_wanted(line)], checked_limit(limit), startDate, endDate)


def build_lines(call: Call, found: Deployment) -> list[views.View]:
    lines = call.cloud.conductor.build_logs.read(found.id)
    return [_log(found, line.timestamp, line.severity, line.message, None, None) for line in lines]


def checked_limit(limit: int | None) -> int:
    count = LOG_LIMIT_DEFAULT if limit is None else limit
    if not 1 <= count <= LOG_LIMIT_MAX:
        raise BadInput(f"limit: expected 1 to {LOG_LIMIT_MAX}, got {count}")
    return count


def _cut(lines: Sequence[views.View], limit: int, start: str | None, end: str | None) -> list[views.View]:
    """Times are RFC 3339 in UTC with the same number of digits, so that their order is the order of their texts."""
    after = [line for line in lines if start is None or line["timestamp"] >= start]
    return [line for line in after if end is None or line["timestamp"] <= end][-limit:]


def _log(
    found: Deployment, timestamp: str, severity: str, message: str, replica_key: str | None, region: str | None
) -> views.View:
    return {
        "timestamp": timestamp,
        "severity": severity,
        "message": message,
        "attributes": [{"key": "level", "value": severity}, *([{"key": "region", "value": region}] if region else [])],
        "tags": {
            "projectId": found.project_id,
            "environmentId": found.environment_id,
            "serviceId": found.service_id,
            "deploymentId": found.id,
            "deploymentInstanceId": replica_key,
        },
    }


async def service_instance_deploy(
    _: None,
    info: Info,
    serviceId: str,
    environmentId: str,
    commitSha: str | None = None,
) -> str:
    call = call_of(info)
    call.access.instance(serviceId, environmentId)
    if commitSha is not None:
        raise BadInput("commitSha: the local cloud deploys uploaded bundles and images, not commits; leave it out")
    stamp = new_stamp()
    await call.apply(deployments.CreateDeployment(stamp, serviceId, environmentId))
    return stamp.id


async def service_instance_redeploy(_: None, info: Info, serviceId: str, environmentId: str) -> bool:
    """Yes also where nothing was ever deployed: Terraform's provider asks for it after each change, of empty services too."""
    call = call_of(info)
    instance = call.access.instance(serviceId, environmentId)
    latest = lookup.latest_deployment(call.world, instance.id)
    if latest is not None:
        await call.apply(deployments.RepeatDeployment(new_stamp(), latest.id))
    elif instance.settings.image is not None or instance.release is not None:
        await call.apply(deployments.CreateDeployment(new_stamp(), serviceId, environmentId))
    return True


async def deployment_redeploy(
    _: None,
    info: Info,
    id: str,
    usePreviousImageTag: bool | None = None,
) -> views.View:
    call = call_of(info)
    call.access.deployment(id)
    stamp = new_stamp()
    world = await call.apply(deployments.RepeatDeployment(stamp, id))
    return views.deployment_view(call, world.deployments[stamp.id])


def changing(command: Callable[[Stamp, str], Struct]) -> Callable[..., Awaitable[bool]]:
    """A mutation that is one command about one deployment."""

    async def resolve(_: None, info: Info, id: str) -> bool:
        call = call_of(info)
        call.access.deployment(id)
        await call.apply(command(new_stamp(), id))
        return True

    return resolve


QUERIES = {
    "deployment": deployment,
    "deployments": deployments_,
    "deploymentLogs": deployment_logs,
    "buildLogs": build_logs,
}
MUTATIONS = {
    "serviceInstanceDeployV2": service_instance_deploy,
    "serviceInstanceRedeploy": service_instance_redeploy,
    "deploymentRedeploy": deployment_redeploy,
    "deploymentRollback": changing(deployments.RollBack),
    "deploymentRemove": changing(deployments.AskRemoval),
    "deploymentStop": changing(deployments.AskStop),
    "deploymentRestart": changing(deployments.AskRestart),
    "deploymentCancel": changing(deployments.AskCancel),
}
