"""A public port for a service that does not speak HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import ClassVar

from infra.provider.definition import Call, Made
from infra.provider.errors import Conflict
from infra.provider.fields import Field, Output
from infra.provider.rules import Whole
from infra.railway import staging
from infra.railway.client import Data, RailwayClient
from infra.railway.departure import there
from infra.railway.listed import Listed
from infra.railway.operations import load
from infra.railway.placed import PLACE_FIELDS, PlacedInputs

LIST = load(__file__, "list.graphql")
DELETE = load(__file__, "delete.graphql")


class TcpProxyInputs(PlacedInputs, frozen=True):
    application_port: int


class TcpProxy(Listed[TcpProxyInputs]):
    """Connections to `domain`:`proxyPort` lead to `applicationPort` of the service, byte for byte.

    Staged and committed with the environment's other changes: `tcpProxyCreate` is deprecated.
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
        return None if answer is None else there(answer["tcpProxies"])

    def name_of(self, entry: Data) -> str:
        return str(entry["applicationPort"])

    def inputs_of(self, entry: Data, place: dict[str, str], recorded: TcpProxyInputs | None) -> Data:
        return {**place, "applicationPort": entry["applicationPort"]}

    def outputs_of(self, entry: Data) -> Data:
        return {"domain": entry["domain"], "proxyPort": entry["proxyPort"]}

    def is_made_from(self, entry: Data, inputs: TcpProxyInputs) -> bool:
        return bool(entry["applicationPort"] == inputs.application_port)

    async def create(self, call: Call[RailwayClient], inputs: TcpProxyInputs) -> Made:
        with call.client.waves.announced(inputs.environment_id, call.ticket):
            return await super().create(call, inputs)

    async def make(
        self, call: Call[RailwayClient], inputs: TcpProxyInputs, appeared: Callable[[], Awaitable[Data | None]]
    ) -> None:
        port = inputs.application_port

        async def decide() -> Data:
            if await appeared() is not None:
                return {}
            if any(self.is_made_from(each, inputs) for each in await self.entries(call, inputs.place) or []):
                raise Conflict(
                    f"tcp_proxies/{port}: the service has one for this port already; "
                    f"adopt it with `pulumi import {self.resource_type} NAME {inputs.identity}/{port}`"
                )
            return {"services": {inputs.service_id: {"networking": {"tcpProxies": {str(port): {}}}}}}

        await staging.commit(call, inputs.environment_id, f"TCP proxy for port {port}", decide)
