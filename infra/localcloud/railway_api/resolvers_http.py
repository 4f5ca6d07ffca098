# ruff: noqa: A002, N803 -- arguments have the names that the schema gives them
"""Logs of a whole environment, and how long requests took."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from typing import Any

from infra.localcloud.edge.access_log import AccessLine
from infra.localcloud.railway_api import views
from infra.localcloud.railway_api.call import Info
from infra.localcloud.railway_api.http_requests import percentiles, requests_of
from infra.localcloud.railway_api.log_filter import log_filter
from infra.localcloud.railway_api.log_window import LogWindow
from infra.localcloud.railway_api.resolvers_account import call_of
from infra.localcloud.railway_api.resolvers_deployment import LOG_LIMIT_MAX, replica_lines
from infra.localcloud.railway_api.resolvers_metrics import epoch_s
from infra.localcloud.world.deployments import ENDED
from infra.localcloud.world.errors import BadInput

STEP_S_DEFAULT, STEP_S_MAX = 60, 86_400


def environment_logs(
    _: None,
    info: Info,
    environmentId: str,
    filter: str | None = None,
    **window: Any,
) -> list[views.View]:
    """What the replicas of all services wrote, in order of time."""
    call = call_of(info)
    call.access.environment(environmentId)
    wanted, is_wanted = LogWindow.of(**window), log_filter(filter)
    own = [found for found in call.world.deployments.values() if found.environment_id == environmentId]
    lines = replica_lines(call, [found for found in own if found.status not in ENDED], LOG_LIMIT_MAX)
    return wanted.cut([line for line in lines if is_wanted(line)])


async def http_duration_metrics(
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
    for at, found in await _stepped(info, environmentId, serviceId, (startDate, endDate), stepSeconds):
        wanted = ((method, found.method), (path, found.path), (statusCode, found.status))
        if all(value in (None, has) for value, has in wanted):
            steps[at].append(found.duration_ms)
    return {"samples": [{"ts": at, **percentiles(durations)} for at, durations in sorted(steps.items())]}


async def _stepped(
    info: Info, environment_id: str, service_id: str, window: tuple[str, str], step: int | None
) -> list[tuple[int, AccessLine]]:
    """The service's requests within the window, each with the beginning of its step."""
    call = call_of(info)
    instance = call.access.instance(service_id, environment_id)
    step_s = STEP_S_DEFAULT if step is None else step
    if not 1 <= step_s <= STEP_S_MAX:
        raise BadInput(f"stepSeconds: expected 1 to {STEP_S_MAX}, got {step_s}")
    start, end = epoch_s("startDate", window[0]), epoch_s("endDate", window[1])
    requests = await asyncio.to_thread(requests_of, call, instance)
    within = ((found.time_ms // 1000, found) for _, found in requests if start <= found.time_ms / 1000 <= end)
    return [(at - at % step_s, found) for at, found in within]


async def http_metrics_by_status(
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
    """How many requests had which status, per step that had some. Counted are the lines that the edges keep."""
    counts: dict[int, Counter[int]] = defaultdict(Counter)
    for at, found in await _stepped(info, environmentId, serviceId, (startDate, endDate), stepSeconds):
        if method in (None, found.method) and path in (None, found.path):
            counts[found.status][at] += 1
    return [
        {"statusCode": status, "samples": [{"ts": at, "value": float(count)} for at, count in sorted(steps.items())]}
        for status, steps in sorted(counts.items())
    ]


QUERIES = {
    "environmentLogs": environment_logs,
    "httpDurationMetrics": http_duration_metrics,
    "httpMetricsGroupedByStatus": http_metrics_by_status,
}
MUTATIONS: dict[str, Any] = {}
