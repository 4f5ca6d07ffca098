"""Transitions of what an instance has of the network besides domains: its private name, static egress, the edge's caching."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from msgspec import Struct, structs

from infra.localcloud.plane.interface import REGIONS
from infra.localcloud.world import lookup, owners
from infra.localcloud.world.effects import Change, RoutesChanged, RunEnding, with_items
from infra.localcloud.world.errors import BadInput, NotFound, Refused
from infra.localcloud.world.model import EdgeConfig, Ending, Instance, Stamp, World
from infra.localcloud.world.networking import custom_domains_of

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")  # RFC 1123 section 2.1
TTL_SECONDS_MAX = 31_536_000
NO_ENDPOINT = ""
"""The private name of an instance whose endpoint was deleted."""


class NameEndpoint(Struct, frozen=True):
    """NO_ENDPOINT deletes it."""

    service_id: str
    environment_id: str
    name: str


class AddEgress(Struct, frozen=True):
    """`address` was allocated beforehand for owners.egress."""

    service_id: str
    environment_id: str
    region: str
    address: str


class ClearEgress(Struct, frozen=True):
    stamp: Stamp
    service_id: str
    environment_id: str


class SetEdgeConfig(Struct, frozen=True):
    """`changes` by our names; `is_enabled` None leaves that as it is, but then caching has to be on."""

    stamp: Stamp
    service_id: str
    environment_id: str
    changes: dict[str, Any]
    is_enabled: bool | None = None


class PurgeCache(Struct, frozen=True):
    stamp: Stamp
    service_id: str
    environment_id: str
    scope: str
    epoch: int


def endpoint_name(world: World, instance: Instance) -> str:
    """Railway makes each service's own from its name."""
    named = world.endpoint_names.get(instance.id)
    if named is not None:
        return named
    label = re.sub(r"[^a-z0-9]+", "-", world.services[instance.service_id].name.lower())[:63].strip("-")
    return label or f"service-{instance.id[:8]}"


def is_name_free(world: World, environment_id: str, name: str, but: str = "") -> bool:
    own = (found for found in world.instances.values() if found.environment_id == environment_id and found.id != but)
    return all(endpoint_name(world, found) != name for found in own)


def name_endpoint(world: World, command: NameEndpoint) -> Change:
    instance = lookup.instance(world, command.service_id, command.environment_id)
    if command.name != NO_ENDPOINT:
        if not LABEL.fullmatch(command.name):
            raise BadInput("dnsName: expected lower-case letters, digits and dashes, at most 63")
        if not is_name_free(world, command.environment_id, command.name, but=instance.id):
            raise Refused(f'An endpoint named "{command.name}" already exists in this environment')
    elif endpoint_name(world, instance) == NO_ENDPOINT:
        raise NotFound("PrivateNetworkEndpoint")
    return Change(with_items(world, endpoint_names={instance.id: command.name}), (RoutesChanged(),))


def add_egress(world: World, command: AddEgress) -> Change:
    instance = lookup.instance(world, command.service_id, command.environment_id)
    known = world.egress.get(instance.id, {})
    return Change(with_items(world, egress={instance.id: {**known, command.region: command.address}}))


def clear_egress(world: World, command: ClearEgress) -> Change:
    instance = lookup.instance(world, command.service_id, command.environment_id)
    known = world.egress.get(instance.id, {})
    if not known:
        return Change(world)
    ending = Ending(id=command.stamp.id, owners=tuple(owners.egress(instance.id, region) for region in known))
    world = with_items(world, egress={instance.id: None}, endings={ending.id: ending})
    return Change(world, (RunEnding(scope=None, ending=ending),))


def set_edge_config(world: World, command: SetEdgeConfig) -> Change:
    instance = lookup.instance(world, command.service_id, command.environment_id)
    place = (command.service_id, command.environment_id)
    if command.is_enabled and not (lookup.domains_of(world, *place) or custom_domains_of(world, *place)):
        raise Refused("Service has no public domain to cache for")
    before = world.edge_configs.get(instance.id)
    if command.is_enabled is None and (before is None or not before.is_enabled):
        raise Refused("CDN is not enabled for this service")
    config = before or EdgeConfig(id=command.stamp.id)
    ttl_s = command.changes.get("default_ttl_s")
    if ttl_s is not None and not 0 <= ttl_s <= TTL_SECONDS_MAX:
        raise BadInput(f"defaultTtlSeconds: expected 0 to {TTL_SECONDS_MAX}, got {ttl_s}")
    for name, choices in (("html_caching", ("auto", "force", "never")), ("mode", ("auto", "on", "off"))):
        value = command.changes.get(name)
        if value is not None and value not in choices:
            raise BadInput(f"{name}: expected one of {', '.join(choices)}")
    is_enabled = config.is_enabled if command.is_enabled is None else command.is_enabled
    updated = structs.replace(config, **command.changes, is_enabled=is_enabled)
    return Change(with_items(world, edge_configs={instance.id: updated}))


def purge_cache(world: World, command: PurgeCache) -> Change:
    instance = lookup.instance(world, command.service_id, command.environment_id)
    config = world.edge_configs.get(instance.id)
    if config is None or not config.is_enabled:
        raise Refused("CDN is not enabled for this service")
    field = "html_purge_epoch" if command.scope == "HTML" else "purge_epoch"
    updated = structs.replace(config, **{field: max(command.epoch, getattr(config, field) + 1)})
    return Change(with_items(world, edge_configs={instance.id: updated}))


def without_instance_network(world: World, instance: Instance) -> World:
    gone = {instance.id: None}
    return with_items(world, endpoint_names=gone, egress=gone, edge_configs=gone)


def egress_owners(instance: Instance) -> tuple[str, ...]:
    return tuple(owners.egress(instance.id, region) for region in REGIONS)


TRANSITIONS: dict[type, Callable[[World, Any], Change]] = {
    NameEndpoint: name_endpoint,
    AddEgress: add_egress,
    ClearEgress: clear_egress,
    SetEdgeConfig: set_edge_config,
    PurgeCache: purge_cache,
}
