"""A backup of a volume, made once and kept: what a program takes before it does something that cannot be undone."""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct

from infra.provider.definition import Call, Made, Recorded
from infra.provider.errors import HalfMade, ProviderError
from infra.provider.fields import Field, Output
from infra.provider.rules import Text, Truth
from infra.railway.client import Data, RailwayClient
from infra.railway.listed import Listed
from infra.railway.names import ID
from infra.railway.operations import Operation, load
from infra.railway.workflows import finished

CREATE = load(__file__, "create.graphql")
LIST = load(__file__, "list.graphql")
LOCK = load(__file__, "lock.graphql")
DELETE = load(__file__, "delete.graphql")


class VolumeBackupInputs(Struct, frozen=True, rename="camel"):
    volume_instance_id: str
    name: str
    locked: bool = False


class VolumeBackup(Listed[VolumeBackupInputs]):
    """The data of the moment of its creation. A locked one never expires; there is no unlocking."""

    resource_type: ClassVar = "railway:index:VolumeBackup"
    collection: ClassVar = "volume_backups"
    called: ClassVar = "volume backup"
    inputs_type: ClassVar = VolumeBackupInputs
    deletion: ClassVar = DELETE
    place: ClassVar = ("volumeInstanceId",)
    fields: ClassVar = (
        Field("volumeInstanceId", ID, is_required=True, replaces=True),
        Field("name", Text(1, 100), is_required=True, replaces=True),
        Field("locked", Truth(), is_kept_when_absent=True),
    )
    outputs: ClassVar = (Output("createdAt"),)

    async def create(self, call: Call[RailwayClient], inputs: VolumeBackupInputs) -> Made:
        """Once it is asked for its workflow is waited for; by the name it is found again after a lost answer."""
        place = self.where(inputs)
        before = {each["id"] for each in await self.entries(call, place) or []}

        async def appeared() -> Data | None:
            entries = await self.entries(call, place) or []
            fresh = [each for each in entries if each["id"] not in before and self.is_made_from(each, inputs)]
            return {"entry": fresh[0], "volumeInstanceBackupCreate": {"workflowId": None}} if len(fresh) == 1 else None

        operation, variables = self.creation(inputs)
        begun = await call.client.mutate(operation, variables, appeared)
        await finished(call, begun["volumeInstanceBackupCreate"]["workflowId"], f"backup {inputs.name}")
        made = await self.after(call, appeared, f"backup {inputs.name}")
        entry = made["entry"]
        outputs = self.outputs_of(entry)
        if inputs.locked:
            try:
                await self._lock(call, entry["id"], inputs)
            except ProviderError as error:
                reason = f"volume_backups/{inputs.name}: made, but not locked: {error}; run `up` again"
                raise HalfMade(entry["id"], outputs, (reason,)) from error
        return Made(entry["id"], outputs)

    async def _lock(self, call: Call[RailwayClient], identity: str, inputs: VolumeBackupInputs) -> None:
        async def settled() -> Data | None:
            entries = await self.entries(call, self.where(inputs)) or []
            return {} if any(each["id"] == identity and each["expiresAt"] is None for each in entries) else None

        if await settled() is None:
            variables = {"volumeInstanceId": inputs.volume_instance_id, "volumeInstanceBackupId": identity}
            await call.client.mutate(LOCK, variables, settled)

    async def update(self, call: Call[RailwayClient], recorded: Recorded[VolumeBackupInputs], inputs: VolumeBackupInputs) -> Made:
        if inputs.locked:
            await self._lock(call, recorded.identity, inputs)
        return Made(recorded.identity, {each.name: recorded.outputs.get(each.name) for each in self.outputs})

    async def entries(self, call: Call[RailwayClient], place: dict[str, str]) -> list[Data] | None:
        answer = await call.client.query_or_none(LIST, **place)
        return None if answer is None else list(answer["volumeInstanceBackupList"])

    def name_of(self, entry: Data) -> str:
        return str(entry["name"])

    def inputs_of(self, entry: Data, place: dict[str, str], recorded: VolumeBackupInputs | None) -> Data:
        """One without an end that nobody locked is none that somebody locked: Railway ends only scheduled ones by itself."""
        inputs: Data = {**place, "name": entry["name"]}
        if recorded is not None and recorded.locked:
            inputs["locked"] = entry["expiresAt"] is None
        return inputs

    def outputs_of(self, entry: Data) -> Data:
        return {"createdAt": entry["createdAt"]}

    def is_made_from(self, entry: Data, inputs: VolumeBackupInputs) -> bool:
        return bool(entry["name"] == inputs.name)

    def creation(self, inputs: VolumeBackupInputs) -> tuple[Operation, Data]:
        return CREATE, {"volumeInstanceId": inputs.volume_instance_id, "name": inputs.name}

    def deletion_variables(self, recorded: Recorded[VolumeBackupInputs]) -> Data:
        instance_id = recorded.inputs.volume_instance_id if recorded.inputs else ""
        return {"volumeInstanceId": instance_id, "volumeInstanceBackupId": recorded.identity}
