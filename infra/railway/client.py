"""Railway's API: GraphQL by POST, and the upload endpoint that Railway's own CLI uses for `railway up`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from infra.provider.errors import NotFound
from infra.provider.transport import Request, Transport
from infra.railway.departure import there
from infra.railway.faults import data_of, object_of
from infra.railway.operations import Operation
from infra.railway.subscriptions import Subscriptions
from infra.railway.waves import Waves

UPLOAD_TIMEOUT_S = 300.0

Data = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RailwayClient:
    """`endpoint` is the GraphQL address, https://backboard.railway.com/graphql/v2 or a local cloud's."""

    transport: Transport
    endpoint: str
    subscriptions: Subscriptions
    deployment_logs: str = "slow"
    """When a deployment's log lines are shown: always, once it is slow, or (the last ones) when it has failed."""
    waves: Waves = field(default_factory=Waves)
    with_variables: set[tuple[str, str]] = field(default_factory=set)
    """(environment, service) whose variables the program gives with the Service itself."""

    async def query(self, operation: Operation, **variables: Any) -> Data:
        return await self.transport.ask(self._request(operation, variables), lambda answer: data_of(answer, operation.name))

    async def query_or_none(self, operation: Operation, **variables: Any) -> Data | None:
        """None where Railway does not know the thing asked for."""
        try:
            return await self.query(operation, **variables)
        except NotFound:
            return None

    async def mutate(self, operation: Operation, variables: Data, settled: Callable[[], Awaitable[Data | None]]) -> Data:
        """Sends a change. `settled` tells after an unknown outcome whether it took effect: the data to go on with, or None.

        One at a time for each environment: Railway refuses, or worse, mixes changes that meet.
        """
        environment_id = _environment_of(variables)
        if environment_id is None:
            return await self.change(operation, variables, settled)
        async with self.waves.alone(environment_id):
            return await self.change(operation, variables, settled)

    async def change(self, operation: Operation, variables: Data, settled: Callable[[], Awaitable[Data | None]]) -> Data:
        """As `mutate`, for who has the environment for himself already."""
        return await self.transport.change(
            self._request(operation, variables), lambda answer: data_of(answer, operation.name), settled
        )

    async def upload(
        self,
        project_id: str,
        environment_id: str,
        service_id: str,
        bundle: bytes,
        settled: Callable[[], Awaitable[Data | None]],
    ) -> Data:
        """Deploys a gzip tar; the answer holds `deploymentId`."""
        address = httpx.URL(self.endpoint).copy_with(path=f"/project/{project_id}/environment/{environment_id}/up")
        request = Request(
            "upload",
            "POST",
            str(address),
            is_query=False,
            content=bundle,
            headers={"content-type": "application/gzip"},
            params={"serviceId": service_id},
            timeout_s=UPLOAD_TIMEOUT_S,
        )
        return await self.transport.change(request, lambda answer: object_of(answer, "upload"), settled)

    def _request(self, operation: Operation, variables: Data) -> Request:
        body = {"operationName": operation.name, "query": operation.text, "variables": variables}
        return Request(operation.name, "POST", self.endpoint, operation.is_query, json=body)


def _environment_of(variables: Data) -> str | None:
    """The environment that a change names, wherever its operation wants it."""
    inner = variables.get("input")
    found = variables.get("environmentId") or (inner.get("environmentId") if isinstance(inner, dict) else None)
    return found if isinstance(found, str) else None


def nodes(connection: Any) -> list[Data]:
    """The nodes of a Relay connection that are not deleted; an absent one has none."""
    return there(edge["node"] for edge in (connection or {}).get("edges", ()))


def only(found: list[Data]) -> Data | None:
    """The one thing that appeared. Several appeared: somebody else is at work, and guessing would adopt their thing."""
    return found[0] if len(found) == 1 else None
