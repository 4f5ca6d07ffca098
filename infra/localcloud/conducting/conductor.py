"""Effects in, jobs out: the one place that knows which worker does what, also after a restart of the local cloud."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from infra.localcloud.conducting.build_log import BuildLogs
from infra.localcloud.conducting.clock import new_stamp
from infra.localcloud.conducting.crons import Crons
from infra.localcloud.conducting.databases import Databases
from infra.localcloud.conducting.deletions import Deletions
from infra.localcloud.conducting.deployments import Deployments
from infra.localcloud.conducting.keeper import Keeper
from infra.localcloud.conducting.metrics import Metrics
from infra.localcloud.conducting.overlap import Overlap
from infra.localcloud.conducting.recovery import Recovery
from infra.localcloud.conducting.replicas import Replicas, present, together
from infra.localcloud.conducting.restarting import Restarting
from infra.localcloud.conducting.router import Router
from infra.localcloud.conducting.sleeping import Sleeping
from infra.localcloud.conducting.store import StoreError
from infra.localcloud.conducting.volumes import Volumes
from infra.localcloud.conducting.workers import Job, Workers
from infra.localcloud.plane.interface import Plane, PlaneError
from infra.localcloud.world import effects as e
from infra.localcloud.world.deployments import SERVING, UNDER_WAY, Interrupted
from infra.localcloud.world.endings import FinishEnding
from infra.localcloud.world.model import DeploymentStatus, Ending, ReplicaStatus
from infra.localcloud.world.replicas import SetReplica

ENDING_TIMEOUT_S = 120.0
_logger = logging.getLogger("localcloud")


class Conductor:
    """Lives inside a TaskGroup of the daemon: every task it starts belongs to that group."""

    def __init__(self, keeper: Keeper, plane: Plane, cloud: Path, base: Mapping[str, str], tasks: asyncio.TaskGroup) -> None:
        self._keeper, self._plane, self._cloud, self._tasks = keeper, plane, cloud, tasks
        self.build_logs = BuildLogs(cloud / "builds", keeper.clock)
        self.router = Router(keeper, plane, Overlap(cloud / "overlap.json"))
        self.workers = Workers(tasks)
        self.replicas = Replicas(keeper, plane, self.router, self.build_logs, cloud, base)
        self._restarting = Restarting(keeper, self.replicas, self.build_logs, tasks)
        self.crons = Crons(keeper, self.replicas, self.build_logs, tasks)
        self.deployments = Deployments(keeper, self.replicas, self._restarting, self.router, self.build_logs)
        self.sleeping = Sleeping(keeper, plane, self.workers, self.replicas, self.deployments, self.build_logs)
        self.databases = Databases(keeper, plane, cloud)
        self.recovery = Recovery(keeper, plane, self.workers, self.databases)
        self.metrics = Metrics(keeper, plane)
        self.volumes = Volumes(keeper, cloud)
        self.deletions = Deletions(keeper)
        self.is_restoring = False
        keeper.on_effects = self._accept

    def start(self) -> None:
        """The standing tasks, and what an earlier run left to do."""
        self._own("router", self.router.follow())
        self._own("watch", self._watch())
        self._own("metrics", self.metrics.follow())
        self._own("backups", self.volumes.follow())
        self._own("crons", self.crons.follow())
        self._own("sleeping", self.sleeping.follow())
        self._own("deletions", self.deletions.follow())
        self.is_restoring = True
        self._own("restore", self._restore())

    def _own(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """A task of the daemon's group that cannot take the others with it: what it did not expect is logged."""

        async def guarded() -> None:
            try:
                await work
            except Exception:
                _logger.exception("%s ended", name)

        self._tasks.create_task(guarded(), name=name)

    def _accept(self, effects: tuple[e.Effect, ...]) -> None:
        for effect in effects:
            _HANDLERS[type(effect)](self, effect)

    def _submit(self, scope: str, subject: str, run: Callable[[], Awaitable[None]]) -> None:
        self.workers.submit(scope, Job(subject, run))

    def _run_deployment(self, effect: e.RunDeployment) -> None:
        self._submit(effect.instance_id, effect.deployment_id, lambda: self.deployments.run(effect.deployment_id, effect.after))

    def _scale(self, effect: e.ScaleInstance) -> None:
        self._submit(effect.instance_id, effect.instance_id, lambda: self.deployments.scale(effect.instance_id))

    def _remove(self, effect: e.RemoveDeployment) -> None:
        self._submit(effect.instance_id, f"remove:{effect.deployment_id}", lambda: self.deployments.retire(effect.deployment_id))

    def _restart(self, effect: e.RestartDeployment) -> None:
        subject = f"restart:{effect.deployment_id}"
        self._submit(effect.instance_id, subject, lambda: self.deployments.restart(effect.deployment_id))

    def _stop(self, effect: e.StopDeployment) -> None:
        subject = f"stop:{effect.deployment_id}"
        self._submit(effect.instance_id, subject, lambda: self.deployments.halt(effect.deployment_id))

    def _cancel(self, effect: e.CancelDeployment) -> None:
        self.workers.cancel(effect.instance_id, effect.deployment_id)
        subject = f"discard:{effect.deployment_id}"
        self._submit(effect.instance_id, subject, lambda: self.deployments.discard(effect.deployment_id))

    def _volume_work(self, effect: e.RunVolumeWork) -> None:
        workflow = self._keeper.world.workflows[effect.workflow_id]
        self._submit(f"volume:{workflow.volume_id}", workflow.id, lambda: self.volumes.run(effect.workflow_id))

    def _routes(self, effect: e.RoutesChanged) -> None:
        self.router.touch()

    def _bring_up(self, effect: e.BringUpSupabase) -> None:
        self._submit(f"supabase:{effect.ref}", effect.ref, lambda: self.databases.bring_up(effect.ref))

    def _change_password(self, effect: e.ChangeDatabasePassword) -> None:
        self._submit(f"supabase:{effect.ref}", f"password:{effect.ref}", lambda: self.databases.change_password(effect.ref))

    def _reconfigure_auth(self, effect: e.ReconfigureAuth) -> None:
        self._submit(f"supabase:{effect.ref}", f"auth:{effect.ref}", lambda: self.databases.reconfigure(effect.ref))

    def _bring_up_replica(self, effect: e.BringUpReadReplica) -> None:
        scope = f"supabase:{effect.identifier}"
        self._submit(scope, effect.identifier, lambda: self.databases.bring_up_replica(effect.ref, effect.identifier))

    def _end(self, effect: e.RunEnding) -> None:
        self._own(f"ending of {effect.ending.id}", self._run_ending(effect.scope, effect.ending))

    async def _run_ending(self, scope: str | None, ending: Ending) -> None:
        """Bounded and repeatable: what does not end now is ended when the local cloud starts the next time."""
        began = self._keeper.clock.monotonic()
        try:
            async with asyncio.timeout(ENDING_TIMEOUT_S):
                if scope is not None:
                    await self.workers.end(scope)
                await self._restarting.forget(list(ending.replica_keys))
                await self.router.settle()
                await together(self._plane.stop_replica(key, float(ending.draining_s)) for key in ending.replica_keys)
                for key in ending.process_keys:
                    await self._plane.stop(key)
                for key in ending.database_keys:
                    await self._plane.remove_database(key)
                for owner in ending.owners:
                    self._plane.free(owner)
                for name in ending.directories:  # a backup that is being made would put files there again
                    await self.workers.end(f"volume:{Path(name).name}")
                await asyncio.to_thread(self._delete_directories, ending.directories)
            await self.deletions.linger(began)
            await self._keeper.apply(FinishEnding(ending.id))
        except (PlaneError, StoreError, TimeoutError, OSError) as exc:
            _logger.warning("ending of %s is not complete (%s); it goes on at the next start", ending.id, exc)

    def _delete_directories(self, names: tuple[str, ...]) -> None:
        for name in names:
            path = self._cloud / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    async def _watch(self) -> None:
        async for event in self._plane.events():
            if self.databases.scope_of(event.key) is None:
                await self._restarting.ended(event)
                continue
            is_held = event.key in self.databases.held
            _logger.warning(
                "%s ended with exit code %d; %s", event.key, event.exit_code, "held down" if is_held else "starting it"
            )
            if is_held:
                await self.databases.went_down(event.key)
            else:
                self._bring_back(event.key)

    def _bring_back(self, key: str) -> None:
        """A database or a gateway whose process has gone. Of a project that was deleted meanwhile nothing comes back."""
        found = self.databases.scope_of(key)
        if found is None:
            return
        scope, ref, identifier = found
        if identifier is None:
            self._submit(scope, ref, lambda: self.databases.bring_up(ref))
        else:
            self._bring_up_replica(e.BringUpReadReplica(ref=ref, identifier=identifier))

    def hold(self, key: str) -> None:
        """A database or gateway that ends from now on stays down, until `release` or the daemon's end."""
        self.databases.held.add(key)

    def release(self, key: str) -> None:
        self.databases.held.discard(key)
        self._bring_back(key)

    async def _restore(self) -> None:
        """Everything that ran comes back: databases first, because services ask for them when they start."""
        try:
            await self.volumes.end_interrupted()
            world = self._keeper.world
            for ending in world.endings.values():
                self._end(e.RunEnding(scope=None, ending=ending))
            await together(self._restore_supabase(ref) for ref in world.supabase)
            serving = [found for found in world.deployments.values() if found.status in SERVING]
            caches = [found for found in serving if found.settings.image is not None]
            await together(self._restore_deployment(found.id) for found in caches)
            await together(self._restore_deployment(found.id) for found in serving if found not in caches)
            for found in world.deployments.values():
                if found.status is DeploymentStatus.REMOVING:
                    self._remove(e.RemoveDeployment(instance_id=found.instance_id, deployment_id=found.id))
                elif found.status in UNDER_WAY:
                    self.build_logs.add(found.id, "the local cloud was restarted; starting over")
                    await self._keeper.apply(Interrupted(new_stamp(), found.id))
            await self._show_routes()
        finally:
            self.is_restoring = False

    async def _show_routes(self) -> None:
        """Whoever waited for everything to be back asks the edges next: they have to listen by then."""
        try:
            await self.router.settle()
        except (PlaneError, OSError) as exc:
            _logger.warning("routes: %s; trying again", exc)
            self.router.touch()

    async def _restore_supabase(self, ref: str) -> None:
        await self.databases.bring_up(ref)
        project = self._keeper.world.supabase.get(ref)
        for replica in project.replicas if project else ():
            await self.databases.bring_up_replica(ref, replica.identifier)

    async def _restore_deployment(self, deployment_id: str) -> None:
        deployment = self._keeper.world.deployments.get(deployment_id)
        if deployment is None:
            return
        if deployment.settings.is_scheduled:  # a run that was under way is not begun again
            await self.replicas.stop(deployment, present(deployment), 0.0)
            return
        replicas = [found for found in present(deployment) if found.status is not ReplicaStatus.EXITED]
        for replica in replicas:
            await self._keeper.apply(SetReplica(deployment_id, replica.key, ReplicaStatus.INITIALIZING, 0))
        await together(self.deployments.start_again(deployment, replica) for replica in replicas)


_HANDLERS: dict[type[e.Effect], Callable[[Conductor, e.Effect], None]] = {
    e.RunDeployment: Conductor._run_deployment,  # type: ignore[dict-item]
    e.ScaleInstance: Conductor._scale,  # type: ignore[dict-item]
    e.RemoveDeployment: Conductor._remove,  # type: ignore[dict-item]
    e.RestartDeployment: Conductor._restart,  # type: ignore[dict-item]
    e.StopDeployment: Conductor._stop,  # type: ignore[dict-item]
    e.CancelDeployment: Conductor._cancel,  # type: ignore[dict-item]
    e.RunVolumeWork: Conductor._volume_work,  # type: ignore[dict-item]
    e.RoutesChanged: Conductor._routes,  # type: ignore[dict-item]
    e.BringUpSupabase: Conductor._bring_up,  # type: ignore[dict-item]
    e.ChangeDatabasePassword: Conductor._change_password,  # type: ignore[dict-item]
    e.ReconfigureAuth: Conductor._reconfigure_auth,  # type: ignore[dict-item]
    e.BringUpReadReplica: Conductor._bring_up_replica,  # type: ignore[dict-item]
    e.RunEnding: Conductor._end,  # type: ignore[dict-item]
}
