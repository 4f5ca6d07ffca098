"""A public port for a service that does not speak HTTP."""

from __future__ import annotations

from typing import ClassVar

from infra.provider.definition import Call
from infra.provider.fields import Field, Output
from infra.provider.rules import Whole
from infra.railway.client import Data, RailwayClient
from infra.railway.listed import Listed
from infra.railway.operations import Operation, load
from infra.railway.placed import PLACE_FIELDS, PlacedInputs

COMMIT = load(__file__, "commit.graphql")
LIST = load(__file__, "list.graphql")
DELETE = load(__file__, "delete.graphql")

GONE = frozenset({"DELETED", "DELETING"})


class TcpProxyInputs(PlacedInputs, frozen=True):
    application_port: int


class TcpProxy(Listed[TcpProxyInputs]):
    """Connections to `domain`:`proxyPort` lead to `applicationPort` of the service, byte for byte.

    Made by a patch of the environment: `tcpProxyCreate` is deprecated, and what it makes waits for a redeploy.
    """

    resource_type: ClassVar = "railway:index:TcpProxy"
    collection: ClassVar = "tcp_proxies"
    called: ClassVar = "TCP proxy"
    inputs_type: ClassVar = TcpProxyInputs
    deletion: ClassVar = DELETE
    deletes_before_replace: ClassVar = True  # a port of the service has room for one
    fields: ClassVar = (*PLACE_FIELDS, Field("applicationPort", Whole(1, 65_535), is_required=True, replaces=True))
    outputs: ClassVar = (Output("domain"), Output("proxyPort", schema={"type": "integer"}))

    async def entries(self, call: Call[RailwayClient], place: dict[str, str]) -> list[Data] | None:
        at = {name: place[name] for name in ("environmentId", "serviceId")}
        answer = await call.client.query_or_none(LIST, **at)
        if answer is None:
            return None
        return [each for each in answer["tcpProxies"] if not each["deletedAt"] and each["syncStatus"] not in GONE]

    def name_of(self, entry: Data) -> str:
        return str(entry["applicationPort"])

    def inputs_of(self, entry: Data, place: dict[str, str], recorded: TcpProxyInputs | None) -> Data:
        return {**place, "applicationPort": entry["applicationPort"]}

    def outputs_of(self, entry: Data) -> Data:
        return {"domain": entry["domain"], "proxyPort": entry["proxyPort"]}

    def is_made_from(self, entry: Data, inputs: TcpProxyInputs) -> bool:
        return bool(entry["applicationPort"] == inputs.application_port)

    def creation(self, inputs: TcpProxyInputs) -> tuple[Operation, Data]:
        networking: Data = {"tcpProxies": {str(inputs.application_port): {}}}
        patch = {"services": {inputs.service_id: {"networking": networking}}}
        message = f"TCP proxy for port {inputs.application_port}"
        return COMMIT, {"environmentId": inputs.environment_id, "patch": patch, "commitMessage": message}
