# ruff: noqa: A002, N803 -- arguments have the names that the schema gives them
"""Subscriptions, and the events of a deployment: what there is first, then what comes, until there is nothing to come.

Each source looks again every POLL_S: logs are files that other processes' output is written to, and one look at them
costs less than a way to be told would. A source checks before it returns its stream: a refusal is then the answer.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from infra.localcloud.conducting.build_log import BuildEvent
from infra.localcloud.railway_api import views
from infra.localcloud.railway_api.call import Call, Info
from infra.localcloud.railway_api.log_filter import Predicate, log_filter
from infra.localcloud.railway_api.paging import connection
from infra.localcloud.railway_api.principal import is_valid
from infra.localcloud.railway_api.resolvers_account import call_of
from infra.localcloud.railway_api.resolvers_deployment import build_lines, checked_limit, replica_lines
from infra.localcloud.world.deployments import ENDED, UNDER_WAY
from infra.localcloud.world.model import Deployment

POLL_S = 0.2
Lines = list[views.View]


def _found(call: Call, deployment_id: str) -> Deployment | None:
    """None once it is deleted, or once the token that asked is: then the stream ends."""
    return call.world.deployments.get(deployment_id) if is_valid(call.principal, call.world) else None


class Tail:
    """Tells new lines from those it has seen, by time and, within the same instant, by number."""

    def __init__(self) -> None:
        self._newest = ""
        self._count = 0

    def unseen(self, lines: Sequence[views.View]) -> Lines:
        """`lines` in order of time."""
        at_newest = 0
        fresh: Lines = []
        for line in lines:
            if line["timestamp"] == self._newest:
                at_newest += 1
                if at_newest > self._count:
                    fresh.append(line)
            elif line["timestamp"] > self._newest:
                fresh.append(line)
        if fresh:
            last = fresh[-1]["timestamp"]
            self._newest, self._count = last, sum(line["timestamp"] == last for line in lines)
        return fresh


async def _tailed(
    read: Callable[[int], Lines | None], is_over: Callable[[], bool], limit: int, is_wanted: Predicate
) -> AsyncIterator[Lines]:
    """`read` gives the newest lines, None when there is nobody to read for any more."""
    tail = Tail()
    while True:
        was_over = is_over()  # before reading: a line written just before the end must still be read
        lines = await asyncio.to_thread(read, limit)
        if lines is None:
            return
        if fresh := [line for line in tail.unseen(lines) if is_wanted(line)]:
            yield fresh
        if was_over:
            return
        await asyncio.sleep(POLL_S)


def build_logs(
    _: None, info: Info, deploymentId: str, limit: int | None = None, filter: str | None = None
) -> AsyncIterator[Lines]:
    """Ends with the deployment's way to SUCCESS or FAILED."""
    call = call_of(info)
    call.access.deployment(deploymentId)

    def read(count: int) -> Lines | None:
        found = _found(call, deploymentId)
        return build_lines(call, found)[-count:] if found else None

    def is_over() -> bool:
        found = _found(call, deploymentId)
        is_switching = deploymentId in call.cloud.conductor.deployments.switching
        return found is None or (found.status not in UNDER_WAY and not is_switching)

    return _tailed(read, is_over, checked_limit(limit), log_filter(filter))


def deployment_logs(
    _: None, info: Info, deploymentId: str, limit: int | None = None, filter: str | None = None
) -> AsyncIterator[Lines]:
    """Ends when the deployment has."""
    call = call_of(info)
    call.access.deployment(deploymentId)

    def read(count: int) -> Lines | None:
        found = _found(call, deploymentId)
        return replica_lines(call, [found], count) if found else None

    def is_over() -> bool:
        found = _found(call, deploymentId)
        return found is None or found.status in ENDED

    return _tailed(read, is_over, checked_limit(limit), log_filter(filter))


def environment_logs(
    _: None, info: Info, environmentId: str, beforeLimit: int | None = None, filter: str | None = None
) -> AsyncIterator[Lines]:
    """All services of an environment, while it is there."""
    call = call_of(info)
    call.access.environment(environmentId)

    def read(count: int) -> Lines | None:
        if environmentId not in call.world.environments or not is_valid(call.principal, call.world):
            return None
        own = [found for found in call.world.deployments.values() if found.environment_id == environmentId]
        return replica_lines(call, [found for found in own if found.status not in ENDED], count)

    return _tailed(read, lambda: False, checked_limit(beforeLimit), log_filter(filter))


def deployment(_: None, info: Info, id: str) -> AsyncIterator[views.View]:
    """As it is, and again after each change of it."""
    call = call_of(info)
    call.access.deployment(id)
    return _states(call, id)


async def _states(call: Call, deployment_id: str) -> AsyncIterator[views.View]:
    shown: tuple[Deployment, bool] | None = None
    while (found := _found(call, deployment_id)) is not None:
        now = (found, deployment_id in call.cloud.conductor.deployments.switching)
        if now != shown:
            shown = now
            yield views.deployment_view(call, found)
        if found.status in ENDED:
            return
        await asyncio.sleep(POLL_S)


def event_view(deployment_id: str, found: BuildEvent) -> views.View:
    payload = {"durationMs": found.duration_ms, "error": found.error} if found.completed_at else None
    return {
        "id": str(uuid.uuid5(uuid.UUID(deployment_id), f"{found.step}:{found.started_at}")),
        "step": found.step,
        "createdAt": found.started_at,
        "completedAt": found.completed_at,
        "payload": payload,
    }


def deployment_events_(_: None, info: Info, id: str, **paging: Any) -> views.View:
    call = call_of(info)
    found = call.cloud.conductor.build_logs.events(call.access.deployment(id).id)
    views_of = {event.key: event_view(id, event) for event in found}
    return connection(found, lambda one: str(views_of[one.key]["id"]), lambda one: views_of[one.key], **paging)


def deployment_events(_: None, info: Info, id: str) -> AsyncIterator[views.View]:
    """Each step twice: when it begins, and when it is done. Ends when the deployment has."""
    call = call_of(info)
    call.access.deployment(id)
    return _events(call, id)


async def _events(call: Call, deployment_id: str) -> AsyncIterator[views.View]:
    shown: dict[str, BuildEvent] = {}
    while (found := _found(call, deployment_id)) is not None:
        for event in await asyncio.to_thread(call.cloud.conductor.build_logs.events, deployment_id):
            if shown.get(event.key) != event:
                shown[event.key] = event
                yield event_view(deployment_id, event)
        if found.status in ENDED:
            return
        await asyncio.sleep(POLL_S)


QUERIES = {"deploymentEvents": deployment_events_}
MUTATIONS: dict[str, Any] = {}
SUBSCRIPTIONS = {
    "buildLogs": build_logs,
    "deployment": deployment,
    "deploymentEvents": deployment_events,
    "deploymentLogs": deployment_logs,
    "environmentLogs": environment_logs,
}
