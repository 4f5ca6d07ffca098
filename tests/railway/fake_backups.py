"""The fake's backups of volumes and the workflows behind them: each look moves a workflow on by a step."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


class Backups:
    """Part of FakeRailway: what it needs of the whole is declared here."""

    volumes: dict[str, Json]

    def __init__(self) -> None:
        super().__init__()
        self.backups: dict[str, Json] = {}
        self.backup_schedules: dict[str, list[str]] = {}
        self.workflows: dict[str, list[Json]] = {}
        """What the next looks show, and what happens then."""
        self.workflow_errors: list[str] = []
        self.restored: list[str] = []

    def _id(self, kind: str) -> str:
        raise NotImplementedError

    def refuse(self, message: str) -> None:
        raise NotImplementedError

    def _checked_instance(self, instance_id: str) -> str:
        if not any(each["id"] == instance_id and not each["isPendingDeletion"] for each in self.volumes.values()):
            self.refuse("VolumeInstance not found")
        return instance_id

    def _checked_backup(self, instance_id: str, backup_id: str) -> Json:
        self._checked_instance(instance_id)
        if backup_id not in self.backups:
            self.refuse("VolumeInstanceBackup not found")
        return self.backups[backup_id]

    def _workflow(self) -> Json:
        identity = self._id("workflow")
        last = {"status": "Error", "error": self.workflow_errors.pop(0)} if self.workflow_errors else {"status": "Complete"}
        self.workflows[identity] = [{"status": "Running"}, last]
        return {"workflowId": identity}

    def _workflowStatus(self, workflowId: str) -> Json:  # noqa: N802, N803
        steps = self.workflows[workflowId]
        found = steps.pop(0) if len(steps) > 1 else steps[0]
        return {"workflowStatus": {"error": None, **found}}

    def _volumeInstanceBackupScheduleList(self, volumeInstanceId: str) -> Json:  # noqa: N802, N803
        kinds = self.backup_schedules.get(self._checked_instance(volumeInstanceId), [])
        return {"volumeInstanceBackupScheduleList": [{"kind": kind} for kind in reversed(kinds)]}

    def _volumeInstanceBackupScheduleUpdate(self, volumeInstanceId: str, kinds: list[str]) -> Json:  # noqa: N802, N803
        self.backup_schedules[self._checked_instance(volumeInstanceId)] = kinds
        return {"volumeInstanceBackupScheduleUpdate": True}

    def _volumeInstanceBackupList(self, volumeInstanceId: str) -> Json:  # noqa: N802, N803
        own = [each for each in self.backups.values() if each["of"] == self._checked_instance(volumeInstanceId)]
        return {"volumeInstanceBackupList": own}

    def _volumeInstanceBackupCreate(self, volumeInstanceId: str, name: str | None) -> Json:  # noqa: N802, N803
        identity, created = self._id("backup"), "2026-01-01T00:00:00Z"
        entry = {"id": identity, "name": name, "createdAt": created, "expiresAt": "2026-02-01T00:00:00Z"}
        self.backups[identity] = {**entry, "of": self._checked_instance(volumeInstanceId)}
        return {"volumeInstanceBackupCreate": self._workflow()}

    def _volumeInstanceBackupLock(self, volumeInstanceId: str, volumeInstanceBackupId: str) -> Json:  # noqa: N802, N803
        self._checked_backup(volumeInstanceId, volumeInstanceBackupId)["expiresAt"] = None
        return {"volumeInstanceBackupLock": True}

    def _volumeInstanceBackupDelete(self, volumeInstanceId: str, volumeInstanceBackupId: str) -> Json:  # noqa: N802, N803
        del self.backups[self._checked_backup(volumeInstanceId, volumeInstanceBackupId)["id"]]
        return {"volumeInstanceBackupDelete": self._workflow()}

    def _volumeInstanceBackupRestore(self, volumeInstanceId: str, volumeInstanceBackupId: str) -> Json:  # noqa: N802, N803
        self.restored.append(self._checked_backup(volumeInstanceId, volumeInstanceBackupId)["id"])
        return {"volumeInstanceBackupRestore": self._workflow()}
