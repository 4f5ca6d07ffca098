"""Which address leads to which replicas: pure, from the world to the tables of the edges."""

from __future__ import annotations

from collections.abc import Callable

from infra.localcloud.plane.interface import Route
from infra.localcloud.world import lookup
from infra.localcloud.world.instance_network import NO_ENDPOINT
from infra.localcloud.world.model import CustomDomain, Deployment, Domain, Instance, ReplicaStatus, World
from infra.localcloud.world.networking import CUSTOM_DOMAIN_PORT, custom_domains_of, tcp_proxies_of
from infra.localcloud.world.provided import AddressOf, is_cache_image

DomainAddress = Callable[[Domain, str], str]
EdgeAddress = Callable[[str], str]


def routes_of(
    world: World, domain_address: DomainAddress, private_address: AddressOf, edge_address: EdgeAddress
) -> dict[str, list[Route]]:
    """Region -> routes. A domain listens in its own region and in every region where its service has replicas."""
    tables: dict[str, list[Route]] = {}
    for domain in world.domains.values():
        instance = lookup.instance(world, domain.service_id, domain.environment_id)
        active = lookup.active_deployment(world, instance)
        regions = {domain.region: None, **dict.fromkeys(_regions(active))}
        for region in regions:
            address = domain.address if region == domain.region else domain_address(domain, region)
            upstreams = upstreams_of(active, domain.target_port)
            route = Route(domain.listens_at, region, address, domain.port, upstreams, is_deployed=active is not None)
            tables.setdefault(region, []).append(route)
    for instance in world.instances.values():
        _add_private_route(world, instance, private_address, tables)
    _add_edge_routes(world, edge_address, tables)
    return tables


def _add_edge_routes(world: World, edge_address: EdgeAddress, tables: dict[str, list[Route]]) -> None:
    """What shares the edges' own addresses: named domains by host name, TCP proxies by port, the latter in one region."""
    by_host: list[Domain | CustomDomain] = [*world.custom_domains.values()]
    by_host += [found for found in world.domains.values() if found.name]
    for custom in by_host:
        active = lookup.active_deployment(world, lookup.instance(world, custom.service_id, custom.environment_id))
        upstreams = upstreams_of(active, custom.target_port)
        for region in {custom.region: None, **dict.fromkeys(_regions(active))}:
            address = edge_address(region)
            is_deployed = active is not None
            route = Route(custom.domain, region, address, CUSTOM_DOMAIN_PORT, upstreams, is_deployed, is_by_host=True)
            tables.setdefault(region, []).append(route)
    for proxy in world.tcp_proxies.values():
        active = lookup.active_deployment(world, lookup.instance(world, proxy.service_id, proxy.environment_id))
        address = edge_address(proxy.region)
        upstreams = upstreams_of(active, proxy.application_port)
        name = f"{address}:{proxy.proxy_port}"
        route = Route(name, proxy.region, address, proxy.proxy_port, upstreams, active is not None, is_tcp=True)
        tables.setdefault(proxy.region, []).append(route)


def _add_private_route(world: World, instance: Instance, private_address: AddressOf, tables: dict[str, list[Route]]) -> None:
    """A service's private address leads to its replicas as well; a cache listens there itself."""
    active = lookup.active_deployment(world, instance)
    if world.endpoint_names.get(instance.id) == NO_ENDPOINT:
        return
    if active is None or is_cache_image(active.settings.image):
        return
    port = next((found.port for found in active.replicas if found.status is not ReplicaStatus.REMOVED), None)
    if port is None:
        return
    region = instance.settings.first_region
    address = private_address(instance)
    route = Route(f"{address}:{port}", region, address, port, upstreams_of(active, None), is_deployed=True)
    tables.setdefault(region, []).append(route)


def _regions(deployment: Deployment | None) -> list[str]:
    if deployment is None:
        return []
    return [found.region for found in deployment.replicas if found.status is not ReplicaStatus.REMOVED]


def ports_of(world: World, deployment: Deployment) -> list[int]:
    """Those on which its replicas are asked, by whatever leads to them."""
    place = (deployment.service_id, deployment.environment_id)
    targets = [found.target_port for found in lookup.domains_of(world, *place)]
    targets += [found.target_port for found in custom_domains_of(world, *place)]
    targets += [found.application_port for found in tcp_proxies_of(world, *place)]
    return sorted({*(found.port for found in deployment.replicas), *(port for port in targets if port is not None)})


def upstreams_of(deployment: Deployment | None, target_port: int | None) -> dict[str, tuple[tuple[str, int], ...]]:
    """Region -> (host, port) of the replicas that are up, and the doors of those that sleep."""
    upstreams: dict[str, tuple[tuple[str, int], ...]] = {}
    for replica in deployment.replicas if deployment else ():
        host = {ReplicaStatus.RUNNING: replica.address, ReplicaStatus.STOPPED: replica.door}.get(replica.status)
        if host is not None:
            upstreams[replica.region] = (*upstreams.get(replica.region, ()), (host, target_port or replica.port))
    return upstreams
