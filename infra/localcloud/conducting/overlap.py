"""Which deployment new requests meet during the overlap: for Railway both are reported, so it is a switch."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec
from msgspec import structs

from infra.localcloud.plane.documents import read_document, write_document
from infra.localcloud.world.effects import with_items
from infra.localcloud.world.model import World

Meets = Literal["new", "old"]


class OverlapRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    requests_meet: Meets = "new"


class Overlap:
    """The switch, kept in `path`, and the deployments that are in their overlap now: instance id -> the one that leaves."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.requests_meet: Meets = read_document(path, OverlapRecord, OverlapRecord()).requests_meet
        self._leaving: dict[str, str] = {}

    def set(self, requests_meet: Meets) -> None:
        """For overlaps that begin from now on and those under way."""
        self.requests_meet = requests_meet
        write_document(self._path, OverlapRecord(requests_meet))

    def begin(self, instance_id: str, old_deployment_id: str) -> None:
        self._leaving[instance_id] = old_deployment_id

    def end(self, instance_id: str) -> None:
        self._leaving.pop(instance_id, None)

    def as_routed(self, world: World) -> World:
        """The world as the edges should see it."""
        if self.requests_meet == "new" or not self._leaving:
            return world
        instances = {
            instance_id: structs.replace(world.instances[instance_id], active_deployment_id=old)
            for instance_id, old in self._leaving.items()
            if instance_id in world.instances and old in world.deployments
        }
        return with_items(world, instances=instances)
