"""What a resolver works with: the world as the caller may see it, and the way to change it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from graphql import GraphQLResolveInfo
from msgspec import Struct

from infra.localcloud.conducting.conductor import Conductor
from infra.localcloud.conducting.keeper import Keeper
from infra.localcloud.plane.interface import Plane
from infra.localcloud.railway_api.principal import Access, Principal
from infra.localcloud.world.model import World

Info = GraphQLResolveInfo[Any]


@dataclass(frozen=True, slots=True)
class Cloud:
    """The running local cloud, as its HTTP surfaces see it. `identity` names this home's workspace and user."""

    keeper: Keeper
    plane: Plane
    conductor: Conductor
    identity: str

    @property
    def workspace_id(self) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"workspace:{self.identity}"))

    @property
    def user_id(self) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"user:{self.identity}"))


@dataclass(frozen=True, slots=True)
class Call:
    cloud: Cloud
    principal: Principal

    @property
    def world(self) -> World:
        return self.cloud.keeper.world

    @property
    def access(self) -> Access:
        """Made anew each time: a mutation's answer shows the world after it."""
        return Access(self.world, self.principal)

    async def apply(self, command: Struct) -> World:
        return await self.cloud.keeper.apply(command)
