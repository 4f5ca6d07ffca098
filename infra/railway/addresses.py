"""Where something is, as a person says it: an import's id is a path of ids or names, and becomes one of ids.

`shop/production/api` is as good as three UUIDs. What looks like Railway's id is taken for one without asking.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

from infra.provider.definition import Call
from infra.provider.errors import InvalidInput
from infra.railway.client import Data, RailwayClient, nodes
from infra.railway.operations import load

PROJECTS = load(__file__, "project/list.graphql")
ENVIRONMENTS = load(__file__, "environment/list.graphql")
SERVICES = load(__file__, "service/list.graphql")

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SPOKEN = {"projectId": "a project", "environmentId": "an environment", "serviceId": "a service"}
_NAMES_SHOWN = 20


class Addressed:
    """Mixin for resources whose import's id is a path; `address` are its leading parts that may be names."""

    address: ClassVar[Sequence[str]] = ("projectId", "environmentId", "serviceId")

    async def located(self, call: Call[RailwayClient], identity: str) -> str:
        return await located(call, identity, self.address)


async def located(call: Call[RailwayClient], identity: str, address: Sequence[str]) -> str:
    """The path with ids in place of names. A single part stays: it is an id, or a name that its resource knows."""
    parts = identity.split("/")
    if len(parts) < 2:
        return identity
    found: list[str] = []
    for kind, part in zip(address, parts, strict=False):
        is_known = _UUID.fullmatch(part) or kind not in _SPOKEN or (kind, part) == ("serviceId", "shared")
        found.append(part if is_known else _chosen(kind, part, await _listed(call, kind, found)))
    return "/".join([*found, *parts[len(found) :]])


async def _listed(call: Call[RailwayClient], kind: str, above: Sequence[str]) -> list[Data]:
    if kind == "projectId":
        return nodes((await call.client.query(PROJECTS, workspaceId=None))["projects"])
    if kind == "environmentId":
        return nodes((await call.client.query(ENVIRONMENTS, projectId=above[0]))["environments"])
    return nodes((await call.client.query(SERVICES, projectId=above[0]))["project"]["services"])


def _chosen(kind: str, wanted: str, there: Sequence[Data]) -> str:
    by_id = [str(each["id"]) for each in there if each["id"] == wanted]
    by_name = [str(each["id"]) for each in there if each["name"] == wanted]
    match by_id or by_name:
        case [only]:
            return only
        case []:
            names = ", ".join(sorted({str(each["name"]) for each in there})[:_NAMES_SHOWN]) or "none"
            raise InvalidInput(f'import: expected the id or name of {_SPOKEN[kind]}, got "{wanted}"; there are: {names}')
        case several:
            what, ids = _SPOKEN[kind].partition(" ")[2], ", ".join(several)
            raise InvalidInput(f'import: {len(several)} {what}s are called "{wanted}"; take one by its id: {ids}')
