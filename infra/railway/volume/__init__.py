"""A disk that outlives deployments. A service with one runs a single replica."""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct

from infra.provider.definition import Call, Found, Made, Recorded, Resource
from infra.provider.errors import HalfMade, ProviderError
from infra.provider.fields import Field, Output
from infra.provider.rules import Choice
from infra.provider.waiting import until
from infra.railway.addresses import Addressed
from infra.railway.client import Data, RailwayClient, nodes, only
from infra.railway.names import ID, MOUNT_PATH
from infra.railway.operations import load
from infra.railway.region_names import ALIASES, REGIONS
from infra.railway.removal import remove
from infra.railway.volume.schedules import Schedules, schedule, schedules

CREATE = load(__file__, "create.graphql")
LIST = load(__file__, "list.graphql")
UPDATE = load(__file__, "update.graphql")
DELETE = load(__file__, "delete.graphql")

INSTANCE_DEADLINE_S = 60.0


class VolumeInputs(Struct, frozen=True, rename="camel"):
    project_id: str
    environment_id: str
    service_id: str
    mount_path: str
    region: str | None = None
    backup_schedules: list[str] | None = None


class Volume(Addressed, Resource[RailwayClient, VolumeInputs]):
    """A volume and its one instance in the given environment; its data goes with it."""

    resource_type: ClassVar = "railway:index:Volume"
    address: ClassVar = ("projectId", "environmentId")
    collection: ClassVar = "volumes"
    inputs_type: ClassVar = VolumeInputs
    deletes_before_replace: ClassVar = True  # a service has room for one volume
    fields: ClassVar = (
        Field("projectId", ID, is_required=True, replaces=True),
        Field("environmentId", ID, is_required=True, replaces=True),
        Field("serviceId", ID, is_required=True),
        Field("mountPath", MOUNT_PATH, is_required=True),
        Field("region", Choice(REGIONS, ALIASES), replaces=True, is_kept_when_absent=True),
        Field("backupSchedules", Schedules(), is_kept_when_absent=True),
    )
    outputs: ClassVar = (Output("instanceId", about="of the volume in its environment; what backups are made of"),)

    async def create(self, call: Call[RailwayClient], inputs: VolumeInputs) -> Made:
        before = {each["volumeId"] for each in await _instances(call, inputs.environment_id)}

        async def settled() -> Data | None:
            instances = await _instances(call, inputs.environment_id)
            fresh = only([each for each in instances if each["volumeId"] not in before and _belongs(each, inputs)])
            return {"volumeCreate": {"id": fresh["volumeId"]}} if fresh else None

        wanted = {
            "projectId": inputs.project_id,
            "environmentId": inputs.environment_id,  # without it no instance appears
            "serviceId": inputs.service_id,
            "mountPath": inputs.mount_path,
        }
        if inputs.region is not None:
            wanted["region"] = inputs.region
        made = (await call.client.mutate(CREATE, {"input": wanted}, settled))["volumeCreate"]
        return await _scheduled(call, made["id"], inputs)

    async def read(self, call: Call[RailwayClient], recorded: Recorded[VolumeInputs]) -> Found | None:
        # An import names the place too, project/environment/volume: the API finds a volume no other way.
        known, identity = recorded.inputs, recorded.identity
        if known is None and identity.count("/") == 2:
            project_id, environment_id, identity = identity.split("/")
            known = VolumeInputs(project_id, environment_id, service_id="", mount_path="")
            named = only([each for each in await _instances(call, environment_id) if each["volume"]["name"] == identity])
            identity = str(named["volumeId"]) if named else identity
        instance = await _read(call, known, identity) if known else None
        if known is None or instance is None:
            return None
        inputs = {
            "projectId": known.project_id,
            "environmentId": instance["environmentId"],
            "serviceId": instance["serviceId"],
            "mountPath": instance["mountPath"],
        }
        if recorded.inputs is None or recorded.inputs.region is not None:
            inputs["region"] = instance["region"]
        kinds = await schedules(call, instance["id"])
        if kinds and (recorded.inputs is None or recorded.inputs.backup_schedules is not None):
            inputs["backupSchedules"] = kinds
        elif recorded.inputs is not None and recorded.inputs.backup_schedules is not None:
            inputs["backupSchedules"] = kinds or []
        return Found(identity, inputs, {"instanceId": instance["id"]})

    async def update(self, call: Call[RailwayClient], recorded: Recorded[VolumeInputs], inputs: VolumeInputs) -> Made:
        async def settled() -> Data | None:
            return {} if _belongs(await _read(call, inputs, recorded.identity), inputs) else None

        wanted = {"mountPath": inputs.mount_path, "serviceId": inputs.service_id}
        variables = {"volumeId": recorded.identity, "environmentId": inputs.environment_id, "input": wanted}
        if await settled() is None:
            await call.client.mutate(UPDATE, variables, settled)
        return await _scheduled(call, recorded.identity, inputs)

    async def delete(self, call: Call[RailwayClient], recorded: Recorded[VolumeInputs]) -> None:
        async def gone() -> Data | None:
            if recorded.inputs is None:
                return {}
            return {} if await _read(call, recorded.inputs, recorded.identity) is None else None

        await remove(call, DELETE, {"volumeId": recorded.identity}, gone, f"volume {recorded.identity}")


async def _scheduled(call: Call[RailwayClient], identity: str, inputs: VolumeInputs) -> Made:
    """The volume as made, once its instance is there and its backups are scheduled."""

    async def there() -> Data | None:
        return await _read(call, inputs, identity)

    try:
        instance = await until(call, there, deadline_s=INSTANCE_DEADLINE_S, what=f"instance of volume {identity}")
        if inputs.backup_schedules is not None:
            await schedule(call, instance["id"], inputs.backup_schedules)
    except ProviderError as error:
        reason = f"volumes/{identity}: made, but not finished: {error}; run `up` again to finish it"
        raise HalfMade(identity, {}, (reason,)) from error
    return Made(identity, {"instanceId": instance["id"]})


async def _instances(call: Call[RailwayClient], environment_id: str) -> list[Data]:
    """Railway keeps a deleted volume for a while; for us it is gone."""
    answer = await call.client.query_or_none(LIST, environmentId=environment_id)
    if answer is None or answer["environment"] is None:
        return []
    return [each for each in nodes(answer["environment"]["volumeInstances"]) if not each["isPendingDeletion"]]


async def _read(call: Call[RailwayClient], inputs: VolumeInputs, identity: str) -> Data | None:
    return next((each for each in await _instances(call, inputs.environment_id) if each["volumeId"] == identity), None)


def _belongs(instance: Data | None, inputs: VolumeInputs) -> bool:
    return instance is not None and instance["serviceId"] == inputs.service_id and instance["mountPath"] == inputs.mount_path
