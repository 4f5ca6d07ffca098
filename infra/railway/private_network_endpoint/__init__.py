"""The name of a service on its environment's private network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from infra.provider.definition import Call, Made
from infra.provider.fields import Field, Output
from infra.provider.rules import Text
from infra.railway.client import Data, RailwayClient
from infra.railway.departure import is_gone, there
from infra.railway.operations import load
from infra.railway.placed import PLACE_FIELDS, PlacedInputs
from infra.railway.placed_setting import PlacedSetting, Step

NETWORKS = load(__file__, "networks.graphql")
NETWORK = load(__file__, "network.graphql")
READ = load(__file__, "read.graphql")
CREATE = load(__file__, "create.graphql")
RENAME = load(__file__, "rename.graphql")
DELETE = load(__file__, "delete.graphql")

NETWORK_NAME = "railway"
LABEL = Text(1, 63, r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", "a host label: lower-case letters, digits and dashes")  # RFC 1123


class PrivateNetworkEndpointInputs(PlacedInputs, frozen=True):
    dns_name: str


class PrivateNetworkEndpoint(PlacedSetting[PrivateNetworkEndpointInputs]):
    """Railway gives each service one when it is deployed: creation then takes it over and gives it this name."""

    resource_type: ClassVar = "railway:index:PrivateNetworkEndpoint"
    collection: ClassVar = "private_network_endpoints"
    called: ClassVar = "private network endpoint"
    inputs_type: ClassVar = PrivateNetworkEndpointInputs
    deletes_before_replace: ClassVar = True
    fields: ClassVar = (*PLACE_FIELDS, Field("dnsName", LABEL, is_required=True, about="the part before .railway.internal"))
    outputs: ClassVar = (Output("endpointId"), Output("hostName", is_stable=False))

    async def create(self, call: Call[RailwayClient], inputs: PrivateNetworkEndpointInputs) -> Made:
        async def network_there() -> Data | None:
            network = await _network(call, inputs.environment_id)
            return {"privateNetworkCreateOrGet": network} if network else None

        place = {"projectId": inputs.project_id, "environmentId": inputs.environment_id}
        wanted: Data = {**place, "name": NETWORK_NAME, "tags": []}
        network = await network_there() or await call.client.mutate(NETWORK, {"input": wanted}, network_there)

        async def endpoint_there() -> Data | None:
            return await self.state(call, inputs.place)

        if await endpoint_there() is None:
            wanted = {"environmentId": inputs.environment_id, "serviceId": inputs.service_id, "serviceName": inputs.dns_name}
            wanted |= {"privateNetworkId": network["privateNetworkCreateOrGet"]["publicId"], "tags": []}
            await call.client.mutate(CREATE, {"input": wanted}, endpoint_there)
        return await super().create(call, inputs)

    async def state(self, call: Call[RailwayClient], place: dict[str, str]) -> Data | None:
        network = await _network(call, place["environmentId"])
        if network is None:
            return None
        answer = await call.client.query_or_none(
            READ, environmentId=place["environmentId"], privateNetworkId=network["publicId"], serviceId=place["serviceId"]
        )
        endpoint = (answer or {}).get("privateNetworkEndpoint")
        return None if endpoint is None or is_gone(endpoint) else {"network": network, "endpoint": endpoint}

    def inputs_of(self, state: Data, recorded: PrivateNetworkEndpointInputs | None) -> Data:
        return {"dnsName": _name(state["endpoint"])}

    def outputs_of(self, state: Data) -> Data:
        host = f"{_name(state['endpoint'])}.{state['network']['dnsName']}.internal"
        return {"endpointId": state["endpoint"]["publicId"], "hostName": host}

    def steps(self, state: Data | None, inputs: PrivateNetworkEndpointInputs) -> Sequence[Step]:
        if state is None or _name(state["endpoint"]) == inputs.dns_name:
            return ()
        network_id = state["network"]["publicId"]
        renaming = {"id": state["endpoint"]["publicId"], "dnsName": inputs.dns_name, "privateNetworkId": network_id}
        return ((RENAME, renaming),)

    def removal(self, state: Data, place: dict[str, str]) -> Step:
        return DELETE, {"id": state["endpoint"]["publicId"]}


async def _network(call: Call[RailwayClient], environment_id: str) -> Data | None:
    answer = await call.client.query_or_none(NETWORKS, environmentId=environment_id)
    return next(iter(there((answer or {}).get("privateNetworks") or ())), None)


def _name(endpoint: Data) -> str:
    """A new name shows beside the old one until Railway's network has it."""
    return str(endpoint["newDnsName"] or endpoint["dnsName"])
