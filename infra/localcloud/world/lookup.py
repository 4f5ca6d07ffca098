"""Finding things in a world; a missing one is NotFound with Railway's words."""

from __future__ import annotations

from typing import Any, Literal

from infra.localcloud.world.errors import NotFound
from infra.localcloud.world.model import (
    Deployment,
    Domain,
    Environment,
    Instance,
    Project,
    Replica,
    Service,
    SupabaseProject,
    Volume,
    VolumeInstance,
    World,
)


def project(world: World, project_id: str) -> Project:
    if (found := world.projects.get(project_id)) is None:
        raise NotFound("Project")
    return found


def environment(world: World, environment_id: str) -> Environment:
    if (found := world.environments.get(environment_id)) is None:
        raise NotFound("Environment")
    return found


def service(world: World, service_id: str) -> Service:
    if (found := world.services.get(service_id)) is None:
        raise NotFound("Service")
    return found


def instance(world: World, service_id: str, environment_id: str) -> Instance:
    for found in world.instances.values():
        if found.service_id == service_id and found.environment_id == environment_id:
            return found
    raise NotFound("ServiceInstance")


def deployment(world: World, deployment_id: str) -> Deployment:
    if (found := world.deployments.get(deployment_id)) is None:
        raise NotFound("Deployment")
    return found


def domain(world: World, domain_id: str) -> Domain:
    if (found := world.domains.get(domain_id)) is None:
        raise NotFound("ServiceDomain")
    return found


def volume(world: World, volume_id: str) -> Volume:
    if (found := world.volumes.get(volume_id)) is None:
        raise NotFound("Volume")
    return found


def supabase_project(world: World, ref: str) -> SupabaseProject:
    if (found := world.supabase.get(ref)) is None:
        raise NotFound("Project")
    return found


def deployments_of(world: World, instance_id: str) -> list[Deployment]:
    """Oldest first."""
    return [found for found in world.deployments.values() if found.instance_id == instance_id]


def latest_deployment(world: World, instance_id: str) -> Deployment | None:
    found = deployments_of(world, instance_id)
    return found[-1] if found else None


def active_deployment(world: World, found: Instance) -> Deployment | None:
    return world.deployments.get(found.active_deployment_id) if found.active_deployment_id else None


def replica(world: World, key: str) -> tuple[Deployment, Replica] | None:
    for found in world.deployments.values():
        for candidate in found.replicas:
            if candidate.key == key:
                return found, candidate
    return None


def domains_of(world: World, service_id: str, environment_id: str) -> list[Domain]:
    return [found for found in world.domains.values() if (found.service_id, found.environment_id) == (service_id, environment_id)]


def variable_key(environment_id: str, service_id: str | None) -> str:
    """Variables live per environment and service; shared ones under the environment alone."""
    return f"{environment_id}/{service_id or ''}"


def variables_of(world: World, environment_id: str, service_id: str | None) -> dict[str, str]:
    return world.variables.get(variable_key(environment_id, service_id), {})


def sealed_of(world: World, environment_id: str, service_id: str | None) -> tuple[str, ...]:
    """Names of variables whose values are shown to nobody any more, in no answer."""
    return world.sealed.get(variable_key(environment_id, service_id), ())


def readable_of(world: World, environment_id: str, service_id: str | None) -> dict[str, str]:
    sealed = sealed_of(world, environment_id, service_id)
    return {name: value for name, value in variables_of(world, environment_id, service_id).items() if name not in sealed}


def mounted_by(world: World, service_id: str, environment_id: str) -> list[VolumeInstance]:
    """The service's volume in an environment; and those that were deleted and are not gone yet, after it."""
    place = (service_id, environment_id)
    found = [one for one in world.volume_instances.values() if (one.service_id, one.environment_id) == place]
    return sorted(found, key=lambda one: one.deletes_at is not None)


def volume_of(world: World, service_id: str, environment_id: str) -> str | None:
    """The id of the volume whose data a service works on. One that is to be deleted counts while there is no other."""
    found = mounted_by(world, service_id, environment_id)
    return found[0].volume_id if found else None


def staying_volume(world: World, service_id: str, environment_id: str) -> VolumeInstance | None:
    """The one that is mounted and not about to be deleted."""
    return next((found for found in mounted_by(world, service_id, environment_id) if found.deletes_at is None), None)


def departed_of(
    world: World, kind: Literal["domain", "custom_domain", "tcp_proxy"], service_id: str, environment_id: str
) -> list[Any]:
    """What led to a service and was deleted, and is not gone yet."""
    found = (getattr(one, kind) for one in world.departed.values())
    return [one for one in found if one is not None and (one.service_id, one.environment_id) == (service_id, environment_id)]


def deleted_at(world: World, thing_id: str) -> str | None:
    """When it was deleted, or will be; None where it stays."""
    if (departed := world.departed.get(thing_id)) is not None:
        return departed.deleted_at
    found = world.projects.get(thing_id)
    return found.deletes_at if found else None
