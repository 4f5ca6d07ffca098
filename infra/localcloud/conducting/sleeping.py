"""Services that may sleep: put to sleep when they have sent nothing for a while, woken by whoever comes next.

Theory of operation. Every second (or as soon as the clock is moved) the packets that each such replica has sent are compared
with the look before. After ten minutes of the cloud's clock without any, all replicas of the deployment end, and the edges lead
to a door in each one's place, where connections are let in and wait. The first of them wakes all replicas; once one is up, the
edges lead to it again and those at its door go on to it. Nothing of this outlives the daemon: at its start everything is awake.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial

from infra.localcloud.conducting.build_log import BuildLogs
from infra.localcloud.conducting.clock import new_stamp
from infra.localcloud.conducting.deployments import Deployments
from infra.localcloud.conducting.keeper import Keeper
from infra.localcloud.conducting.replicas import Replicas, present, together
from infra.localcloud.conducting.store import StoreError
from infra.localcloud.conducting.workers import Job, Workers
from infra.localcloud.plane.interface import Marks, Plane, PlaneError
from infra.localcloud.world import lookup, owners
from infra.localcloud.world.errors import WorldError
from infra.localcloud.world.model import Deployment, DeploymentStatus, Replica, ReplicaStatus
from infra.localcloud.world.replicas import FallAsleep
from infra.localcloud.world.routing import ports_of

LOOK_S = 1.0
GONE = (ReplicaStatus.REMOVED, ReplicaStatus.CRASHED, ReplicaStatus.EXITED)
QUIET_S = 600.0  # Railway's documentation of app sleeping
_logger = logging.getLogger("localcloud")


class Sleeping:
    def __init__(
        self, keeper: Keeper, plane: Plane, workers: Workers, replicas: Replicas, deployments: Deployments, build_logs: BuildLogs
    ) -> None:
        self._keeper, self._plane, self._workers = keeper, plane, workers
        self._replicas, self._deployments, self._build_logs = replicas, deployments, build_logs
        self._quiet_since: dict[str, float] = {}  # deployment -> when it was first seen without news
        self._marks: dict[str, Marks] = {}  # replica -> at the last look
        self._doors: set[str] = set()  # keys of replicas
        self._knocked: set[str] = set()

    async def follow(self) -> None:
        """Runs for ever."""
        while True:
            try:
                await self.look()
            except (WorldError, PlaneError, StoreError, OSError) as exc:
                _logger.warning("sleeping services: %s", exc)
            await self._keeper.clock.sleep(LOOK_S)

    async def look(self) -> None:
        await self._close_doors()
        awake = [found for found in self._keeper.world.deployments.values() if self._may_fall_asleep(found)]
        self._quiet_since = {one.id: self._quiet_since[one.id] for one in awake if one.id in self._quiet_since}
        if not awake and not self._doors:
            return
        now = self._keeper.clock.monotonic()
        seen = self._plane.traffic([replica.key for one in awake for replica in present(one)])
        for deployment in awake:
            has_sent = any(seen.get(one.key, frozenset()) - self._marks.get(one.key, frozenset()) for one in present(deployment))
            if has_sent or deployment.id not in self._quiet_since:
                self._quiet_since[deployment.id] = now
            elif now - self._quiet_since[deployment.id] >= QUIET_S:
                del self._quiet_since[deployment.id]
                self._submit(deployment, "sleep", partial(self.put_to_sleep, deployment.id))
        self._marks = seen
        for deployment in self._keeper.world.deployments.values():
            if deployment.status is DeploymentStatus.SLEEPING:  # a domain may have been made meanwhile
                await self._hold(deployment)

    def _may_fall_asleep(self, deployment: Deployment) -> bool:
        settings = deployment.settings
        is_meant = settings.can_sleep and settings.image is None and not settings.is_scheduled
        if not is_meant or deployment.status is not DeploymentStatus.SUCCESS or deployment.id in self._deployments.switching:
            return False
        instance = self._keeper.world.instances[deployment.instance_id]
        is_active = instance.active_deployment_id == deployment.id
        return is_active and all(found.status is ReplicaStatus.RUNNING for found in present(deployment))

    def _submit(self, deployment: Deployment, what: str, run: Callable[[], Awaitable[None]]) -> None:
        self._workers.submit(deployment.instance_id, Job(f"{what}:{deployment.id}", run))

    async def put_to_sleep(self, deployment_id: str) -> None:
        deployment = self._keeper.world.deployments.get(deployment_id)
        if deployment is None or not self._may_fall_asleep(deployment):
            return
        sleepers = present(deployment)
        doors = {one.key: self._plane.allocate(one.region, owners.door(one.key)) for one in sleepers}
        try:
            await self._hold(deployment, doors)
            self._build_logs.add(deployment_id, f"asleep: nothing was sent for {QUIET_S / 60:g} minutes")
            await self._keeper.apply(FallAsleep(new_stamp(), deployment_id, doors))
        finally:  # what did not come to sleep is seen at the next look, and its door is closed
            self._doors.update(doors)
        await self._deployments.end_processes(deployment, sleepers)

    async def _hold(self, deployment: Deployment, doors: dict[str, str] | None = None) -> None:
        ports = ports_of(self._keeper.world, deployment)
        on_knock = partial(self._knock, deployment.id)
        doors = doors or {one.key: one.door for one in present(deployment) if one.door}
        for key, address in doors.items():
            await self._plane.hold_connections(key, address, ports, on_knock)

    def _knock(self, deployment_id: str) -> None:
        deployment = self._keeper.world.deployments.get(deployment_id)
        if deployment is not None and deployment_id not in self._knocked:
            self._knocked.add(deployment_id)
            self._submit(deployment, "wake", partial(self.wake, deployment_id))

    async def wake(self, deployment_id: str) -> None:
        try:
            deployment = self._keeper.world.deployments.get(deployment_id)
            if deployment is None:
                return
            self._build_logs.add(deployment_id, "woken")
            sleepers = [found for found in present(deployment) if found.status is ReplicaStatus.STOPPED]
            await together(self._wake_one(deployment, one) for one in sleepers)
            await self._close_doors()
        finally:
            self._knocked.discard(deployment_id)

    async def _wake_one(self, deployment: Deployment, replica: Replica) -> None:
        await self._deployments.start_again(deployment, replica)
        self._plane.release_connections(replica.key, replica.address)

    async def _close_doors(self) -> None:
        """Of replicas that do not sleep any more, whoever ended that: a knock, a restart, a removal, the end of their service."""
        ended = [key for key in self._doors if self._status_of(key) is not ReplicaStatus.STOPPED]
        for key in ended:
            found = lookup.replica(self._keeper.world, key)
            is_there = found is not None and found[1].status not in GONE
            self._plane.release_connections(key, found[1].address if found is not None and is_there else None)
        if ended:
            await self._deployments.settle_routes()
        for key in ended:
            self._plane.forget_connections(key)
            self._plane.free(owners.door(key))
            self._doors.discard(key)

    def _status_of(self, key: str) -> ReplicaStatus | None:
        found = lookup.replica(self._keeper.world, key)
        return found[1].status if found else None
