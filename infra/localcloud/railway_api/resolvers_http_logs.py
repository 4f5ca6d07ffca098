# ruff: noqa: A002, N803 -- arguments have the names that the schema gives them
"""Requests as the edges saw them, line by line: asked for once, or followed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from infra.localcloud.edge.access_log import AccessLine
from infra.localcloud.railway_api import views
from infra.localcloud.railway_api.call import Call, Info
from infra.localcloud.railway_api.http_requests import LINES_MAX, answered_by, replicas_by_address, requests_of, timestamp
from infra.localcloud.railway_api.log_filter import log_filter
from infra.localcloud.railway_api.log_window import LogWindow
from infra.localcloud.railway_api.principal import is_valid
from infra.localcloud.railway_api.resolvers_account import call_of
from infra.localcloud.world.deployments import ENDED
from infra.localcloud.world.model import Deployment

INT_MAX = 2**31 - 1  # of GraphQL's Int
POLL_S = 0.2
FOLLOWED_LINES_MAX = 2000  # of each edge at each look, more than it can write in between


async def http_logs(
    _: None, info: Info, deploymentId: str, filter: str | None = None, limit: int | None = None, **window: Any
) -> list[views.View]:
    """What a deployment's replicas were asked, in order of time. `limit` is another name of beforeLimit here."""
    call = call_of(info)
    deployment = call.access.deployment(deploymentId)
    if limit is not None:
        window.setdefault("beforeLimit", limit)
    wanted, is_wanted = LogWindow.of(**window), log_filter(filter)
    logs = await asyncio.to_thread(_logs, call, deployment, LINES_MAX)
    return wanted.cut([view for view in logs if is_wanted(_as_line(view, deployment))])


def http_logs_followed(
    _: None, info: Info, deploymentId: str, filter: str | None = None, **window: Any
) -> AsyncIterator[list[views.View]]:
    """What there is first, then what comes, until the deployment has ended or nobody may ask any more."""
    call = call_of(info)
    call.access.deployment(deploymentId)
    return _follow(call, deploymentId, filter, LogWindow.of(**window))


async def _follow(call: Call, deployment_id: str, filter: str | None, wanted: LogWindow) -> AsyncIterator[list[views.View]]:
    """Lines are told apart by their requests: those of several edges do not come in the order of their times."""
    is_wanted = log_filter(filter)
    known: set[str] = set()
    is_first = True
    while True:
        deployment = call.world.deployments.get(deployment_id) if is_valid(call.principal, call.world) else None
        if deployment is None:
            return
        found = await asyncio.to_thread(_logs, call, deployment, FOLLOWED_LINES_MAX)
        fresh = [view for view in found if view["requestId"] not in known and is_wanted(_as_line(view, deployment))]
        known = {view["requestId"] for view in found}
        if shown := wanted.cut(fresh) if is_first else [view for view in fresh if wanted.is_after(view)]:
            yield shown
        is_first = False
        if deployment.status in ENDED:
            return
        await asyncio.sleep(POLL_S)


def _logs(call: Call, deployment: Deployment, lines_max: int) -> list[views.View]:
    replicas = replicas_by_address(call, deployment)
    return [
        _view(region, line, deployment, key)
        for region, line in requests_of(call, call.world.instances[deployment.instance_id], lines_max)
        if (key := answered_by((region, line), replicas)) is not None
    ]


def _view(region: str, line: AccessLine, deployment: Deployment, replica_key: str) -> views.View:
    is_answered = line.upstream_ms is not None
    return {
        "clientUa": line.user_agent,
        "deploymentId": deployment.id,
        "deploymentInstanceId": replica_key,
        "downstreamProto": line.protocol,
        "edgeRegion": region,
        "host": line.host,
        "httpStatus": line.status,
        "method": line.method,
        "path": line.path,
        "requestId": line.request_id,
        "responseDetails": "" if is_answered else "no answer of the replica",
        "rxBytes": min(line.received_bytes, INT_MAX),
        "srcIp": line.client,
        "timestamp": timestamp(line),
        "totalDuration": round(line.duration_ms),
        "txBytes": min(line.sent_bytes, INT_MAX),
        "upstreamAddress": line.upstream,
        "upstreamErrors": line.upstream_error,
        "upstreamProto": "HTTP/1.1" if is_answered else "",
        "upstreamRqDuration": round(line.upstream_ms or 0),
    }


def _as_line(view: views.View, deployment: Deployment) -> views.View:
    """For the filter: every field is an attribute, as in `@httpStatus:>=500`."""
    attributes = {**view, "responseTime": view["totalDuration"]}
    return {
        "message": f"{view['method']} {view['path']} {view['httpStatus']}",
        "attributes": [{"key": name, "value": value} for name, value in attributes.items()],
        "tags": {
            "deploymentId": deployment.id,
            "deploymentInstanceId": view["deploymentInstanceId"],
            "serviceId": deployment.service_id,
        },
    }


QUERIES = {"httpLogs": http_logs}
MUTATIONS: dict[str, Any] = {}
SUBSCRIPTIONS = {"httpLogs": http_logs_followed}
