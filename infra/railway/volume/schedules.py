"""How often Railway backs a volume up by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from infra.provider.definition import Call
from infra.provider.rules import Choice, ListOf, Problem
from infra.railway.client import Data, RailwayClient
from infra.railway.operations import load

LIST = load(__file__, "schedules.graphql")
UPDATE = load(__file__, "schedule.graphql")

KINDS = ("DAILY", "WEEKLY", "MONTHLY")


class Schedules:
    """Rule: a set of kinds, written as a list. Normal form: each once, the most frequent first."""

    _list = ListOf(Choice(KINDS), items_max=len(KINDS))

    def problems(self, value: Any) -> Iterator[Problem]:
        return self._list.problems(value)

    def normal(self, value: Any) -> Any:
        return ordered(value) if isinstance(value, list) and all(isinstance(each, str) for each in value) else value

    def schema(self) -> dict[str, Any]:
        return self._list.schema()


def ordered(kinds: list[str]) -> list[str]:
    return [kind for kind in KINDS if kind in kinds]


async def schedules(call: Call[RailwayClient], instance_id: str) -> list[str] | None:
    answer = await call.client.query_or_none(LIST, volumeInstanceId=instance_id)
    return None if answer is None else ordered([each["kind"] for each in answer["volumeInstanceBackupScheduleList"]])


async def schedule(call: Call[RailwayClient], instance_id: str, wanted: list[str]) -> None:
    async def settled() -> Data | None:
        return {} if await schedules(call, instance_id) == ordered(wanted) else None

    if await settled() is None:
        await call.client.mutate(UPDATE, {"volumeInstanceId": instance_id, "kinds": ordered(wanted)}, settled)
