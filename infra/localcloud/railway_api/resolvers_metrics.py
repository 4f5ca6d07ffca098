# ruff: noqa: N803 -- arguments have the names that the schema gives them
"""metrics: what replicas used, summed over whatever the caller does not group by."""

from __future__ import annotations

from calendar import monthrange
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from infra.localcloud.conducting.metrics import KEPT_S, Sample
from infra.localcloud.railway_api import views
from infra.localcloud.railway_api.call import Call, Info
from infra.localcloud.railway_api.resolvers_account import call_of
from infra.localcloud.world.errors import BadInput
from infra.localcloud.world.model import Deployment, Replica, ReplicaStatus

BYTES_PER_GB = 1e9
MEASUREMENTS: dict[str, Callable[[Sample], float]] = {
    "CPU_USAGE": lambda sample: sample.cpus,
    "MEMORY_USAGE_GB": lambda sample: sample.memory_bytes / BYTES_PER_GB,
}
TAGS = {
    "DEPLOYMENT_ID": "deploymentId",
    "DEPLOYMENT_INSTANCE_ID": "deploymentInstanceId",
    "ENVIRONMENT_ID": "environmentId",
    "PROJECT_ID": "projectId",
    "REGION": "region",
    "SERVICE_ID": "serviceId",
}
Group = tuple[tuple[str, str], ...]


def metrics(
    _: None,
    info: Info,
    measurements: list[str],
    startDate: str,
    endDate: str | None = None,
    environmentId: str | None = None,
    projectId: str | None = None,
    serviceId: str | None = None,
    groupBy: list[str] | None = None,
    sampleRateSeconds: int | None = None,
    averagingWindowSeconds: int | None = None,
    includeDeleted: bool | None = None,
    volumeId: str | None = None,
    volumeInstanceExternalId: str | None = None,
    workspaceId: str | None = None,
) -> list[views.View]:
    """One result per measurement and group; a group is the sum of its replicas at each time.

    What is not measured here (limits, disks, networks) has no result, as on Railway for a service without samples; a tag that
    no replica has groups nothing. An averaging window makes the buckets as wide as itself.
    """
    call = call_of(info)
    if volumeId is not None or volumeInstanceExternalId is not None or workspaceId not in (None, call.cloud.workspace_id):
        return []
    _check_access(call, projectId, environmentId, serviceId)
    start, end = epoch_s("startDate", startDate), epoch_s("endDate", endDate) if endDate is not None else float("inf")
    bucket_s = max(1 if sampleRateSeconds is None else sampleRateSeconds, averagingWindowSeconds or 0)
    if not 1 <= bucket_s <= KEPT_S:
        raise BadInput(f"sampleRateSeconds: expected 1 to {KEPT_S:g}, got {bucket_s}")
    wanted = {"projectId": projectId, "environmentId": environmentId, "serviceId": serviceId}
    groups: dict[Group, dict[int, list[Sample]]] = defaultdict(lambda: defaultdict(list))
    for deployment, replica in _replicas(call):
        tags = _tags(deployment, replica)
        if any(value is not None and tags[name] != value for name, value in wanted.items()):
            continue
        group = tuple((TAGS[name], tags[TAGS[name]]) for name in groupBy or () if name in TAGS)
        for sample in call.cloud.conductor.metrics.of(replica.key):
            if start <= sample.at <= end:
                groups[group][sample.at].append(sample)
    return [
        {"measurement": name, "tags": dict(group), "values": _values(at, MEASUREMENTS[name], bucket_s)}
        for name in dict.fromkeys(measurements)
        if name in MEASUREMENTS
        for group, at in groups.items()
    ]


def estimated_usage(
    _: None,
    info: Info,
    measurements: list[str],
    projectId: str | None = None,
    workspaceId: str | None = None,
    includeDeleted: bool | None = None,
) -> list[views.View]:
    """Minutes of a processor or a GB in the whole of this month, if it goes on as the samples of the last hour have it.

    What ran before and is gone is not known any more, so this is an estimate of the present stack and no bill.
    """
    call = call_of(info)
    if projectId is not None:
        call.access.project(projectId)
    elif not call.principal.is_account:
        projectId = call.principal.project_id  # noqa: N806
    now = datetime.fromtimestamp(call.cloud.keeper.clock.seconds(), UTC)
    month_min = monthrange(now.year, now.month)[1] * 24 * 60
    means: dict[tuple[str, str], float] = defaultdict(float)
    for deployment, replica in _replicas(call):
        samples = call.cloud.conductor.metrics.of(replica.key)
        is_asked = projectId in (None, deployment.project_id) and replica.status is not ReplicaStatus.REMOVED
        for name in dict.fromkeys(measurements) if is_asked and samples else ():
            measure = MEASUREMENTS.get(name)
            if measure is not None:
                means[deployment.project_id, name] += sum(map(measure, samples)) / len(samples)
    return [
        {"projectId": project_id, "measurement": name, "estimatedValue": mean * month_min}
        for (project_id, name), mean in means.items()
    ]


def _values(samples: dict[int, list[Sample]], measure: Callable[[Sample], float], bucket_s: int) -> list[views.View]:
    """Sums over replicas, means over the times within a bucket."""
    buckets: dict[int, list[float]] = defaultdict(list)
    for at, together in sorted(samples.items()):
        buckets[at - at % bucket_s].append(sum(map(measure, together)))
    return [{"ts": at, "value": sum(found) / len(found)} for at, found in buckets.items()]


def _replicas(call: Call) -> Iterator[tuple[Deployment, Replica]]:
    for deployment in call.world.deployments.values():
        if call.principal.is_account or deployment.environment_id == call.principal.environment_id:
            for replica in deployment.replicas:
                yield deployment, replica


def _tags(deployment: Deployment, replica: Replica) -> dict[str, str]:
    return {
        "projectId": deployment.project_id,
        "environmentId": deployment.environment_id,
        "serviceId": deployment.service_id,
        "deploymentId": deployment.id,
        "deploymentInstanceId": replica.key,
        "region": replica.region,
    }


def _check_access(call: Call, project_id: str | None, environment_id: str | None, service_id: str | None) -> None:
    if project_id is not None:
        call.access.project(project_id)
    if environment_id is not None:
        call.access.environment(environment_id)
    if service_id is not None:
        call.access.service(service_id)


def epoch_s(name: str, text: str) -> float:
    try:
        found = datetime.fromisoformat(text)
    except (ValueError, TypeError):
        raise BadInput(f"{name}: expected a time as RFC 3339 writes it") from None
    if found.tzinfo is None:
        raise BadInput(f"{name}: expected a time zone, for instance Z")
    return found.timestamp()


QUERIES = {"estimatedUsage": estimated_usage, "metrics": metrics}
MUTATIONS: dict[str, Any] = {}
