"""Replicas, databases and gateways that ended unasked: off the routes at once, back after the policy's pause."""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from infra.localcloud.conducting.build_log import BuildLogs
from infra.localcloud.conducting.keeper import Keeper
from infra.localcloud.conducting.replicas import Replicas
from infra.localcloud.conducting.workload import WorkloadRefused
from infra.localcloud.plane.interface import Exited, PlaneError, StartFailed
from infra.localcloud.world import lookup
from infra.localcloud.world.command_line import CommandLineError
from infra.localcloud.world.errors import WorldError
from infra.localcloud.world.model import Deployment, Replica, ReplicaStatus
from infra.localcloud.world.replicas import SetReplica
from infra.localcloud.world.restarts import STEADY_S, after_exit

EARLY_EXITS_MAX = 1000
_logger = logging.getLogger("localcloud")


class Restarting:
    def __init__(self, keeper: Keeper, replicas: Replicas, build_logs: BuildLogs, tasks: asyncio.TaskGroup) -> None:
        self._keeper, self._replicas, self._build_logs, self._tasks = keeper, replicas, build_logs, tasks
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._running_since: dict[str, float] = {}
        # An end that is reported before the replica is on record as running; see `started`.
        self._early: deque[Exited] = deque(maxlen=EARLY_EXITS_MAX)

    async def ended(self, event: Exited) -> None:
        found = lookup.replica(self._keeper.world, event.key)
        if found is None:
            return
        deployment, replica = found
        if replica.status is ReplicaStatus.RUNNING and event.key not in self._under_way:
            self._build_logs.add(deployment.id, f"replica {event.key} ended with exit code {event.exit_code}", "error")
            self._begin(deployment, replica, event.exit_code)
        else:
            self._early.append(event)

    async def started(self, keys: list[str]) -> None:
        """To be called once these are on record as RUNNING: whoever ended in between is dealt with now."""
        now = self._keeper.clock.monotonic()
        self._running_since.update(dict.fromkeys(keys, now))
        for event in [event for event in self._early if event.key in keys]:
            self._early.remove(event)
            await self.ended(event)

    async def forget(self, keys: list[str]) -> None:
        """Ends the restarts of replicas that are about to be stopped; returns when none is under way."""
        tasks = [task for key in keys if (task := self._under_way.pop(key, None)) is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for key in keys:
            self._running_since.pop(key, None)
        self._early = deque((event for event in self._early if event.key not in keys), maxlen=EARLY_EXITS_MAX)

    def begin_failed_start(self, deployment: Deployment, replica: Replica) -> None:
        """For a replica that ran before a restart of the local cloud and did not come back at once."""
        self._begin(deployment, replica, 1)

    def _begin(self, deployment: Deployment, replica: Replica, exit_code: int) -> None:
        task = self._tasks.create_task(self._bring_back(deployment.id, replica, exit_code), name=f"restart-{replica.key}")
        self._under_way[replica.key] = task
        task.add_done_callback(lambda done: self._done(replica.key, done))

    def _done(self, key: str, task: asyncio.Task[None]) -> None:
        if self._under_way.get(key) is task:
            del self._under_way[key]

    async def _bring_back(self, deployment_id: str, replica: Replica, exit_code: int) -> None:
        try:
            await self._retry(deployment_id, replica, exit_code)
        except WorldError:
            _logger.info("replica %s went while it was being restarted", replica.key)
        except Exception:
            _logger.exception("restart of %s", replica.key)  # our mistake; the rest of the cloud goes on

    async def _retry(self, deployment_id: str, replica: Replica, exit_code: int) -> None:
        since = self._running_since.pop(replica.key, None)
        is_steady = since is not None and self._keeper.clock.monotonic() - since >= STEADY_S
        restarts = 0 if is_steady else replica.restarts
        while True:
            deployment = lookup.deployment(self._keeper.world, deployment_id)
            decision = after_exit(deployment.settings, restarts, exit_code)
            if isinstance(decision, ReplicaStatus):
                line = f"replica {replica.key} stays {decision} after {restarts} restarts"
                self._build_logs.add(deployment_id, line, "error")  # first: who sees the status looks for the reason
                await self._keeper.apply(SetReplica(deployment_id, replica.key, decision, restarts))
                return
            await self._keeper.apply(SetReplica(deployment_id, replica.key, ReplicaStatus.RESTARTING, restarts))
            await self._keeper.clock.sleep(decision)
            restarts += 1
            try:
                workload = await self._replicas.workload(deployment)
                await self._replicas.start(deployment, replica, workload, restarts)
            except (PlaneError, CommandLineError, WorkloadRefused) as exc:
                exit_code = 1
                self._build_logs.add(deployment_id, f"restart {restarts} of replica {replica.key}: {exc}", "error")
                if isinstance(exc, StartFailed):
                    for line in exc.last_lines[-20:]:
                        self._build_logs.add(deployment_id, line, "error")
                continue
            self._under_way.pop(replica.key, None)
            await self.started([replica.key])
            return
