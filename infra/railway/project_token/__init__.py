"""A token that may touch one environment of a project. Railway shows it once, at its creation."""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct

from infra.provider.definition import Call, Made, Recorded
from infra.provider.errors import NotFound
from infra.provider.fields import Field, Output
from infra.provider.waiting import until
from infra.railway.client import Data, RailwayClient, nodes, only
from infra.railway.listed import APPEAR_DEADLINE_S, Listed
from infra.railway.names import ID, TOKEN_NAME
from infra.railway.operations import Operation, load

CREATE = load(__file__, "create.graphql")
LIST = load(__file__, "list.graphql")
DELETE = load(__file__, "delete.graphql")


class ProjectTokenInputs(Struct, frozen=True, rename="camel"):
    project_id: str
    environment_id: str
    name: str


class ProjectToken(Listed[ProjectTokenInputs]):
    """A new name is a new token: there is no way to rename one. An imported token has no `token` output."""

    resource_type: ClassVar = "railway:index:ProjectToken"
    collection: ClassVar = "project_tokens"
    called: ClassVar = "project token"
    inputs_type: ClassVar = ProjectTokenInputs
    deletion: ClassVar = DELETE
    place: ClassVar = ("projectId",)
    fields: ClassVar = (
        Field("projectId", ID, is_required=True, replaces=True),
        Field("environmentId", ID, is_required=True, replaces=True),
        Field("name", TOKEN_NAME, is_required=True, replaces=True),
    )
    outputs: ClassVar = (Output("token", is_secret=True, about="known from its creation only"),)

    async def create(self, call: Call[RailwayClient], inputs: ProjectTokenInputs) -> Made:
        place = self.where(inputs)
        before = {each["id"] for each in await self.entries(call, place) or []}

        async def appeared() -> Data | None:
            entries = await self.entries(call, place) or []
            return only([each for each in entries if each["id"] not in before and self.is_made_from(each, inputs)])

        async def unreadable() -> Data | None:
            """A token whose answer was lost is of no use to anybody: it goes, and another is asked for."""
            lost = await appeared()
            if lost is not None:
                await call.client.mutate(DELETE, {"id": lost["id"]}, _nothing)
            return None

        operation, variables = self.creation(inputs)
        token = (await call.client.mutate(operation, variables, unreadable))["projectTokenCreate"]
        made = await until(call, appeared, deadline_s=APPEAR_DEADLINE_S, what=f"appearance of project token {inputs.name}")
        return Made(made["id"], {"token": token})

    async def entries(self, call: Call[RailwayClient], place: dict[str, str]) -> list[Data] | None:
        found: list[Data] = []
        after: str | None = None
        while True:
            try:
                page = (await call.client.query(LIST, **place, after=after))["projectTokens"]
            except NotFound:
                return None
            found += nodes(page)
            after = page["pageInfo"]["endCursor"]
            if not page["pageInfo"]["hasNextPage"] or not after:
                return found

    def name_of(self, entry: Data) -> str:
        return str(entry["name"])

    def inputs_of(self, entry: Data, place: dict[str, str], recorded: ProjectTokenInputs | None) -> Data:
        return {**place, "environmentId": entry["environmentId"], "name": entry["name"]}

    def outputs_of(self, entry: Data) -> Data:
        return {}

    def kept(self, recorded: Recorded[ProjectTokenInputs]) -> Data:
        return {"token": recorded.outputs["token"]} if recorded.outputs.get("token") else {}

    def is_made_from(self, entry: Data, inputs: ProjectTokenInputs) -> bool:
        return (entry["name"], entry["environmentId"]) == (inputs.name, inputs.environment_id)

    def creation(self, inputs: ProjectTokenInputs) -> tuple[Operation, Data]:
        wanted = {"projectId": inputs.project_id, "environmentId": inputs.environment_id, "name": inputs.name}
        return CREATE, {"input": wanted}


async def _nothing() -> Data | None:
    return None
