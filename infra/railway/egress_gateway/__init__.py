"""Static addresses from which a service's connections leave."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from infra.provider.definition import Call
from infra.provider.fields import Field, Output
from infra.provider.rules import Choice
from infra.railway.client import Data, RailwayClient
from infra.railway.operations import load
from infra.railway.placed import PLACE_FIELDS, PlacedInputs
from infra.railway.placed_setting import PlacedSetting, Step
from infra.railway.region_names import ALIASES, REGIONS
from infra.railway.regions import region

CREATE = load(__file__, "create.graphql")
LIST = load(__file__, "list.graphql")
CLEAR = load(__file__, "clear.graphql")


class EgressGatewayInputs(PlacedInputs, frozen=True):
    region: str | None = None


class EgressGateway(PlacedSetting[EgressGatewayInputs]):
    """In force with the service's next deployment. Without a region Railway chooses: where the service runs."""

    resource_type: ClassVar = "railway:index:EgressGateway"
    collection: ClassVar = "egress_gateways"
    called: ClassVar = "egress gateway"
    inputs_type: ClassVar = EgressGatewayInputs
    deletes_before_replace: ClassVar = True  # a clearing takes all of the service's
    fields: ClassVar = (*PLACE_FIELDS, Field("region", Choice(REGIONS, ALIASES), replaces=True, is_kept_when_absent=True))
    outputs: ClassVar = (Output("addresses", about="IPv4, sorted", schema={"type": "array", "items": {"type": "string"}}),)

    async def state(self, call: Call[RailwayClient], place: dict[str, str]) -> Data | None:
        answer = await call.client.query_or_none(LIST, environmentId=place["environmentId"], serviceId=place["serviceId"])
        found = (answer or {}).get("egressGateways")
        return {"gateways": found} if found else None

    def inputs_of(self, state: Data, recorded: EgressGatewayInputs | None) -> Data:
        if recorded is not None and recorded.region is None:
            return {}
        return {"region": region(state["gateways"][0]["region"])}

    def outputs_of(self, state: Data) -> Data:
        return {"addresses": sorted(each["ipv4"] for each in state["gateways"])}

    def steps(self, state: Data | None, inputs: EgressGatewayInputs) -> Sequence[Step]:
        if state is not None:
            return ()
        wanted = {"environmentId": inputs.environment_id, "serviceId": inputs.service_id}
        return ((CREATE, {"input": wanted if inputs.region is None else {**wanted, "region": inputs.region}}),)

    def removal(self, state: Data, place: dict[str, str]) -> Step:
        return CLEAR, {"input": {"environmentId": place["environmentId"], "serviceId": place["serviceId"]}}
