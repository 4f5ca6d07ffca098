"""A volume's backups as real copies of its directory, made beside the loop; and the schedule that asks for them.

A copy and a restored volume become visible by one rename, so that neither is ever half there. Files that are written to while
they are copied may be torn, as after a power cut: a snapshot of the whole disk is not to be had without root.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from pathlib import Path

from infra.localcloud.conducting.clock import new_stamp
from infra.localcloud.conducting.keeper import Keeper
from infra.localcloud.conducting.store import StoreError
from infra.localcloud.world.errors import WorldError
from infra.localcloud.world.model import Workflow
from infra.localcloud.world.volume_backups import EndWorkflow, directory_of, due

LOOK_S = 30.0
ERROR_CHARACTERS_MAX = 300
_logger = logging.getLogger("localcloud")


class Volumes:
    def __init__(self, keeper: Keeper, cloud: Path) -> None:
        self._keeper, self._cloud = keeper, cloud

    async def run(self, workflow_id: str) -> None:
        """One workflow to its end, which is put on record."""
        workflow = self._keeper.world.workflows.get(workflow_id)
        if workflow is None or workflow.status != "Running":
            return
        error = None
        try:
            await _to_its_end(asyncio.ensure_future(asyncio.to_thread(self._carry_out, workflow)))
        except OSError as exc:
            # A copy that fails at many files names them all.
            error = f"{workflow.kind} failed: {exc.strerror or exc}"[:ERROR_CHARACTERS_MAX]
        await self._keeper.apply(EndWorkflow(new_stamp(), workflow_id, error))

    async def end_interrupted(self) -> None:
        """What the daemon before this one was at: nobody knows how far it came."""
        for found in list(self._keeper.world.workflows.values()):
            if found.status == "Running":
                try:
                    await asyncio.to_thread(put_back, self._directory(found.volume_id))
                except OSError as exc:
                    _logger.warning("volume %s: %s", found.volume_id, exc)
                await self._keeper.apply(EndWorkflow(new_stamp(), found.id, "the local cloud was restarted"))

    async def follow(self) -> None:
        """Runs for ever: what is due by the cloud's own clock, which may be moved."""
        while True:
            now = self._keeper.clock.timestamp()
            for command in due(self._keeper.world, now):
                try:
                    await self._keeper.apply(command(new_stamp()))
                except (WorldError, StoreError) as exc:  # a full disk does not end the schedule
                    _logger.info("scheduled backup: %s", exc)
            await asyncio.sleep(LOOK_S)

    def _directory(self, volume_id: str) -> Path:
        return self._cloud / "volumes" / volume_id

    def backup_directory(self, volume_id: str, backup_id: str) -> Path:
        return self._cloud / directory_of(volume_id) / backup_id

    def _carry_out(self, workflow: Workflow) -> None:
        volume = self._directory(workflow.volume_id)
        backup = self.backup_directory(workflow.volume_id, workflow.backup_id)
        if workflow.kind == "backup":
            volume.mkdir(parents=True, exist_ok=True, mode=0o700)  # one that no replica has started on yet is empty
            _copied(volume, backup)
        elif workflow.kind == "restore":
            put_back(volume)
            fresh = volume.with_name(f"{volume.name}.fresh")
            _copied(backup, fresh)
            if volume.exists():
                volume.rename(_old(volume))
            try:
                fresh.rename(volume)
            finally:
                put_back(volume)
        elif backup.exists():
            gone = backup.with_name(f"{backup.name}.gone")  # so that a deletion cut short leaves no half of a backup
            shutil.rmtree(gone, ignore_errors=True)
            backup.rename(gone)
            shutil.rmtree(gone)


async def _to_its_end(work: asyncio.Future[None]) -> None:
    """A thread does not end with who waits for it: what it still writes must not outlive the volume that is deleted next."""
    try:
        await asyncio.shield(work)
    finally:
        await asyncio.wait([work])


def _old(volume: Path) -> Path:
    return volume.with_name(f"{volume.name}.old")


def put_back(volume: Path) -> None:
    """What a restore has put aside: the volume again where nothing came in its place, else no more needed."""
    if volume.exists():
        shutil.rmtree(_old(volume), ignore_errors=True)
    elif _old(volume).exists():
        _old(volume).rename(volume)


def _copied(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(source, partial, symlinks=True)
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
