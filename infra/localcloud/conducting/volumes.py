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
from infra.localcloud.world.errors import WorldError
from infra.localcloud.world.model import Workflow
from infra.localcloud.world.volume_backups import EndWorkflow, directory_of, due

LOOK_S = 30.0
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
            await asyncio.to_thread(self._carry_out, workflow)
        except OSError as exc:
            error = f"{workflow.kind} failed: {exc.strerror or exc}"
        await self._keeper.apply(EndWorkflow(new_stamp(), workflow_id, error))

    async def end_interrupted(self) -> None:
        """What the daemon before this one was at: nobody knows how far it came."""
        for found in list(self._keeper.world.workflows.values()):
            if found.status == "Running":
                await self._keeper.apply(EndWorkflow(new_stamp(), found.id, "the local cloud was restarted"))

    async def follow(self) -> None:
        """Runs for ever: what is due by the cloud's own clock, which may be moved."""
        while True:
            now = self._keeper.clock.timestamp()
            for command in due(self._keeper.world, now):
                try:
                    await self._keeper.apply(command(new_stamp()))
                except WorldError as exc:
                    _logger.info("scheduled backup: %s", exc)
            await asyncio.sleep(LOOK_S)

    def _carry_out(self, workflow: Workflow) -> None:
        volume = self._cloud / "volumes" / workflow.volume_id
        backup = self._cloud / directory_of(workflow.volume_id) / workflow.backup_id
        if workflow.kind == "backup":
            volume.mkdir(parents=True, exist_ok=True, mode=0o700)  # one that no replica has started on yet is empty
            _copied(volume, backup)
        elif workflow.kind == "restore":
            old = volume.with_name(f"{volume.name}.old")
            shutil.rmtree(old, ignore_errors=True)
            fresh = volume.with_name(f"{volume.name}.fresh")
            _copied(backup, fresh)
            if volume.exists():
                volume.rename(old)
            fresh.rename(volume)
            shutil.rmtree(old, ignore_errors=True)
        elif backup.exists():
            shutil.rmtree(backup)


def _copied(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(source, partial, symlinks=True)
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
