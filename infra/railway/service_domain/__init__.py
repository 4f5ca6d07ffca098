"""A public name of a service, given by Railway."""

from __future__ import annotations

from typing import ClassVar

from infra.provider.definition import Call, Recorded
from infra.provider.endpoints import is_address_literal
from infra.provider.fields import Field, Output
from infra.provider.rules import Whole
from infra.railway.client import Data, RailwayClient
from infra.railway.departure import there
from infra.railway.listed import Listed
from infra.railway.operations import Operation, load
from infra.railway.placed import PLACE_FIELDS, PlacedInputs

CREATE = load(__file__, "create.graphql")
LIST = load(__file__, "list.graphql")
UPDATE = load(__file__, "update.graphql")
DELETE = load(__file__, "delete.graphql")


class ServiceDomainInputs(PlacedInputs, frozen=True):
    target_port: int | None = None


class ServiceDomain(Listed[ServiceDomainInputs]):
    """A domain under Railway's own; applied at once, without a deployment."""

    resource_type: ClassVar = "railway:index:ServiceDomain"
    collection: ClassVar = "domains"
    called: ClassVar = "domain"
    inputs_type: ClassVar = ServiceDomainInputs
    deletion: ClassVar = DELETE
    fields: ClassVar = (
        *PLACE_FIELDS,
        Field("targetPort", Whole(1, 65_535), is_kept_when_absent=True),
    )
    outputs: ClassVar = (
        Output("domain", about="host name, with a port where it is not the scheme's own"),
        Output("url", about="http:// for an address of this machine, else https://"),
    )

    async def entries(self, call: Call[RailwayClient], place: dict[str, str]) -> list[Data] | None:
        answer = await call.client.query_or_none(LIST, **place)
        return None if answer is None else there(answer["domains"]["serviceDomains"])

    def name_of(self, entry: Data) -> str:
        return str(entry["domain"])

    def inputs_of(self, entry: Data, place: dict[str, str], recorded: ServiceDomainInputs | None) -> Data:
        inputs: Data = dict(place)
        if recorded is None or recorded.target_port is not None:
            # Railway guesses a port when none is asked for; its guess is not a wish of the user's.
            inputs["targetPort"] = entry["targetPort"]
        return inputs

    def outputs_of(self, entry: Data) -> Data:
        domain = str(entry["domain"])
        return {"domain": domain, "url": f"{'http' if is_address_literal(domain) else 'https'}://{domain}"}

    def is_made_from(self, entry: Data, inputs: ServiceDomainInputs) -> bool:
        return True  # Railway chooses the name: whatever appeared may be ours

    def creation(self, inputs: ServiceDomainInputs) -> tuple[Operation, Data]:
        place = {"serviceId": inputs.service_id, "environmentId": inputs.environment_id}
        return CREATE, {"input": {**place, "targetPort": inputs.target_port}}

    def change(
        self, identity: str, recorded: Recorded[ServiceDomainInputs], inputs: ServiceDomainInputs
    ) -> tuple[Operation, Data]:
        wanted = {
            "serviceDomainId": identity,
            "domain": recorded.outputs["domain"],
            "environmentId": inputs.environment_id,
            "serviceId": inputs.service_id,
            "targetPort": inputs.target_port,
        }
        return UPDATE, {"input": wanted}
