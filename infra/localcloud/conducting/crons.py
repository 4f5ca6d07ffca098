"""Services with a schedule: nothing of theirs runs but their start command, to its end, whenever it is due.

A run is a replica of its own, in the first region, with its log; a run that has not ended when the next one is due lets that
one fail to happen, as on Railway. Where the clock was moved over several times that were due, they are made up for by one
run; what was due while the cloud was down is not.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime

from infra.localcloud.conducting.build_log import BuildLogs
from infra.localcloud.conducting.keeper import Keeper
from infra.localcloud.conducting.replicas import FAILURES, Replicas, present
from infra.localcloud.conducting.workload import port_of
from infra.localcloud.world import lookup
from infra.localcloud.world.cron import next_after, parse_schedule
from infra.localcloud.world.deployments import SERVING
from infra.localcloud.world.errors import WorldError
from infra.localcloud.world.model import Deployment, ReplicaStatus
from infra.localcloud.world.replicas import SetReplica

LOOK_S = 1.0
_logger = logging.getLogger("localcloud")


class Crons:
    def __init__(self, keeper: Keeper, replicas: Replicas, build_logs: BuildLogs, tasks: asyncio.TaskGroup) -> None:
        self._keeper, self._replicas, self._build_logs, self._tasks = keeper, replicas, build_logs, tasks
        self._began = keeper.clock.now()  # what was due while the cloud was down is not made up for
        self._due: dict[str, datetime | None] = {}  # deployment -> its next run
        self._runs: dict[str, asyncio.Task[None]] = {}

    @property
    def under_way(self) -> frozenset[str]:
        """The deployments that have a run now."""
        return frozenset(self._runs)

    async def follow(self) -> None:
        """Runs for ever."""
        while True:
            self.look()
            await self._keeper.clock.sleep(self._pause_s())

    def look(self) -> None:
        """Begins what is due."""
        now = self._keeper.clock.now()
        scheduled = {found.id: found for found in self._keeper.world.deployments.values() if self._is_scheduled(found)}
        for gone in self._due.keys() - scheduled:
            del self._due[gone]
        for deployment_id, deployment in scheduled.items():
            schedule = parse_schedule(deployment.settings.cron_schedule or "")
            # From when it began to serve, not from when this loop first saw it: the clock may have been moved in between.
            since = max(self._began, datetime.fromisoformat(deployment.status_updated_at))
            due = self._due.setdefault(deployment_id, next_after(schedule, since))
            if due is not None and due <= now:
                self._due[deployment_id] = next_after(schedule, now)
                self._begin(deployment)

    def _pause_s(self) -> float:
        """Until the next run; moving the clock there ends it. A new deployment is seen within LOOK_S."""
        now = self._keeper.clock.now()
        left = [(due - now).total_seconds() for due in self._due.values() if due is not None]
        return max(0.0, min([LOOK_S, *left]))

    def _is_scheduled(self, deployment: Deployment) -> bool:
        instance = self._keeper.world.instances.get(deployment.instance_id)
        is_active = instance is not None and instance.active_deployment_id == deployment.id
        return is_active and deployment.status in SERVING and deployment.settings.is_scheduled

    def _begin(self, deployment: Deployment) -> None:
        if deployment.id in self._runs:
            self._build_logs.add(deployment.id, "the run before has not ended: this one is skipped", "error")
            return
        task = self._tasks.create_task(self._run(deployment.id), name=f"cron-{deployment.id}")
        self._runs[deployment.id] = task
        task.add_done_callback(lambda done: self._runs.pop(deployment.id, None))

    async def _run(self, deployment_id: str) -> None:
        try:
            deployment = lookup.deployment(self._keeper.world, deployment_id)
            rendered = deployment.rendered
            assert rendered is not None, "it serves"
            await self._replicas.stop(deployment, present(deployment), 0.0)  # the run before: its log stays
            deployment = lookup.deployment(self._keeper.world, deployment_id)
            place = {deployment.settings.first_region: 1}
            (replica,) = await self._replicas.add(deployment, place, port_of(rendered))
            await self._keeper.apply(SetReplica(deployment_id, replica.key, ReplicaStatus.RUNNING))
            status = ReplicaStatus.EXITED
            try:
                await self._replicas.run_to_its_end(deployment, replica)
            except FAILURES as failure:
                self._build_logs.add(deployment_id, f"run {replica.key}: {failure}", "error")
                status = ReplicaStatus.CRASHED
            found = lookup.replica(self._keeper.world, replica.key)
            if found is not None and found[1].status is ReplicaStatus.RUNNING:  # else its deployment was removed meanwhile
                await self._keeper.apply(SetReplica(deployment_id, replica.key, status))
        except WorldError:
            _logger.info("deployment %s went during its run", deployment_id)
        except Exception:
            _logger.exception("run of %s", deployment_id)  # our mistake; the rest of the cloud goes on
