"""The life of one deployment, from QUEUED to SUCCESS, and how the one before it leaves.

Theory of operation. A service instance has one worker, so that one deployment at a time moves. A deployment first gets
everything ready beside the old one (build, pre-deploy, replicas started and healthy); only then, in one change of the world,
it becomes the active one and the routes follow. The old one keeps its processes for the overlap, then gets SIGTERM and the
time to drain. Whatever fails before the switch ends the new processes only: the old ones never notice.

A cache is the exception: it owns its address, so the old one has to go before the new one can listen (as on Railway with a
volume). What fails then leaves no cache.
"""

from __future__ import annotations

import asyncio
import logging

from msgspec import structs

from infra.localcloud.conducting.build_log import BuildLogs
from infra.localcloud.conducting.clock import new_stamp
from infra.localcloud.conducting.keeper import Keeper
from infra.localcloud.conducting.replicas import FAILURES, Replicas, present, together
from infra.localcloud.conducting.restarting import Restarting
from infra.localcloud.conducting.router import Router
from infra.localcloud.conducting.store import StoreError
from infra.localcloud.conducting.workload import Bundle, Cache, Workload, WorkloadRefused, check_deployable, port_of
from infra.localcloud.plane.interface import PlaneError, StartFailed
from infra.localcloud.world import lookup
from infra.localcloud.world.deployments import (
    SERVING,
    UNDER_WAY,
    Activate,
    AskRemoval,
    MoveDeployment,
    RecordPlacement,
    RecordPreDeploy,
    RecordRendered,
)
from infra.localcloud.world.errors import WorldError
from infra.localcloud.world.model import Deployment, DeploymentStatus, Replica, ReplicaStatus
from infra.localcloud.world.provided import rendered_variables
from infra.localcloud.world.replicas import RecordStop, SetReplica
from infra.localcloud.world.restarts import backoff_s

STORE_ATTEMPTS_MAX = 10
DEPENDENCIES_WAIT_S = 600.0
POLL_S = 0.02
_logger = logging.getLogger("localcloud")


class Deployments:
    def __init__(self, keeper: Keeper, replicas: Replicas, restarting: Restarting, router: Router, build_logs: BuildLogs) -> None:
        self._keeper, self._replicas, self._restarting = keeper, replicas, restarting
        self._router, self._build_logs = router, build_logs
        # Active in the world, but the edges do not show it yet. Whoever waits for SUCCESS must find it served.
        self.switching: set[str] = set()

    async def run(self, deployment_id: str, after: tuple[str, ...] = ()) -> None:
        """`after` names deployments of the same change that this one's variables refer to."""
        await self._wait_for(deployment_id, after)
        deployment = self._keeper.world.deployments.get(deployment_id)
        if deployment is None or deployment.status is not DeploymentStatus.QUEUED:
            return  # cancelled or deleted while it waited
        old = lookup.active_deployment(self._keeper.world, self._keeper.world.instances[deployment.instance_id])
        try:
            await self._bring_up(deployment, old)
            if old is not None:
                self._router.overlap.begin(deployment.instance_id, old.id)
            with self._build_logs.step(deployment_id, "CONFIGURE_NETWORK"):
                await self._switch(deployment_id)
            if old is not None:
                await self._keeper.clock.sleep(self._deployment(deployment_id).settings.overlap_s or 0)
        except FAILURES as failure:
            await self._fail(deployment_id, failure)
            return
        except WorldError:
            return  # deleted or cancelled under our hands; the conductor cleans up
        finally:
            self._router.overlap.end(deployment.instance_id)
        if old is not None:
            await self.retire(old.id)

    async def _wait_for(self, deployment_id: str, after: tuple[str, ...]) -> None:
        """Until none of them is under way. Bounded: a dependency that hangs must not keep everything else for ever."""
        deployments = self._keeper.world.deployments
        if not any(other in deployments and deployments[other].status in UNDER_WAY for other in after):
            return
        with self._build_logs.step(deployment_id, "WAIT_FOR_DEPENDENCIES"):
            for _ in range(int(DEPENDENCIES_WAIT_S / POLL_S)):
                deployments = self._keeper.world.deployments
                if deployment_id not in deployments:
                    return
                if not any(other in deployments and deployments[other].status in UNDER_WAY for other in after):
                    return
                await asyncio.sleep(POLL_S)

    async def _switch(self, deployment_id: str) -> None:
        self.switching.add(deployment_id)
        try:
            await self._keeper.apply(Activate(new_stamp(), deployment_id))
            await self._restarting.started([found.key for found in present(self._deployment(deployment_id))])
            await self.settle_routes()
        finally:
            self.switching.discard(deployment_id)
        self._build_logs.add(deployment_id, "deployment is live")

    async def _bring_up(self, deployment: Deployment, old: Deployment | None) -> None:
        await self._move(deployment.id, DeploymentStatus.INITIALIZING)
        check_deployable(deployment)
        await self._move(deployment.id, DeploymentStatus.BUILDING)
        self._build_logs.add(deployment.id, f"building {deployment.settings.image or deployment.release}")
        with self._build_logs.step(deployment.id, "BUILD_IMAGE"):
            workload = await self._replicas.workload(deployment)
        await self._move(deployment.id, DeploymentStatus.DEPLOYING)
        deployment = await self._render(deployment.id)
        assert deployment.rendered is not None
        port = port_of(deployment.rendered)
        await self._pre_deploy(deployment, workload, port)
        if isinstance(workload, Cache) and old is not None:
            self._build_logs.add(deployment.id, "stopping the cache before: it holds the address")
            # It leaves for good: should the new one fail, nothing may pretend that the old one still serves.
            await self._keeper.apply(AskRemoval(new_stamp(), old.id))
            await self._stop(old.id)
        if deployment.settings.is_scheduled:
            self._build_logs.add(deployment.id, f"runs by its schedule, {deployment.settings.cron_schedule} (UTC)")
            return
        replicas = await self._replicas.add(deployment, deployment.settings.placement, port)
        self._build_logs.add(
            deployment.id,
            f"starting {len(replicas)} replica{'' if len(replicas) == 1 else 's'} in {', '.join(deployment.settings.placement)}",
        )
        with self._build_logs.step(deployment.id, "CREATE_CONTAINER"):
            await self._replicas.start_all(deployment, replicas, workload)

    async def _move(self, deployment_id: str, status: DeploymentStatus) -> None:
        await self._keeper.apply(MoveDeployment(new_stamp(), deployment_id, status))

    def _deployment(self, deployment_id: str) -> Deployment:
        return lookup.deployment(self._keeper.world, deployment_id)

    async def _render(self, deployment_id: str) -> Deployment:
        """References are resolved now, so that a password set a moment ago in another service is the one that is used."""
        deployment = self._deployment(deployment_id)
        instance = self._keeper.world.instances[deployment.instance_id]
        # The snapshot's own settings decide what it is (image or bundle), not what the instance was set to since.
        instance = structs.replace(instance, settings=structs.replace(instance.settings, image=deployment.settings.image))
        result = rendered_variables(self._keeper.world, instance, self._router, deployment.variables)
        if result.problems:
            raise WorkloadRefused("; ".join(result.problems))
        await self._keeper.apply(RecordRendered(deployment_id, result.values))
        return self._deployment(deployment_id)

    async def _pre_deploy(self, deployment: Deployment, workload: Workload, port: int) -> None:
        if deployment.is_pre_deploy_done or not isinstance(workload, Bundle):
            return
        for command in deployment.settings.pre_deploy_command:
            self._build_logs.add(deployment.id, f"pre-deploy: {command}")
            with self._build_logs.step(deployment.id, "PRE_DEPLOY_COMMAND"):
                await self._replicas.run_pre_deploy(deployment, command, workload, port)
        await self._keeper.apply(RecordPreDeploy(deployment.id))

    async def _fail(self, deployment_id: str, failure: BaseException) -> None:
        self._build_logs.add(deployment_id, f"deployment failed: {failure}", "error")
        if isinstance(failure, StartFailed):
            for line in failure.last_lines[-50:]:
                self._build_logs.add(deployment_id, line, "error")
        for attempt in range(STORE_ATTEMPTS_MAX):
            try:
                await self.discard(deployment_id)
                await self._move(deployment_id, DeploymentStatus.FAILED)
            except WorldError:
                _logger.info("deployment %s was deleted while it failed", deployment_id)
            except StoreError as exc:  # a disk that was full a moment ago; whoever waits for the status must get it
                _logger.warning("deployment %s: %s", deployment_id, exc)
                await self._keeper.clock.sleep(backoff_s(attempt))
                continue
            return

    async def discard(self, deployment_id: str) -> None:
        """Ends what a failed or cancelled deployment has started. Unknown: nothing to do."""
        deployment = self._keeper.world.deployments.get(deployment_id)
        if deployment is not None and present(deployment):
            await self._restarting.forget([found.key for found in present(deployment)])
            await self._replicas.stop(deployment, present(deployment), 0.0)

    async def _stop(self, deployment_id: str) -> None:
        deployment = self._keeper.world.deployments.get(deployment_id)
        if deployment is None:
            return
        await self._restarting.forget([found.key for found in present(deployment)])
        await self._replicas.stop(deployment, present(deployment), float(deployment.settings.draining_s or 0))

    async def retire(self, deployment_id: str) -> None:
        """A deployment that is REMOVING: routes first, then SIGTERM and drain, then REMOVED."""
        try:
            await self.settle_routes()
            with self._build_logs.step(deployment_id, "DRAIN_INSTANCES"):
                await self._stop(deployment_id)
            if self._keeper.world.deployments[deployment_id].status is DeploymentStatus.REMOVING:
                await self._move(deployment_id, DeploymentStatus.REMOVED)
        except (WorldError, KeyError):
            _logger.info("deployment %s was deleted while it was removed", deployment_id)

    async def settle_routes(self) -> None:
        try:
            await self._router.settle()
        except PlaneError as exc:
            _logger.warning("routes: %s", exc)
            self._router.touch()  # the router tries again; a switch that is late is better than none

    async def halt(self, deployment_id: str) -> None:
        """Its processes end and do not come back by themselves; it stays the active one."""
        deployment = self._keeper.world.deployments.get(deployment_id)
        if deployment is None or deployment.status not in SERVING:
            return  # removed, or deleted, before its turn came
        replicas = present(deployment)
        await self._restarting.forget([found.key for found in replicas])
        await self._keeper.apply(RecordStop(deployment_id))
        self._build_logs.add(deployment_id, "stopped")
        await self.end_processes(deployment, replicas)

    async def end_processes(self, deployment: Deployment, replicas: list[Replica]) -> None:
        """Of replicas that the edges do not lead to any more; they stay on record."""
        await self._restarting.forget([found.key for found in replicas])
        await self.settle_routes()
        drain_s = float(deployment.settings.draining_s or 0)
        await together(self._replicas.stop_process(replica, drain_s) for replica in replicas)

    async def restart(self, deployment_id: str) -> None:
        """One replica after the other, so that a service with several keeps answering."""
        if self._deployment(deployment_id).settings.is_scheduled:
            return  # nothing is kept running
        for key in [found.key for found in present(self._deployment(deployment_id))]:
            deployment = self._deployment(deployment_id)
            replica = next((found for found in present(deployment) if found.key == key), None)
            if replica is None:
                continue
            await self._restarting.forget([key])
            await self._keeper.apply(SetReplica(deployment_id, key, ReplicaStatus.RESTARTING))
            await self.settle_routes()
            await self._replicas.stop_process(replica, float(deployment.settings.draining_s or 0))
            await self.start_again(deployment, replica)

    async def start_again(self, deployment: Deployment, replica: Replica) -> None:
        """A replica that is on record gets its process back; what fails now is the restart policy's business."""
        try:
            await self._replicas.start(deployment, replica, await self._replicas.workload(deployment))
        except FAILURES as failure:
            self._build_logs.add(deployment.id, f"replica {replica.key} did not come back: {failure}", "error")
            self._restarting.begin_failed_start(deployment, replica)
            return
        except WorldError:
            return
        await self._restarting.started([replica.key])

    async def scale(self, instance_id: str) -> None:
        """Only the number of replicas changes: no build, no pre-deploy, no new deployment."""
        instance = self._keeper.world.instances.get(instance_id)
        deployment = lookup.active_deployment(self._keeper.world, instance) if instance else None
        if instance is None or deployment is None:
            return
        wanted = instance.settings.placement
        if deployment.settings.image is not None:
            self._build_logs.add(deployment.id, "a cache is not scaled or moved while it runs; deploy it again", "error")
            return
        if deployment.settings.is_scheduled:
            await self._keeper.apply(RecordPlacement(deployment.id, instance.settings.regions, instance.settings.num_replicas))
            return
        have: dict[str, list[Replica]] = {}
        for replica in present(deployment):
            have.setdefault(replica.region, []).append(replica)
        missing = {region: count - len(have.get(region, [])) for region, count in wanted.items()}
        if not await self._grow(deployment, {region: count for region, count in missing.items() if count > 0}):
            return
        surplus = [replica for region, found in have.items() for replica in found[wanted.get(region, 0) :]]
        for replica in surplus:
            await self._keeper.apply(SetReplica(deployment.id, replica.key, ReplicaStatus.REMOVING))
        await self.settle_routes()
        await self._restarting.forget([replica.key for replica in surplus])
        await self._replicas.stop(deployment, surplus, float(deployment.settings.draining_s or 0))
        await self._keeper.apply(RecordPlacement(deployment.id, instance.settings.regions, instance.settings.num_replicas))

    async def _grow(self, deployment: Deployment, missing: dict[str, int]) -> bool:
        if not missing:
            return True
        assert deployment.rendered is not None
        replicas = await self._replicas.add(deployment, missing, port_of(deployment.rendered))
        try:
            await self._replicas.start_all(deployment, replicas, await self._replicas.workload(deployment))
        except FAILURES as failure:
            self._build_logs.add(deployment.id, f"scaling failed, the number of replicas stays: {failure}", "error")
            await self._replicas.stop(deployment, replicas, 0.0)
            return False
        await self._restarting.started([replica.key for replica in replicas])
        await self.settle_routes()
        return True
