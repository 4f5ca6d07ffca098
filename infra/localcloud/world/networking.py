"""Transitions of TCP proxies and custom domains: what else leads to a service from outside, at its region's edge.

Both share one address per region, the edge's own. A TCP proxy has a port of it to itself; custom domains share a port and
are told apart by the name that a client asks for. Addresses are not in here: they belong to the region, not to the thing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct, structs

from infra.localcloud.world import lookup
from infra.localcloud.world.departures import departing
from infra.localcloud.world.effects import Change, RoutesChanged, with_items
from infra.localcloud.world.errors import BadInput, NotFound, Refused
from infra.localcloud.world.model import CustomDomain, Instance, Stamp, TcpProxy, World

PROXY_PORTS = range(20_000, 30_000)  # below the ports that Linux hands out by itself
CUSTOM_DOMAIN_PORT = 8080
ISSUING = timedelta(minutes=1)  # until a certificate is there, once the record is; Railway says that it takes minutes
PER_INSTANCE_MAX = 20
DOMAIN_CHARACTERS_MAX = 253  # RFC 1035 section 2.3.4
DOMAIN = re.compile(r"(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?")


class CreateTcpProxy(Struct, frozen=True):
    stamp: Stamp
    service_id: str
    environment_id: str
    application_port: int


class DeleteTcpProxy(Struct, frozen=True):
    stamp: Stamp
    proxy_id: str


class CreateCustomDomain(Struct, frozen=True):
    stamp: Stamp
    project_id: str
    service_id: str
    environment_id: str
    domain: str
    target_port: int | None


class UpdateCustomDomain(Struct, frozen=True):
    stamp: Stamp
    domain_id: str
    environment_id: str
    target_port: int | None


class SetDns(Struct, frozen=True):
    """Whether the record of a custom domain is there: nobody here can look."""

    stamp: Stamp
    domain: str
    has_record: bool


class DeleteCustomDomain(Struct, frozen=True):
    stamp: Stamp
    domain_id: str


def checked_target_port(port: int | None) -> int | None:
    """0 is none: Terraform's provider sends it where no port was chosen, and Railway takes it."""
    return _checked_port(port, "targetPort") if port else None


def _checked_port(port: int, name: str) -> int:
    if not 1 <= port <= 65535:
        raise BadInput(f"{name}: expected 1 to 65535, got {port}")
    return port


def tcp_proxies_of(world: World, service_id: str, environment_id: str) -> list[TcpProxy]:
    place = (service_id, environment_id)
    return [found for found in world.tcp_proxies.values() if (found.service_id, found.environment_id) == place]


def custom_domains_of(world: World, service_id: str, environment_id: str) -> list[CustomDomain]:
    place = (service_id, environment_id)
    return [found for found in world.custom_domains.values() if (found.service_id, found.environment_id) == place]


def tcp_proxy(world: World, proxy_id: str) -> TcpProxy:
    if (found := world.tcp_proxies.get(proxy_id)) is None:
        raise NotFound("TCPProxy")
    return found


def custom_domain(world: World, domain_id: str) -> CustomDomain:
    if (found := world.custom_domains.get(domain_id)) is None:
        raise NotFound("CustomDomain")
    return found


def create_tcp_proxy(world: World, command: CreateTcpProxy) -> Change:
    instance = lookup.instance(world, command.service_id, command.environment_id)
    _checked_port(command.application_port, "applicationPort")
    before = tcp_proxies_of(world, command.service_id, command.environment_id)
    if any(found.application_port == command.application_port for found in before):
        raise Refused(f"A TCP proxy for port {command.application_port} already exists")
    _refuse_too_many(len(before), "TCP proxies")
    region = instance.settings.primary_region
    proxy = TcpProxy(
        id=command.stamp.id,
        project_id=instance.project_id,
        environment_id=instance.environment_id,
        service_id=instance.service_id,
        region=region,
        proxy_port=_free_port(world, region),
        application_port=command.application_port,
        created_at=command.stamp.at,
        updated_at=command.stamp.at,
    )
    return Change(with_items(world, tcp_proxies={proxy.id: proxy}), (RoutesChanged(),))


def _free_port(world: World, region: str) -> int:
    taken = {found.proxy_port for found in world.tcp_proxies.values() if found.region == region}
    free = next((port for port in PROXY_PORTS if port not in taken), None)
    if free is None:
        raise Refused(f"region {region}: all {len(PROXY_PORTS)} ports for TCP proxies are taken")
    return free


def delete_tcp_proxy(world: World, command: DeleteTcpProxy) -> Change:
    found = tcp_proxy(world, command.proxy_id)
    return departing(Change(with_items(world, tcp_proxies={found.id: None}), (RoutesChanged(),)), command.stamp, found)


def create_custom_domain(world: World, command: CreateCustomDomain) -> Change:
    instance = lookup.instance(world, command.service_id, command.environment_id)
    if instance.project_id != command.project_id:
        raise NotFound("ServiceInstance")
    name = checked_domain(command.domain)
    if is_taken(world, name):
        raise Refused(f'Domain "{name}" is already in use')
    _refuse_too_many(len(custom_domains_of(world, command.service_id, command.environment_id)), "custom domains")
    domain = CustomDomain(
        id=command.stamp.id,
        project_id=instance.project_id,
        environment_id=instance.environment_id,
        service_id=instance.service_id,
        region=instance.settings.primary_region,
        domain=name,
        target_port=checked_target_port(command.target_port),
        created_at=command.stamp.at,
        updated_at=command.stamp.at,
    )
    return Change(with_items(world, custom_domains={domain.id: domain}), (RoutesChanged(),))


def checked_domain(name: str) -> str:
    """Lower case: host names are compared without regard to it (RFC 4343)."""
    name = name.lower()
    if len(name) > DOMAIN_CHARACTERS_MAX or not DOMAIN.fullmatch(name):
        raise BadInput(f"domain: expected a host name like api.example.com, got {name[:80]!r}")
    return name


def is_taken(world: World, name: str) -> bool:
    """Edges tell both kinds apart by the same header."""
    customs = (found.domain for found in world.custom_domains.values())
    return name in customs or any(found.name == name for found in world.domains.values())


def _refuse_too_many(count: int, what: str) -> None:
    if count >= PER_INSTANCE_MAX:
        raise Refused(f"expected at most {PER_INSTANCE_MAX} {what} per service")


def update_custom_domain(world: World, command: UpdateCustomDomain) -> Change:
    found = custom_domain(world, command.domain_id)
    if found.environment_id != command.environment_id:
        raise NotFound("CustomDomain")
    updated = structs.replace(found, target_port=checked_target_port(command.target_port), updated_at=command.stamp.at)
    return Change(with_items(world, custom_domains={found.id: updated}), (RoutesChanged(),))


def set_dns(world: World, command: SetDns) -> Change:
    name = checked_domain(command.domain)
    found = next((one for one in world.custom_domains.values() if one.domain == name), None)
    if found is None:
        raise NotFound("CustomDomain")
    since = (found.dns_since or command.stamp.at) if command.has_record else None
    return Change(with_items(world, custom_domains={found.id: structs.replace(found, dns_since=since)}))


def certificate_status(found: CustomDomain, now: str) -> str:
    """Railway's CertificateStatus, without its prefix."""
    if found.dns_since is None:
        return "VALIDATING_OWNERSHIP"
    is_issued = datetime.fromisoformat(now) - datetime.fromisoformat(found.dns_since) >= ISSUING
    return "VALID" if is_issued else "ISSUING"


def delete_custom_domain(world: World, command: DeleteCustomDomain) -> Change:
    found = custom_domain(world, command.domain_id)
    return departing(Change(with_items(world, custom_domains={found.id: None}), (RoutesChanged(),)), command.stamp, found)


def without_networking(world: World, instance: Instance) -> World:
    """The world without what leads to an instance that goes."""
    proxies = tcp_proxies_of(world, instance.service_id, instance.environment_id)
    domains = custom_domains_of(world, instance.service_id, instance.environment_id)
    return with_items(
        world,
        tcp_proxies={found.id: None for found in proxies},
        custom_domains={found.id: None for found in domains},
    )


TRANSITIONS: dict[type, Callable[[World, Any], Change]] = {
    CreateTcpProxy: create_tcp_proxy,
    DeleteTcpProxy: delete_tcp_proxy,
    CreateCustomDomain: create_custom_domain,
    UpdateCustomDomain: update_custom_domain,
    SetDns: set_dns,
    DeleteCustomDomain: delete_custom_domain,
}
