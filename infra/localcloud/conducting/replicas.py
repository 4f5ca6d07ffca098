"""The replicas of a deployment as processes: made, started, stopped, and put on record at each step."""

from __future__ import annotations

import asyncio
import re
import shutil
import uuid
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from infra.localcloud.conducting.build_log import BuildLogs
from infra.localcloud.conducting.keeper import Keeper
from infra.localcloud.conducting.router import Router
from infra.localcloud.conducting.store import StoreError
from infra.localcloud.conducting.workload import Bundle, Cache, Workload, WorkloadRefused, pre_deploy_spec, replica_spec
from infra.localcloud.plane.interface import Plane, PlaneError, ReplicaSpec
from infra.localcloud.world import lookup, owners
from infra.localcloud.world.command_line import CommandLineError
from infra.localcloud.world.model import Deployment, Replica, ReplicaStatus
from infra.localcloud.world.provided import is_cache_image, replica_environment
from infra.localcloud.world.replicas import AddReplicas, RetireReplicas, SetReplica

STARTS_AT_ONCE_MAX = 8
PRE_DEPLOY_TIMEOUT_S = 300.0
SCHEDULED_RUN_TIMEOUT_S = 24 * 3600.0
FAILURES = (PlaneError, CommandLineError, WorkloadRefused, StoreError, OSError)


async def together(steps: Iterable[Coroutine[Any, Any, None]]) -> None:
    """All at once; the first failure ends the others and comes out as itself, not as a group."""
    try:
        async with asyncio.TaskGroup() as group:
            for step in steps:
                group.create_task(step)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None


class Replicas:
    """`base` is what every process gets from the daemon's own environment: PATH, HOME, LANG, TZ and nothing else."""

    def __init__(
        self, keeper: Keeper, plane: Plane, router: Router, build_logs: BuildLogs, cloud: Path, base: Mapping[str, str]
    ) -> None:
        self._keeper, self._plane, self._router, self._build_logs = keeper, plane, router, build_logs
        self._cloud, self._base = cloud, base
        self._starting = asyncio.Semaphore(STARTS_AT_ONCE_MAX)

    def archive(self, release: str) -> Path:
        return self._cloud / "uploads" / f"{release.removeprefix('sha256:')}.tar.gz"

    async def workload(self, deployment: Deployment) -> Workload:
        """Unpacked and with its dependencies. BuildFailed."""
        if deployment.settings.image is not None:
            volume_id = lookup.volume_of(self._keeper.world, deployment.service_id, deployment.environment_id)
            directory = self._cloud / "volumes" / volume_id if volume_id else self._cache_directory(deployment)
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            return Cache(directory, is_kept=volume_id is not None)
        assert deployment.release is not None, "checked before the build"
        directory = await self._plane.prepare_bundle(self.archive(deployment.release), deployment.release)
        return Bundle(directory, self._plane.python_for(directory))

    def _cache_directory(self, deployment: Deployment) -> Path:
        """Each deployment's own: without a volume a cache starts empty, as on Railway."""
        return self._cloud / "caches" / deployment.id

    async def add(self, deployment: Deployment, wanted: Mapping[str, int], port: int) -> tuple[Replica, ...]:
        """New replicas on record, INITIALIZING, `wanted` per region."""
        made = []
        for region, count in wanted.items():
            number = max((found.number for found in deployment.replicas if found.region == region), default=0)
            made += [self._new(deployment, region, number + step, port) for step in range(1, count + 1)]
        await self._keeper.apply(AddReplicas(deployment.id, tuple(made)))
        return tuple(made)

    def _new(self, deployment: Deployment, region: str, number: int, port: int) -> Replica:
        key = self._key(deployment, "")
        if is_cache_image(deployment.settings.image):
            # A cache has one replica, and that listens at the service's private address itself.
            address = self._router.private_address(self._keeper.world.instances[deployment.instance_id])
        else:
            address = self._plane.allocate(region, owners.replica(key))
        return Replica(key=key, region=region, number=number, address=address, port=port)

    def _key(self, deployment: Deployment, kind: str) -> str:
        name = self._keeper.world.services[deployment.service_id].name
        slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:30] or "service"
        return f"{slug}-{kind}{uuid.uuid4().hex[:12]}"

    def environment(self, deployment: Deployment, replica: Replica) -> dict[str, str]:
        base = dict(self._base)
        volume_id = lookup.volume_of(self._keeper.world, deployment.service_id, deployment.environment_id)
        if volume_id is not None:
            directory = self.volume_directory(volume_id)
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            base["RAILWAY_VOLUME_MOUNT_PATH"] = str(directory)
        return replica_environment(deployment, replica, self._plane.seen_from, base)

    def volume_directory(self, volume_id: str) -> Path:
        """Where a volume's data lie; made when a replica that has it first starts."""
        return self._cloud / "volumes" / volume_id

    async def run_pre_deploy(self, deployment: Deployment, command: str, workload: Bundle, port: int) -> None:
        """Once, in the first region; what it wrote goes to the build log. StartFailed, CommandLineError."""
        region = deployment.settings.first_region
        key = self._key(deployment, "pre-deploy-")
        address = self._plane.allocate(region, owners.replica(key))
        replica = Replica(key=key, region=region, number=0, address=address, port=port)
        try:
            spec = pre_deploy_spec(command, workload, replica, self.environment(deployment, replica))
            await self._plane.run_once(spec, PRE_DEPLOY_TIMEOUT_S)
        finally:
            for line in self._plane.logs(key, 200):
                self._build_logs.add(deployment.id, line.text, "error" if line.stream == "stderr" else "info")
            self._plane.free(owners.replica(key))

    def spec(self, deployment: Deployment, replica: Replica, workload: Workload) -> ReplicaSpec:
        return replica_spec(deployment.settings, workload, replica, self.environment(deployment, replica))

    async def start(self, deployment: Deployment, replica: Replica, workload: Workload, restarts: int = 0) -> None:
        """Up and healthy, and on record as RUNNING. StartFailed, CommandLineError."""
        spec = self.spec(deployment, replica, workload)
        async with self._starting:
            if isinstance(workload, Cache):
                await self._plane.start_cache(spec)
            else:
                await self._plane.start_replica(spec)
        await self._keeper.apply(SetReplica(deployment.id, replica.key, ReplicaStatus.RUNNING, restarts))

    async def run_to_its_end(self, deployment: Deployment, replica: Replica) -> None:
        """The start command of a service with a schedule, once. One of FAILURES where it did not end well."""
        workload = await self.workload(deployment)
        await self._plane.run_once(self.spec(deployment, replica, workload), SCHEDULED_RUN_TIMEOUT_S)

    async def start_all(self, deployment: Deployment, replicas: Sequence[Replica], workload: Workload) -> None:
        await together(self.start(deployment, replica, workload) for replica in replicas)

    async def stop_process(self, replica: Replica, drain_s: float) -> None:
        """Its process only: the replica stays on record, to be started again."""
        await self._plane.stop_replica(replica.key, drain_s)

    async def stop(self, deployment: Deployment, replicas: Sequence[Replica], drain_s: float) -> None:
        """SIGTERM and the time to drain for all at once; then off the record and their addresses free."""
        await together(self._plane.stop_replica(replica.key, drain_s) for replica in replicas)
        await self._keeper.apply(RetireReplicas(deployment.id, tuple(replica.key for replica in replicas)))
        for replica in replicas:
            self._plane.free(owners.replica(replica.key))
            self._plane.free(owners.door(replica.key))
        if deployment.settings.image is not None:  # it has one replica only, and that has gone
            await asyncio.to_thread(shutil.rmtree, self._cache_directory(deployment), ignore_errors=True)


def present(deployment: Deployment) -> list[Replica]:
    """The replicas that have, or should have, a process."""
    return [found for found in deployment.replicas if found.status is not ReplicaStatus.REMOVED]
