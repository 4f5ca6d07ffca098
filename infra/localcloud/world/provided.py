"""The variables that the platform adds: those any service may refer to, and those of one replica."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from infra.localcloud.world import lookup
from infra.localcloud.world.model import Deployment, Instance, Replica, World
from infra.localcloud.world.networking import tcp_proxies_of
from infra.localcloud.world.references import Rendered, rendered

PORT_DEFAULT = "8080"
CACHE_PORT_DEFAULT = "6379"
# The token's issuer is compared letter by letter with what the issuer wrote; a public name is what clients outside use.
NEVER_REWRITTEN = frozenset({"JWT_ISSUER", "RAILWAY_PUBLIC_DOMAIN", "RAILWAY_TCP_PROXY_DOMAIN"})

AddressOf = Callable[[Instance], str]


class Addresses(Protocol):
    def private_address(self, instance: Instance) -> str: ...

    def edge_address(self, region: str) -> str: ...


def is_cache_image(image: str | None) -> bool:
    """valkey/valkey:*, redis:*, either with a registry in front, and Railway's own railwayapp/redis:*."""
    name = (image or "").partition("@")[0]
    head, _, last = name.rpartition("/")
    program = last.partition(":")[0]
    parts = head.split("/") if head else []
    if program == "valkey":
        return parts[-1:] == ["valkey"] or not parts
    return program == "redis" and (not parts or parts[-1] in ("library", "railwayapp") or "." in parts[-1])


def service_variables(world: World, instance: Instance, addresses: Addresses) -> dict[str, str]:
    """What `${{Service.RAILWAY_...}}` may refer to, with the service's own variables on top of PORT's default."""
    project = world.projects[instance.project_id]
    environment = world.environments[instance.environment_id]
    service = world.services[instance.service_id]
    domains = lookup.domains_of(world, service.id, environment.id)
    volume_id = lookup.volume_of(world, service.id, environment.id)
    own = lookup.variables_of(world, environment.id, service.id)
    return {
        "PORT": CACHE_PORT_DEFAULT if is_cache_image(instance.settings.image) else PORT_DEFAULT,
        **own,
        "RAILWAY_PRIVATE_DOMAIN": addresses.private_address(instance),
        **({"RAILWAY_PUBLIC_DOMAIN": domains[0].domain} if domains else {}),
        **_proxy_variables(world, instance, addresses),
        **({"RAILWAY_VOLUME_NAME": world.volumes[volume_id].name} if volume_id else {}),
        "RAILWAY_PROJECT_ID": project.id,
        "RAILWAY_PROJECT_NAME": project.name,
        "RAILWAY_ENVIRONMENT_ID": environment.id,
        "RAILWAY_ENVIRONMENT_NAME": environment.name,
        "RAILWAY_SERVICE_ID": service.id,
        "RAILWAY_SERVICE_NAME": service.name,
    }


def _proxy_variables(world: World, instance: Instance, addresses: Addresses) -> dict[str, str]:
    """Of its first TCP proxy, as the other names have room for one."""
    proxies = tcp_proxies_of(world, instance.service_id, instance.environment_id)
    return {
        name: value
        for found in proxies[:1]
        for name, value in (
            ("RAILWAY_TCP_PROXY_DOMAIN", addresses.edge_address(found.region)),
            ("RAILWAY_TCP_PROXY_PORT", str(found.proxy_port)),
            ("RAILWAY_TCP_APPLICATION_PORT", str(found.application_port)),
        )
    }


def rendered_variables(world: World, instance: Instance, addresses: Addresses, own: Mapping[str, str] | None = None) -> Rendered:
    """The service's environment with references resolved. `own` replaces its current variables (a roll back's)."""
    scopes = {
        world.services[found.service_id].name: service_variables(world, found, addresses)
        for found in world.instances.values()
        if found.environment_id == instance.environment_id
    }
    name = world.services[instance.service_id].name
    if own is not None:
        current = lookup.variables_of(world, instance.environment_id, instance.service_id)
        kept = {key: value for key, value in scopes[name].items() if key not in current or key.startswith("RAILWAY_")}
        scopes[name] = {**kept, **{key: value for key, value in own.items() if not key.startswith("RAILWAY_")}}
        scopes[name].setdefault("PORT", CACHE_PORT_DEFAULT if is_cache_image(instance.settings.image) else PORT_DEFAULT)
    return rendered(name, scopes, lookup.variables_of(world, instance.environment_id, None))


def replica_environment(
    deployment: Deployment, replica: Replica, seen_from: Callable[[str, str], str], base: Mapping[str, str]
) -> dict[str, str]:
    """The whole environment of one replica; `base` is PATH, HOME, LANG, TZ and what depends on this machine."""
    assert deployment.rendered is not None, "references are rendered before replicas start"
    own = {
        name: value if name in NEVER_REWRITTEN else seen_from(replica.region, value)
        for name, value in deployment.rendered.items()
    }
    return {
        **base,
        **own,
        "PORT": str(replica.port),
        "HOST": replica.address,
        "RAILWAY_REPLICA_ID": replica.key,
        "RAILWAY_REPLICA_REGION": replica.region,
        "RAILWAY_DEPLOYMENT_ID": deployment.id,
        "RAILWAY_DEPLOYMENT_DRAINING_SECONDS": str(deployment.settings.draining_s or 0),
        "RAILWAY_DEPLOYMENT_OVERLAP_SECONDS": str(deployment.settings.overlap_s or 0),
    }
