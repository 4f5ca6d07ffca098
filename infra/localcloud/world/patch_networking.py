"""The `networking` part of a service's patch. What is there already and wanted stays as it is."""

from __future__ import annotations

from msgspec import Struct, structs

from infra.localcloud.world.effects import Effect
from infra.localcloud.world.model import Instance, Stamp, World
from infra.localcloud.world.networking import (
    TRANSITIONS,
    CreateCustomDomain,
    CreateTcpProxy,
    DeleteCustomDomain,
    DeleteTcpProxy,
    UpdateCustomDomain,
    checked_domain,
    custom_domains_of,
    tcp_proxies_of,
)
from infra.localcloud.world.patch_content import CustomDomainPatch, ServicePatch


def with_networking(world: World, stamp: Stamp, instance: Instance, service: ServicePatch) -> tuple[World, tuple[Effect, ...]]:
    """The world with the TCP proxies and custom domains that the patch asks for."""
    effects: list[Effect] = []
    for command in (*_proxies(world, stamp, instance, service), *_domains(world, stamp, instance, service)):
        change = TRANSITIONS[type(command)](world, command)
        world = change.world
        effects.extend(change.effects)
    return world, tuple(effects)


def _derived(stamp: Stamp, instance: Instance, label: str) -> Stamp:
    return structs.replace(stamp, id=stamp.child(f"{instance.id}:{label}"))


def _proxies(world: World, stamp: Stamp, instance: Instance, service: ServicePatch) -> list[Struct]:
    there = {found.application_port: found for found in tcp_proxies_of(world, instance.service_id, instance.environment_id)}
    commands: list[Struct] = []
    for port, is_wanted in service.tcp_proxies.items():
        if is_wanted and port not in there:
            derived = _derived(stamp, instance, f"tcp:{port}")
            commands.append(CreateTcpProxy(derived, instance.service_id, instance.environment_id, port))
        elif not is_wanted and port in there:
            commands.append(DeleteTcpProxy(stamp, there[port].id))
    return commands


def _domains(world: World, stamp: Stamp, instance: Instance, service: ServicePatch) -> list[Struct]:
    there = {found.domain: found for found in custom_domains_of(world, instance.service_id, instance.environment_id)}
    commands: list[Struct] = []
    for given, wanted in service.custom_domains.items():
        name = checked_domain(given)
        found = there.get(name)
        match (wanted, found):
            case (CustomDomainPatch(port=port), None):
                place = (instance.project_id, instance.service_id, instance.environment_id)
                commands.append(CreateCustomDomain(_derived(stamp, instance, name), *place, name, port))
            case (CustomDomainPatch(port=port), _) if found is not None and found.target_port != port:
                commands.append(UpdateCustomDomain(stamp, found.id, instance.environment_id, port))
            case (None, _) if found is not None:
                commands.append(DeleteCustomDomain(stamp, found.id))
    return commands
