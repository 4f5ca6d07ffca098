"""A volume brought back to a backup: something that is done, not something that is there.

It is done when the resource is made, and again when the backup or anything in `triggers` changes. Deleting the resource undoes
nothing.
"""

from __future__ import annotations

from typing import Any, ClassVar

from msgspec import Struct

from infra.provider.definition import Call, Found, Made, Recorded, Resource
from infra.provider.errors import InvalidInput
from infra.provider.fields import Field
from infra.provider.rules import Anything, MapOf
from infra.railway.client import Data, RailwayClient
from infra.railway.names import ID
from infra.railway.operations import load
from infra.railway.volume_backup import LIST as BACKUPS
from infra.railway.workflows import finished

RESTORE = load(__file__, "restore.graphql")


class VolumeRestoreInputs(Struct, frozen=True, rename="camel"):
    volume_instance_id: str
    backup_id: str
    triggers: dict[str, Any] | None = None


class VolumeRestore(Resource[RailwayClient, VolumeRestoreInputs]):
    """What was written since the backup is lost. After a lost answer the restore is asked for again: it is the same twice."""

    resource_type: ClassVar = "railway:index:VolumeRestore"
    collection: ClassVar = "volume_restores"
    inputs_type: ClassVar = VolumeRestoreInputs
    fields: ClassVar = (
        Field("volumeInstanceId", ID, is_required=True, replaces=True),
        Field("backupId", ID, is_required=True),
        Field("triggers", MapOf(Anything(), entries_max=100), about="restores again when anything in it changes"),
    )

    async def create(self, call: Call[RailwayClient], inputs: VolumeRestoreInputs) -> Made:
        return await self._restore(call, inputs)

    async def update(
        self, call: Call[RailwayClient], recorded: Recorded[VolumeRestoreInputs], inputs: VolumeRestoreInputs
    ) -> Made:
        return await self._restore(call, inputs)

    async def _restore(self, call: Call[RailwayClient], inputs: VolumeRestoreInputs) -> Made:
        async def unknowable() -> Data | None:
            return None

        variables = {"volumeInstanceId": inputs.volume_instance_id, "volumeInstanceBackupId": inputs.backup_id}
        begun = (await call.client.mutate(RESTORE, variables, unknowable))["volumeInstanceBackupRestore"]
        await finished(call, begun["workflowId"], f"restore of {inputs.volume_instance_id} from {inputs.backup_id}")
        return Made(inputs.volume_instance_id, {})

    async def read(self, call: Call[RailwayClient], recorded: Recorded[VolumeRestoreInputs]) -> Found | None:
        """There as long as the volume is; nobody can tell what it was restored from."""
        if recorded.inputs is None:
            raise InvalidInput("volume_restores: nothing to import; a restore is something that is done")
        if await call.client.query_or_none(BACKUPS, volumeInstanceId=recorded.inputs.volume_instance_id) is None:
            return None
        inputs = {
            "volumeInstanceId": recorded.inputs.volume_instance_id,
            "backupId": recorded.inputs.backup_id,
            "triggers": recorded.inputs.triggers,
        }
        return Found(recorded.identity, inputs, {})

    async def delete(self, call: Call[RailwayClient], recorded: Recorded[VolumeRestoreInputs]) -> None:
        """What is done is done."""
