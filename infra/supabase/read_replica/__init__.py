"""A read replica of a project's database in another region.

The API answers a set-up with nothing but "accepted". The replica is found afterwards among the pooler's entries, the one
place where the Management API lists every database of a project with its host.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

from msgspec import Struct

from infra.provider.definition import Call, Found, Made, Recorded, Resource
from infra.provider.errors import InvalidInput, NotFound
from infra.provider.fields import Field, Output
from infra.provider.waiting import TimedOut, until
from infra.supabase.addresses import ref_of
from infra.supabase.client import SupabaseClient
from infra.supabase.names import REF, REGION
from infra.supabase.sessions import session_of

READY_DEADLINE_S = 900.0
DELETE_DEADLINE_S = 300.0
_REGION_NAME = re.compile(r"(?:us|ca|sa|eu|ap|me|af|il|mx)-[a-z]+-[0-9]")


class ReadReplicaInputs(Struct, frozen=True, rename="camel"):
    project_ref: str
    region: str


class ReadReplica(Resource[SupabaseClient, ReadReplicaInputs]):
    """A streaming standby; reads only, and a little behind."""

    resource_type: ClassVar = "supabase:index:ReadReplica"
    collection: ClassVar = "read_replicas"
    inputs_type: ClassVar = ReadReplicaInputs
    fields: ClassVar = (
        Field("projectRef", REF, is_required=True, replaces=True),
        Field("region", REGION, is_required=True, replaces=True),
    )
    outputs: ClassVar = (Output("identifier"), Output("host"), Output("user"))

    async def create(self, call: Call[SupabaseClient], inputs: ReadReplicaInputs) -> Made:
        before = {each["identifier"] for each in await _replicas(call, inputs.project_ref) or []}

        async def appeared() -> Any | None:
            fresh = [each for each in await _replicas(call, inputs.project_ref) or [] if each["identifier"] not in before]
            fits = [each for each in fresh if _fits(each, inputs.region)]
            return fits[0] if len(fits) == 1 else None

        async def waited_for() -> Any:
            try:
                deadline_s = call.timeout_s or READY_DEADLINE_S
                return await until(call, appeared, deadline_s=deadline_s, what="appearance of the replica")
            except TimedOut as error:
                # Without its identifier there is nothing to keep it by; say how to look rather than pretend.
                told = f"read_replicas/{inputs.region}: {error}; look at the project's databases before the next `up`"
                raise TimedOut(told) from None

        path = f"/v1/projects/{inputs.project_ref}/read-replicas/setup"
        await call.tell("setting up the replica")
        # A replica shows only after minutes, so one look cannot tell a lost answer from a lost request. After either we
        # wait for it in full and never ask twice: a second replica would cost money every month.
        await call.client.send("set up read replica", "POST", path, {"read_replica_region": inputs.region}, waited_for)
        entry = await waited_for()
        return Made(entry["identifier"], _outputs(entry))

    async def read(self, call: Call[SupabaseClient], recorded: Recorded[ReadReplicaInputs]) -> Found | None:
        if recorded.inputs is None:
            return await self._imported(call, recorded.identity)
        entry = await _replica(call, recorded.inputs.project_ref, recorded.identity)
        if entry is None:
            return None
        inputs = {"projectRef": recorded.inputs.project_ref, "region": recorded.inputs.region}
        return Found(recorded.identity, inputs, _outputs(entry))

    async def located(self, call: Call[SupabaseClient], identity: str) -> str:
        project, slash, replica = identity.partition("/")
        return f"{await ref_of(call, project)}/{replica}" if slash else identity

    async def _imported(self, call: Call[SupabaseClient], identity: str) -> Found | None:
        """By project/identifier or project/region. The region stands in the identifier and nowhere else."""
        ref, _, said = identity.partition("/")
        if not said:
            raise InvalidInput(f"read_replicas: expected project/identifier or project/region, got {identity!r}")
        replicas = await _replicas(call, ref) or []
        found = [each for each in replicas if each["identifier"] == said]
        found = found or [each for each in replicas if said in _REGION_NAME.findall(each["identifier"])]
        if len(found) != 1:
            return None
        regions = _REGION_NAME.findall(found[0]["identifier"])
        if not regions:
            raise InvalidInput(f"read_replicas: {said} does not say its region; import it as {ref}/REGION")
        return Found(found[0]["identifier"], {"projectRef": ref, "region": regions[0]}, _outputs(found[0]))

    async def update(self, call: Call[SupabaseClient], recorded: Recorded[ReadReplicaInputs], inputs: ReadReplicaInputs) -> Made:
        entry = await _replica(call, inputs.project_ref, recorded.identity)
        if entry is None:
            raise NotFound(f"read_replicas/{inputs.region}: {recorded.identity} is gone; run a refresh", operation="update")
        return Made(recorded.identity, _outputs(entry))

    async def delete(self, call: Call[SupabaseClient], recorded: Recorded[ReadReplicaInputs]) -> None:
        ref = recorded.inputs.project_ref if recorded.inputs else ""

        async def gone() -> Any | None:
            return {} if await _replica(call, ref, recorded.identity) is None else None

        if not ref or await gone() is not None:
            return
        path = f"/v1/projects/{ref}/read-replicas/remove"
        try:
            await call.client.send("remove read replica", "POST", path, {"database_identifier": recorded.identity}, gone)
        except NotFound:
            return
        await until(call, gone, deadline_s=call.timeout_s or DELETE_DEADLINE_S, what=f"removal of replica {recorded.identity}")


def _outputs(entry: Any) -> dict[str, str]:
    session = session_of(entry)
    return {"identifier": entry["identifier"], "host": session.host, "user": session.user}


async def _replicas(call: Call[SupabaseClient], ref: str) -> list[Any] | None:
    entries = await call.client.get_or_none("list databases", f"/v1/projects/{ref}/config/database/pooler")
    return None if entries is None else [each for each in entries if each["database_type"] == "READ_REPLICA"]


async def _replica(call: Call[SupabaseClient], ref: str, identifier: str) -> Any | None:
    return next((each for each in await _replicas(call, ref) or [] if each["identifier"] == identifier), None)


def _fits(entry: Any, region: str) -> bool:
    """Whether an entry that appeared may be ours: replicas of several regions are set up at the same moment.

    Supabase names a replica by its region (ref-rr-eu-central-1-abcde). One that names no region fits any. The host says
    nothing: behind a pooler it may name the primary's region.
    """
    named = _REGION_NAME.findall(entry["identifier"])
    return not named or region in named
