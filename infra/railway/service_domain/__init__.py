"""A public name of a service, given by Railway."""

from __future__ import annotations

from typing import ClassVar

from infra.provider.definition import Call, Found, Made, Recorded, Resource
from infra.provider.endpoints import is_address_literal
from infra.provider.fields import Field, Output
from infra.provider.rules import Whole
from infra.railway.client import Data, RailwayClient, only
from infra.railway.operations import load
from infra.railway.placed import PLACE_FIELDS, PlacedInputs
from infra.railway.removal import remove

CREATE = load(__file__, "create.graphql")
LIST = load(__file__, "list.graphql")
UPDATE = load(__file__, "update.graphql")
DELETE = load(__file__, "delete.graphql")


class ServiceDomainInputs(PlacedInputs, frozen=True):
    target_port: int | None = None


class ServiceDomain(Resource[RailwayClient, ServiceDomainInputs]):
    """A domain under Railway's own; applied at once, without a deployment."""

    resource_type: ClassVar = "railway:index:ServiceDomain"
    collection: ClassVar = "domains"
    inputs_type: ClassVar = ServiceDomainInputs
    fields: ClassVar = (
        *PLACE_FIELDS,
        Field("targetPort", Whole(1, 65_535), is_kept_when_absent=True),
    )
    outputs: ClassVar = (
        Output("domain", about="host name, with a port where it is not the scheme's own"),
        Output("url", about="http:// for an address of this machine, else https://"),
    )

    async def create(self, call: Call[RailwayClient], inputs: ServiceDomainInputs) -> Made:
        before = {each["id"] for each in await _domains(call, inputs.place) or []}

        async def settled() -> Data | None:
            fresh = only([each for each in await _domains(call, inputs.place) or [] if each["id"] not in before])
            return {"serviceDomainCreate": fresh} if fresh else None

        wanted = {"serviceId": inputs.service_id, "environmentId": inputs.environment_id, "targetPort": inputs.target_port}
        made = (await call.client.mutate(CREATE, {"input": wanted}, settled))["serviceDomainCreate"]
        return Made(made["id"], _outputs(made["domain"]))

    async def read(self, call: Call[RailwayClient], recorded: Recorded[ServiceDomainInputs]) -> Found | None:
        # An import names the place too, project/environment/service/domain: the API finds a domain no other way.
        known, identity = recorded.inputs, recorded.identity
        if known is None and identity.count("/") == 3:
            project_id, environment_id, service_id, identity = identity.split("/")
            known = ServiceDomainInputs(project_id, environment_id, service_id)
        found = await _domain(call, known.place, identity) if known else None
        if known is None or found is None:
            return None
        inputs: Data = dict(known.place)
        if recorded.inputs is None or recorded.inputs.target_port is not None:
            # Railway guesses a port when none is asked for; its guess is not a wish of the user's.
            inputs["targetPort"] = found["targetPort"]
        return Found(identity, inputs, _outputs(found["domain"]))

    async def update(
        self, call: Call[RailwayClient], recorded: Recorded[ServiceDomainInputs], inputs: ServiceDomainInputs
    ) -> Made:
        async def settled() -> Data | None:
            found = await _domain(call, inputs.place, recorded.identity)
            return {} if found and found["targetPort"] == inputs.target_port else None

        wanted = {
            "serviceDomainId": recorded.identity,
            "domain": recorded.outputs["domain"],
            "environmentId": inputs.environment_id,
            "serviceId": inputs.service_id,
            "targetPort": inputs.target_port,
        }
        await call.client.mutate(UPDATE, {"input": wanted}, settled)
        return Made(recorded.identity, _outputs(str(recorded.outputs["domain"])))

    async def delete(self, call: Call[RailwayClient], recorded: Recorded[ServiceDomainInputs]) -> None:
        async def gone() -> Data | None:
            if recorded.inputs is None:
                return {}
            return {} if await _domain(call, recorded.inputs.place, recorded.identity) is None else None

        await remove(call, DELETE, {"id": recorded.identity}, gone, f"domain {recorded.identity}")


async def _domains(call: Call[RailwayClient], place: dict[str, str]) -> list[Data] | None:
    answer = await call.client.query_or_none(LIST, **place)
    return None if answer is None else list(answer["domains"]["serviceDomains"])


async def _domain(call: Call[RailwayClient], place: dict[str, str], identity: str) -> Data | None:
    return next((each for each in await _domains(call, place) or [] if each["id"] == identity), None)


def _outputs(domain: str) -> dict[str, str]:
    return {"domain": domain, "url": f"{'http' if is_address_literal(domain) else 'https'}://{domain}"}
