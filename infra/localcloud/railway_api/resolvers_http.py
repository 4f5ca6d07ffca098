# ruff: noqa: A002, N803 -- arguments have the names that the schema gives them
"""Logs of a whole environment, requests as the edges saw them, and how long those took."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from infra.localcloud.railway_api import views
from infra.localcloud.railway_api.call import Info
from infra.localcloud.railway_api.http_requests import Request, answered_by, percentiles, replicas_by_address, requests_of
from infra.localcloud.railway_api.log_filter import log_filter
from infra.localcloud.railway_api.resolvers_account import call_of
from infra.localcloud.railway_api.resolvers_deployment import LOG_LIMIT_MAX, checked_limit, replica_lines
from infra.localcloud.railway_api.resolvers_metrics import epoch_s
from infra.localcloud.world.deployments import ENDED
from infra.localcloud.world.errors import BadInput
from infra.localcloud.world.model import Deployment

STEP_S_DEFAULT, STEP_S_MAX = 60, 86_400


def environment_logs(
    _: None,
    info: Info,
    environmentId: str,
    filter: str | None = None,
    afterDate: str | None = None,
    beforeDate: str | None = None,
    beforeLimit: int | None = None,
) -> list[views.View]:
    """What the replicas of all services wrote, in order of time, the newest `beforeLimit` lines."""
    call = call_of(info)
    call.access.environment(environmentId)
    count, is_wanted = checked_limit(beforeLimit), log_filter(filter)
    own = [found for found in call.world.deployments.values() if found.environment_id == environmentId]
    lines = replica_lines(call, [found for found in own if found.status not in ENDED], LOG_LIMIT_MAX)
    return [line for line in lines if is_wanted(line) and _is_between(line["timestamp"], afterDate, beforeDate)][-count:]


def _is_between(timestamp: str, after: str | None, before: str | None) -> bool:
    at = epoch_s("timestamp", timestamp)
    return (after is None or at > epoch_s("afterDate", after)) and (before is None or at < epoch_s("beforeDate", before))


def http_logs(
    _: None,
    info: Info,
    deploymentId: str,
    filter: str | None = None,
    afterDate: str | None = None,
    beforeDate: str | None = None,
    beforeLimit: int | None = None,
    limit: int | None = None,
) -> list[views.View]:
    """What a deployment's replicas were asked, in order of time; the newest lines."""
    call = call_of(info)
    deployment = call.access.deployment(deploymentId)
    count, is_wanted = checked_limit(limit if limit is not None else beforeLimit), log_filter(filter)
    replicas = replicas_by_address(call, deployment)
    views_ = [
        _http_log(found, deployment, key)
        for found in requests_of(call, call.world.instances[deployment.instance_id])
        if (key := answered_by(found, replicas)) is not None and _is_between(found.timestamp, afterDate, beforeDate)
    ]
    return [view for view in views_ if is_wanted(_as_line(view, deployment))][-count:]


def _http_log(found: Request, deployment: Deployment, replica_key: str) -> views.View:
    return {
        "deploymentId": deployment.id,
        "deploymentInstanceId": replica_key,
        "edgeRegion": found.region,
        "host": found.host,
        "httpStatus": found.status,
        "method": found.method,
        "path": found.path,
        "requestId": found.request_id,
        "srcIp": found.client,
        "timestamp": found.timestamp,
        "totalDuration": round(found.duration_ms),
        "upstreamAddress": found.upstream,
    }


def _as_line(view: views.View, deployment: Deployment) -> views.View:
    """For the filter: every field is an attribute, as in `@httpStatus:502`."""
    return {
        "message": f"{view['method']} {view['path']} {view['httpStatus']}",
        "attributes": [{"key": name, "value": value} for name, value in view.items()],
        "tags": {
            "deploymentId": deployment.id,
            "deploymentInstanceId": view["deploymentInstanceId"],
            "serviceId": deployment.service_id,
        },
    }


def http_duration_metrics(
    _: None,
    info: Info,
    environmentId: str,
    serviceId: str,
    startDate: str,
    endDate: str,
    method: str | None = None,
    path: str | None = None,
    statusCode: int | None = None,
    stepSeconds: int | None = None,
) -> views.View:
    """Percentiles in milliseconds, per step that had requests."""
    steps: dict[int, list[float]] = defaultdict(list)
    for at, found in _stepped(info, environmentId, serviceId, (startDate, endDate), stepSeconds):
        wanted = ((method, found.method), (path, found.path), (statusCode, found.status))
        if all(value in (None, has) for value, has in wanted):
            steps[at].append(found.duration_ms)
    return {"samples": [{"ts": at, **percentiles(durations)} for at, durations in sorted(steps.items())]}


def _stepped(
    info: Info, environment_id: str, service_id: str, window: tuple[str, str], step: int | None
) -> Iterator[tuple[int, Request]]:
    """The service's requests within the window, each with the beginning of its step."""
    call = call_of(info)
    instance = call.access.instance(service_id, environment_id)
    step_s = STEP_S_DEFAULT if step is None else step
    if not 1 <= step_s <= STEP_S_MAX:
        raise BadInput(f"stepSeconds: expected 1 to {STEP_S_MAX}, got {step_s}")
    start, end = epoch_s("startDate", window[0]), epoch_s("endDate", window[1])
    for found in requests_of(call, instance):
        if start <= found.time_ms / 1000 <= end:
            at = found.time_ms // 1000
            yield at - at % step_s, found


def http_metrics_by_status(
    _: None,
    info: Info,
    environmentId: str,
    serviceId: str,
    startDate: str,
    endDate: str,
    method: str | None = None,
    path: str | None = None,
    stepSeconds: int | None = None,
) -> list[views.View]:
    """How many requests had which status, per step that had some. A busy second counts the sample that the edges kept."""
    counts: dict[int, Counter[int]] = defaultdict(Counter)
    for at, found in _stepped(info, environmentId, serviceId, (startDate, endDate), stepSeconds):
        if method in (None, found.method) and path in (None, found.path):
            counts[found.status][at] += 1
    return [
        {"statusCode": status, "samples": [{"ts": at, "value": float(count)} for at, count in sorted(steps.items())]}
        for status, steps in sorted(counts.items())
    ]


QUERIES = {
    "environmentLogs": environment_logs,
    "httpLogs": http_logs,
    "httpDurationMetrics": http_duration_metrics,
    "httpMetricsGroupedByStatus": http_metrics_by_status,
}
MUTATIONS: dict[str, Any] = {}
