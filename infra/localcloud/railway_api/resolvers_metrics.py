# ruff: noqa: N803 -- arguments have the names that the schema gives them
"""metrics: what replicas used, summed over whatever the caller does not group by."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from infra.localcloud.conducting.metrics import KEPT_S, Sample
from infra.localcloud.railway_api import views
from infra.localcloud.railway_api.call import Call, Info
from infra.localcloud.railway_api.resolvers_account import call_of
from infra.localcloud.world.errors import BadInput
from infra.localcloud.world.model import Deployment, Replica

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
) -> list[views.View]:
    """One result per measurement and group; a group is the sum of its replicas at each time."""
    call = call_of(info)
    _check_access(call, projectId, environmentId, serviceId)
    start, end = _epoch_s("startDate", startDate), _epoch_s("endDate", endDate) if endDate is not None else float("inf")
    bucket_s = 1 if sampleRateSeconds is None else sampleRateSeconds
    if not 1 <= bucket_s <= KEPT_S:
        raise BadInput(f"sampleRateSeconds: expected 1 to {KEPT_S:g}, got {bucket_s}")
    wanted = {"projectId": projectId, "environmentId": environmentId, "serviceId": serviceId}
    groups: dict[Group, dict[int, list[Sample]]] = defaultdict(lambda: defaultdict(list))
    for deployment, replica in _replicas(call):
        tags = _tags(deployment, replica)
        if any(value is not None and tags[name] != value for name, value in wanted.items()):
            continue
        group = tuple((TAGS[name], tags[TAGS[name]]) for name in groupBy or ())
        for sample in call.cloud.conductor.metrics.of(replica.key):
            if start <= sample.at <= end:
                groups[group][sample.at].append(sample)
    return [
        {"measurement": name, "tags": dict(group), "values": _values(at, MEASUREMENTS[name], bucket_s)}
        for name in dict.fromkeys(measurements)
        for group, at in groups.items()
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


def _epoch_s(name: str, text: str) -> float:
    try:
        found = datetime.fromisoformat(text)
    except (ValueError, TypeError):
        raise BadInput(f"{name}: expected a time as RFC 3339 writes it") from None
    if found.tzinfo is None:
        raise BadInput(f"{name}: expected a time zone, for instance Z")
    return found.timestamp()


QUERIES = {"metrics": metrics}
MUTATIONS: dict[str, Any] = {}
