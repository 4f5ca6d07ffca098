"""What else a service instance may be set to: limits, a schedule, a connected source. Transitions and what values may be."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct, structs

from infra.localcloud.world import lookup
from infra.localcloud.world.cron import parse_schedule
from infra.localcloud.world.deployments import deployed_with_source
from infra.localcloud.world.effects import Change, with_items
from infra.localcloud.world.errors import BadInput, Refused
from infra.localcloud.world.model import Stamp, World

VCPUS_MAX = 1000.0
MEMORY_BYTES_MAX = 10**13
PLAN_BYTES_MAX = 64 * 1024
TEXT_CHARACTERS_MAX = 500


class SetLimits(Struct, frozen=True):
    """None takes a limit away."""

    stamp: Stamp
    service_id: str
    environment_id: str
    vcpus: float | None
    memory_bytes: int | None


class ConnectSource(Struct, frozen=True):
    """In every environment that has the service, and deployed there; all None disconnects and leaves what runs alone."""

    stamp: Stamp
    service_id: str
    image: str | None = None
    repo: str | None = None
    branch: str | None = None


def set_limits(world: World, command: SetLimits) -> Change:
    instance = lookup.instance(world, command.service_id, command.environment_id)
    limits = checked_limits(command.vcpus, command.memory_bytes)
    settings = structs.replace(instance.settings, **limits)
    updated = structs.replace(instance, settings=settings, updated_at=command.stamp.at)
    return Change(with_items(world, instances={instance.id: updated}))


def checked_limits(vcpus: float | None, memory_bytes: int | None) -> dict[str, Any]:
    if vcpus is not None and not 0 < vcpus <= VCPUS_MAX:
        raise BadInput(f"vCPUs: expected more than 0 and at most {VCPUS_MAX:g}, got {vcpus:g}")
    if memory_bytes is not None and not 0 < memory_bytes <= MEMORY_BYTES_MAX:
        raise BadInput(f"memoryGB: expected more than 0 and at most {MEMORY_BYTES_MAX // 10**9}, got {memory_bytes / 1e9:g}")
    return {"limit_vcpus": vcpus, "limit_memory_bytes": memory_bytes}


def connect_source(world: World, command: ConnectSource) -> Change:
    lookup.service(world, command.service_id)
    if command.image is not None and command.repo is not None:
        raise BadInput("expected an image or a repo, got both")
    if command.repo is not None and not re.fullmatch(r"[\w.-]{1,100}/[\w.-]{1,100}", command.repo):
        raise BadInput("repo: expected the full name of a repository, like owner/name")
    own = [found for found in world.instances.values() if found.service_id == command.service_id]
    if not own:
        raise Refused("ServiceInstance not found")
    changed = {
        found.id: structs.replace(
            found,
            settings=structs.replace(found.settings, image=command.image, repo=command.repo, branch=command.branch),
            updated_at=command.stamp.at,
        )
        for found in own
    }
    return deployed_with_source(with_items(world, instances=changed), changed.values(), command.stamp)


def check_settings(changes: dict[str, Any]) -> None:
    """BadInput for a value that the platform would not take; names as in Railway's input."""
    cron = changes.get("cron_schedule")
    if cron:
        parse_schedule(cron)
    if len(msgspec.json.encode(changes.get("nixpacks_plan"))) > PLAN_BYTES_MAX:
        raise BadInput(f"nixpacksPlan: expected at most {PLAN_BYTES_MAX} bytes")
    for name, shown in (("registry_username", "registryCredentials.username"), ("railway_config_file", "railwayConfigFile")):
        if len(changes.get(name) or "") > TEXT_CHARACTERS_MAX:
            raise BadInput(f"{shown}: expected at most {TEXT_CHARACTERS_MAX} characters")


TRANSITIONS: dict[type, Callable[[World, Any], Change]] = {SetLimits: set_limits, ConnectSource: connect_source}
