"""Which address leads to which replicas: pure, from the world to the tables of the edges."""

from __future__ import annotations

from collections.abc import Callable

from infra.localcloud.plane.interface import Route
from infra.localcloud.world import lookup
from infra.localcloud.world.model import Deployment, Domain, Instance, ReplicaStatus, World
from infra.localcloud.world.provided import AddressOf, is_cache_image

DomainAddress = Callable[[Domain, str], str]


def routes_of(world: World, domain_address: DomainAddress, private_address: AddressOf) -> dict[str, list[Route]]:
    """Region -> routes. A domain listens in its own region and in every region where its service has replicas."""
    tables: dict[str, list[Route]] = {}
    for domain in world.domains.values():
        instance = lookup.instance(world, domain.service_id, domain.environment_id)
        active = lookup.active_deployment(world, instance)
        regions = {domain.region: None, **dict.fromkeys(_regions(active))}
        for region in regions:
            address = domain.address if region == domain.region else domain_address(domain, region)
            upstreams = upstreams_of(active, domain.target_port)
            route = Route(domain.domain, region, address, domain.port, upstreams, is_deployed=active is not None)
            tables.setdefault(region, []).append(route)
    for instance in world.instances.values():
        _add_private_route(world, instance, private_address, tables)
    return tables


def _add_private_route(world: World, instance: Instance, private_address: AddressOf, tables: dict[str, list[Route]]) -> None:
    """A service's private address leads to its replicas as well; a cache listens there itself."""
    active = lookup.active_deployment(world, instance)
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


def upstreams_of(deployment: Deployment | None, target_port: int | None) -> dict[str, tuple[tuple[str, int], ...]]:
    """Region -> (host, port) of the replicas that are up."""
    upstreams: dict[str, tuple[tuple[str, int], ...]] = {}
    for replica in deployment.replicas if deployment else ():
        if replica.status is ReplicaStatus.RUNNING:
            upstreams[replica.region] = (*upstreams.get(replica.region, ()), (replica.address, target_port or replica.port))
    return upstreams
