"""What /_local/status shows: the world and the plane's processes side by side."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from infra.localcloud.plane.interface import REGIONS, ProcessStatus
from infra.localcloud.process_names import process_names
from infra.localcloud.railway_api.call import Cloud
from infra.localcloud.world import lookup
from infra.localcloud.world.model import Deployment, Instance, Replica, ReplicaStatus, SupabaseProject, World
from infra.localcloud.world.supabase import api_key, primary_key, standby_key

View = dict[str, Any]
Processes = dict[str, ProcessStatus]


def status_view(cloud: Cloud, links: list[View], daemon: View) -> View:
    world = cloud.keeper.world
    processes = {found.key: found for found in cloud.plane.status()}
    names = process_names(world)
    replicas = [
        (deployment, {"name": names[replica.key], **replica_view(world, deployment, replica, processes)})
        for deployment in world.deployments.values()
        for replica in deployment.replicas
        if replica.status is not ReplicaStatus.REMOVED
    ]
    return {
        **daemon,
        "restoring": cloud.conductor.is_restoring,
        "time": {"now": cloud.keeper.clock.timestamp(), "offset_s": cloud.keeper.clock.offset_s},
        "regions": list(REGIONS),
        "overlap": {"requests_meet": cloud.conductor.router.overlap.requests_meet},
        "services": [service_view(world, found) for found in world.instances.values()],
        "replicas": [view for deployment, view in replicas if deployment.settings.image is None],
        "caches": [view for deployment, view in replicas if deployment.settings.image is not None],
        "databases": [
            _named(view, names, cloud.conductor.databases.held)
            for found in world.supabase.values()
            for view in database_views(found, processes)
        ],
        "edges": edge_views(cloud),
        "links": links,
    }


def _process(processes: Processes, key: str) -> View:
    found = processes.get(key)
    return {
        "key": key,
        "pid": found.pid if found else None,
        "memory_bytes": found.memory_bytes if found else None,
        "is_paused": found is not None and found.is_paused,
    }


def _named(view: View, names: Mapping[str, str], held: Container[str]) -> View:
    """A database's view, and within it its gateway's, under the names that can be typed."""
    named = {"name": names[view["key"]], "is_held": view["key"] in held, **view}
    return {**named, "api": _named(view["api"], names, held)} if "api" in view else named


def service_view(world: World, found: Instance) -> View:
    latest = lookup.latest_deployment(world, found.id)
    return {
        "service": world.services[found.service_id].name,
        "service_id": found.service_id,
        "project_id": found.project_id,
        "environment_id": found.environment_id,
        "deployment_id": found.active_deployment_id,
        "release": found.release,
        "latest_status": latest.status.value if latest else None,
        "regions": found.settings.placement,
    }


def replica_view(world: World, deployment: Deployment, replica: Replica, processes: Processes) -> View:
    scheme = "http" if deployment.settings.image is None else "redis"
    return {
        "service": world.services[deployment.service_id].name,
        "service_id": deployment.service_id,
        "environment_id": deployment.environment_id,
        "deployment_id": deployment.id,
        "release": deployment.release,
        "region": replica.region,
        "replica_id": replica.key,
        "url": f"{scheme}://{replica.address}:{replica.port}",
        "status": replica.status.value,
        "restarts": replica.restarts,
        **_process(processes, replica.key),
    }


def database_views(project: SupabaseProject, processes: Processes) -> list[View]:
    primary = {
        "ref": project.ref,
        "role": "primary",
        "region": project.region,
        "address": project.address,
        "url": f"http://{project.address}:8000",
        "status": project.status,
        "api": _process(processes, api_key(project.ref)),
        **_process(processes, primary_key(project.ref)),
    }
    standbys = [
        {
            "ref": project.ref,
            "role": "standby",
            "identifier": replica.identifier,
            "region": replica.region,
            "address": replica.address,
            "status": "ACTIVE_HEALTHY" if replica.is_ready else "COMING_UP",
            **_process(processes, standby_key(replica)),
        }
        for replica in project.replicas
    ]
    return [primary, *standbys]


def edge_views(cloud: Cloud) -> list[View]:
    return [
        {
            "domain": route.domain,
            "region": region,
            "url": f"{'tcp' if route.is_tcp else 'http'}://{route.address}:{route.port}",
            "upstreams": sum(len(found) for found in route.upstreams.values()),
        }
        for region, routes in cloud.conductor.router.shown.items()
        for route in routes
    ]
