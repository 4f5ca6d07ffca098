"""Backups of volumes, and the way back to one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi

from infra.provider.resource_class import Attribute, NativeResource


class VolumeBackup(NativeResource):
    """The data of a volume at the moment of creation; a `locked` one never expires."""

    name = Attribute[str]()
    created_at = Attribute[str]()

    def __init__(
        self,
        resource_name: str,
        *,
        volume_instance_id: pulumi.Input[str],
        name: pulumi.Input[str],
        locked: pulumi.Input[bool] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        inputs = {"volume_instance_id": volume_instance_id, "name": name, "locked": locked}
        super().__init__("railway:index:VolumeBackup", resource_name, inputs, ["created_at"], opts)


class VolumeRestore(NativeResource):
    """Brings a volume back to a backup, once, and again when anything in `triggers` changes."""

    backup_id = Attribute[str]()

    def __init__(
        self,
        resource_name: str,
        *,
        volume_instance_id: pulumi.Input[str],
        backup_id: pulumi.Input[str],
        triggers: pulumi.Input[Mapping[str, Any]] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        inputs = {"volume_instance_id": volume_instance_id, "backup_id": backup_id, "triggers": triggers}
        super().__init__("railway:index:VolumeRestore", resource_name, inputs, [], opts)
