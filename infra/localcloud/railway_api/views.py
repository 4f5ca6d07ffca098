# ruff: noqa: N803 -- arguments have the names that the schema gives them
"""World objects as GraphQL sees them. A value that costs something is a function, called only when it is selected."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import msgspec

from infra.localcloud.railway_api.call import WORKSPACE_NAME, Call
from infra.localcloud.railway_api.paging import connection
from infra.localcloud.world import lookup
from infra.localcloud.world.deployments import SERVING, can_roll_back
from infra.localcloud.world.model import (
    Deployment,
    DeploymentStatus,
    Domain,
    Environment,
    Instance,
    Project,
    ProjectToken,
    Replica,
    ReplicaStatus,
    Service,
    Settings,
    Volume,
    VolumeInstance,
)

View = dict[str, Any]
T = TypeVar("T")


def pages(items: Iterable[T], identify: Callable[[T], str], view: Callable[[T], View]) -> Callable[..., View]:
    """A connection field: resolves with the field's own paging arguments."""

    def resolve(info: object, **paging: Any) -> View:
        return connection(list(items), identify, view, **paging)

    return resolve


def project_view(call: Call, found: Project) -> View:
    def environments() -> list[Environment]:
        own = [one for one in call.world.environments.values() if one.project_id == found.id]
        return [one for one in own if call.principal.is_account or one.id == call.principal.environment_id]

    def of_project(table: dict[str, T]) -> list[T]:
        return [one for one in table.values() if getattr(one, "project_id", None) == found.id]

    return {
        "id": found.id,
        "name": found.name,
        "description": found.description,
        "workspaceId": found.workspace_id,
        "baseEnvironmentId": found.base_environment_id,
        "primaryEnvironmentId": found.base_environment_id,
        "createdAt": found.created_at,
        "updatedAt": found.updated_at,
        "environments": pages(environments(), lambda one: one.id, lambda one: environment_view(call, one)),
        "services": pages(of_project(call.world.services), lambda one: one.id, lambda one: service_view(call, one)),
        "volumes": pages(of_project(call.world.volumes), lambda one: one.id, lambda one: volume_view(call, one)),
    }


def environment_view(call: Call, found: Environment) -> View:
    def instances() -> list[Instance]:
        return [one for one in call.world.instances.values() if one.environment_id == found.id]

    def volumes() -> list[VolumeInstance]:
        return [one for one in call.world.volume_instances.values() if one.environment_id == found.id]

    def config(info: object, decryptVariables: bool | None = None) -> View:
        return config_of(call, found, is_decrypted=bool(decryptVariables))

    def source(info: object) -> View | None:
        origin = call.world.environments.get(found.source_environment_id or "")
        return environment_view(call, origin) if origin and call.principal.is_account else None

    return {
        "id": found.id,
        "name": found.name,
        "projectId": found.project_id,
        "isEphemeral": found.is_ephemeral,
        "createdAt": found.created_at,
        "updatedAt": found.updated_at,
        "sourceEnvironment": source,
        "config": config,
        "configEtag": lambda info: etag_of(config_of(call, found, is_decrypted=True)),
        "serviceInstances": pages(instances(), lambda one: one.id, lambda one: instance_view(call, one)),
        "volumeInstances": pages(volumes(), lambda one: one.id, lambda one: volume_instance_view(call, one)),
    }


def etag_of(config: View) -> str:
    return hashlib.sha256(msgspec.json.encode(config, order="sorted")).hexdigest()[:32]


def config_of(call: Call, environment: Environment, *, is_decrypted: bool) -> View:
    """Environment.config: the one place in Railway's API that shows multiRegionConfig. Only what is set appears."""

    def shown(variables: dict[str, str]) -> View:
        """Values only for who asked to have them decrypted."""
        return {name: {"value": value} if is_decrypted else {} for name, value in variables.items()}

    services = {}
    for one in call.world.instances.values():
        if one.environment_id != environment.id:
            continue
        own = lookup.variables_of(call.world, environment.id, one.service_id)
        domains = lookup.domains_of(call.world, one.service_id, environment.id)
        services[one.service_id] = {
            **manifest(one.settings),
            "variables": shown(own),
            "networking": {"serviceDomains": {domain.domain: {"port": domain.target_port} for domain in domains}},
        }
    shared = lookup.variables_of(call.world, environment.id, None)
    return {"services": services, "sharedVariables": shown(shared)}


def manifest(settings: Settings) -> View:
    """Build and deploy settings under the names of Railway's config as code."""
    build = {
        "builder": settings.builder,
        "buildCommand": settings.build_command,
        "dockerfilePath": settings.dockerfile_path,
        "watchPatterns": list(settings.watch_patterns) or None,
    }
    deploy = {
        "startCommand": settings.start_command,
        "preDeployCommand": list(settings.pre_deploy_command) or None,
        "healthcheckPath": settings.healthcheck_path,
        "healthcheckTimeout": settings.healthcheck_timeout_s,
        "restartPolicyType": settings.restart_policy_type,
        "restartPolicyMaxRetries": settings.restart_policy_max_retries,
        "overlapSeconds": settings.overlap_s,
        "drainingSeconds": settings.draining_s,
        "multiRegionConfig": {region: {"numReplicas": count} for region, count in settings.placement.items()},
    }
    source = {"image": settings.image, "repo": settings.repo, "rootDirectory": settings.root_directory}
    return {
        name: {key: value for key, value in section.items() if value is not None}
        for name, section in (("source", source), ("build", build), ("deploy", deploy))
    }


def service_view(call: Call, found: Service) -> View:
    return {
        "id": found.id,
        "name": found.name,
        "icon": found.icon,
        "projectId": found.project_id,
        "project": lambda info: project_view(call, call.access.project(found.project_id)),
        "createdAt": found.created_at,
        "updatedAt": found.updated_at,
    }


def instance_view(call: Call, found: Instance) -> View:
    settings = found.settings
    service = call.world.services[found.service_id]

    def active(info: object) -> list[View]:
        deployment = lookup.active_deployment(call.world, found)
        return [deployment_view(call, deployment)] if deployment else []

    def latest(info: object) -> View | None:
        deployment = lookup.latest_deployment(call.world, found.id)
        return deployment_view(call, deployment) if deployment else None

    return {
        "id": found.id,
        "serviceId": found.service_id,
        "serviceName": service.name,
        "service": lambda info: service_view(call, service),
        "environmentId": found.environment_id,
        "createdAt": found.created_at,
        "updatedAt": found.updated_at,
        "builder": settings.builder,
        "buildCommand": settings.build_command,
        "startCommand": settings.start_command,
        "preDeployCommand": list(settings.pre_deploy_command) or None,
        "dockerfilePath": settings.dockerfile_path,
        "rootDirectory": settings.root_directory,
        "watchPatterns": list(settings.watch_patterns),
        "healthcheckPath": settings.healthcheck_path,
        "healthcheckTimeout": settings.healthcheck_timeout_s,
        "restartPolicyType": settings.restart_policy_type,
        "restartPolicyMaxRetries": settings.restart_policy_max_retries,
        "overlapSeconds": settings.overlap_s,
        "drainingSeconds": settings.draining_s,
        "numReplicas": settings.num_replicas,
        "region": settings.first_region,
        "source": {"image": settings.image, "repo": settings.repo} if settings.image or settings.repo else None,
        "domains": lambda info: domains_view(lookup.domains_of(call.world, found.service_id, found.environment_id)),
        "activeDeployments": active,
        "latestDeployment": latest,
    }


def deployment_view(call: Call, found: Deployment) -> View:
    domains = lookup.domains_of(call.world, found.service_id, found.environment_id)
    url = domains[0].domain if domains else None
    is_switching = found.id in call.cloud.conductor.deployments.switching
    return {
        "id": found.id,
        "projectId": found.project_id,
        "environmentId": found.environment_id,
        "environment": lambda info: environment_view(call, call.access.environment(found.environment_id)),
        "serviceId": found.service_id,
        "service": lambda info: service_view(call, call.access.service(found.service_id)),
        "status": (DeploymentStatus.DEPLOYING if is_switching else found.status).value,
        "statusUpdatedAt": found.status_updated_at,
        "createdAt": found.created_at,
        "updatedAt": found.updated_at,
        "canRedeploy": found.release is not None or found.settings.image is not None,
        "canRollback": lambda info: can_roll_back(call.world, found),
        "deploymentStopped": found.is_stopped,
        "instances": [replica_view(one) for one in found.replicas if one.status is not ReplicaStatus.REMOVED],
        "meta": {
            "reason": found.reason,
            "imageDigest": found.release,
            "image": found.settings.image,
            "serviceManifest": {key: value for key, value in manifest(found.settings).items() if key != "source"},
        },
        "url": url if found.status in SERVING else None,
        "staticUrl": url,
    }


def replica_view(found: Replica) -> View:
    return {"id": found.key, "status": found.status.value}


def domain_view(found: Domain) -> View:
    return {
        "id": found.id,
        "domain": found.domain,
        "projectId": found.project_id,
        "environmentId": found.environment_id,
        "serviceId": found.service_id,
        "targetPort": found.target_port,
        "syncStatus": "ACTIVE",
        "createdAt": found.created_at,
        "updatedAt": found.updated_at,
    }


def domains_view(found: list[Domain]) -> View:
    return {"serviceDomains": [domain_view(one) for one in found]}


def volume_view(call: Call, found: Volume) -> View:
    return {
        "id": found.id,
        "name": found.name,
        "projectId": found.project_id,
        "project": lambda info: project_view(call, call.access.project(found.project_id)),
        "createdAt": found.created_at,
    }


def volume_instance_view(call: Call, found: VolumeInstance) -> View:
    return {
        "id": found.id,
        "volumeId": found.volume_id,
        "volume": lambda info: volume_view(call, call.access.volume(found.volume_id)),
        "environmentId": found.environment_id,
        "serviceId": found.service_id,
        "mountPath": found.mount_path,
        "region": found.region,
        "state": "READY",
        "isPendingDeletion": False,
        "createdAt": found.created_at,
    }


def token_view(call: Call, found: ProjectToken) -> View:
    return {
        "id": found.id,
        "name": found.name,
        "displayToken": found.display,
        "projectId": found.project_id,
        "project": lambda info: project_view(call, call.access.project(found.project_id)),
        "environmentId": found.environment_id,
        "environment": lambda info: environment_view(call, call.access.environment(found.environment_id)),
        "createdAt": found.created_at,
    }


def workspace_view(call: Call) -> View:
    return {"id": call.cloud.workspace_id, "name": WORKSPACE_NAME}
