# ruff: noqa: N803 -- arguments have the names that the schema gives them
"""World objects as GraphQL sees them. A value that costs something is a function, called only when it is selected."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, TypeVar

from infra.localcloud.railway_api.call import Call
from infra.localcloud.railway_api.config_views import (
    config_of,
    edge_config_view,
    etag_of,
    manifest,
)
from infra.localcloud.railway_api.paging import connection
from infra.localcloud.railway_api.volume_sizes import VOLUME_MB, used_mb
from infra.localcloud.world import lookup
from infra.localcloud.world.departures import volumes_to_come
from infra.localcloud.world.deployments import SERVING, can_roll_back
from infra.localcloud.world.model import (
    CustomDomain,
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
    TcpProxy,
    Volume,
    VolumeInstance,
)
from infra.localcloud.world.networking import certificate_status, custom_domains_of
from infra.localcloud.world.places import SERVICE_DOMAIN_SUFFIX
from infra.localcloud.world.references import references_in

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

    def volumes() -> list[Volume]:
        """Without pending ones: Terraform's provider, which asks here, has to find that a volume of a service is gone."""
        pending = volumes_to_come(call.world)
        return [one for one in of_project(call.world.volumes) if one.id not in pending]

    return {
        "id": found.id,
        "name": found.name,
        "description": found.description,
        "workspaceId": found.workspace_id,
        **project_extras(call, found),
        "baseEnvironmentId": found.base_environment_id,
        "primaryEnvironmentId": found.base_environment_id,
        "deletedAt": lookup.deleted_at(call.world, found.id),
        "createdAt": found.created_at,
        "updatedAt": found.updated_at,
        "environments": pages(environments(), lambda one: one.id, lambda one: environment_view(call, one)),
        "services": pages(of_project(call.world.services), lambda one: one.id, lambda one: service_view(call, one)),
        "volumes": pages(volumes(), lambda one: one.id, lambda one: volume_view(call, one)),
    }


def project_extras(call: Call, found: Project) -> View:
    def base() -> View:
        return environment_view(call, call.access.shown_environment(found.base_environment_id))

    return {
        "workspace": lambda info: workspace_view(call) if call.principal.is_account else None,
        "baseEnvironment": lambda info: base() if call.principal.is_account else None,
        "members": [{**user_view(call), "role": "ADMIN"}] if call.principal.is_account else [],
        "subscriptionPlanLimit": {},  # no plan, no limits
        "isPublic": found.is_public,
        "isTempProject": False,
        "prDeploys": found.has_pr_deploys,
        "botPrEnvironments": found.has_bot_pr_environments,
        "focusedPrEnvironments": found.has_focused_pr_environments,
        "buckets": pages([], lambda one: "", lambda one: {}),  # object storage is not offered here
    }


def environment_view(call: Call, found: Environment) -> View:
    def instances() -> list[Instance]:
        return [one for one in call.world.instances.values() if one.environment_id == found.id]

    def volumes() -> list[VolumeInstance]:
        return [one for one in call.world.volume_instances.values() if one.environment_id == found.id]

    def config(info: object, decryptVariables: bool | None = None) -> View:
        return config_of(call.world, found, is_decrypted=bool(decryptVariables))

    def source(info: object) -> View | None:
        origin = call.world.environments.get(found.source_environment_id or "")
        return environment_view(call, origin) if origin and call.principal.is_account else None

    return {
        "id": found.id,
        "name": found.name,
        "projectId": found.project_id,
        "canAccess": True,  # those of others are not shown at all
        "canvasGroupRefs": {},  # nothing here is drawn in groups
        "isEphemeral": found.is_ephemeral,
        "deletedAt": lookup.deleted_at(call.world, found.id),
        "createdAt": found.created_at,
        "updatedAt": found.updated_at,
        "sourceEnvironment": source,
        "config": config,
        "configEtag": lambda info: etag_of(config_of(call.world, found, is_decrypted=True)),
        "variables": lambda info, **paging: variable_pages(call, found, **paging),
        "serviceInstances": pages(instances(), lambda one: one.id, lambda one: instance_view(call, one)),
        "volumeInstances": pages(volumes(), lambda one: one.id, lambda one: volume_instance_view(call, one)),
    }


def variable_pages(call: Call, environment: Environment, **paging: Any) -> View:
    services = [one.service_id for one in call.world.instances.values() if one.environment_id == environment.id]
    places: list[str | None] = [None, *services]
    found = [(service_id, name) for service_id in places for name in lookup.variables_of(call.world, environment.id, service_id)]
    return connection(found, lambda one: f"{one[0] or ''}/{one[1]}", lambda one: variable_view(call, environment, *one), **paging)


def variable_view(call: Call, environment: Environment, service_id: str | None, name: str) -> View:
    value = lookup.variables_of(call.world, environment.id, service_id).get(name, "")
    is_sealed = name in lookup.sealed_of(call.world, environment.id, service_id)
    return {
        "id": str(uuid.uuid5(uuid.UUID(environment.id), f"variable:{service_id}:{name}")),
        "name": name,
        "environmentId": environment.id,
        "environment": lambda info: environment_view(call, environment),
        "serviceId": service_id,
        "isSealed": is_sealed,
        "references": [] if is_sealed else references_in(value),
        "createdAt": environment.created_at,
        "updatedAt": environment.updated_at,
    }


def service_view(call: Call, found: Service) -> View:
    def instances() -> list[Instance]:
        own = [one for one in call.world.instances.values() if one.service_id == found.id]
        return [one for one in own if call.principal.is_account or one.environment_id == call.principal.environment_id]

    return {
        "id": found.id,
        "name": found.name,
        "icon": found.icon,
        "deletedAt": lookup.deleted_at(call.world, found.id),
        "hasHiddenRegistryCredentialsFromTemplate": False,
        "serviceInstances": pages(instances(), lambda one: one.id, lambda one: instance_view(call, one)),
        "projectId": found.project_id,
        "project": lambda info: project_view(call, call.access.shown_project(found.project_id)),
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
        "isUpdatable": True,
        "service": lambda info: service_view(call, service),
        "environmentId": found.environment_id,
        "createdAt": found.created_at,
        "updatedAt": found.updated_at,
        "builder": "RAILPACK" if settings.builder == "DOCKERFILE" else settings.builder,  # the enum has no name for it
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
        "railwayConfigFile": settings.railway_config_file,
        "cronSchedule": settings.cron_schedule,
        "sleepApplication": settings.can_sleep,
        "nixpacksPlan": settings.nixpacks_plan,
        "ipv6EgressEnabled": settings.has_ipv6_egress,
        "edgeConfig": lambda info: edge_config_view(call.world, found),
        "region": settings.first_region,
        "source": {"image": settings.image, "repo": settings.repo} if settings.image or settings.repo else None,
        "domains": lambda info: domains_view(call, found.service_id, found.environment_id),
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
        "environment": lambda info: environment_view(call, call.access.shown_environment(found.environment_id)),
        "serviceId": found.service_id,
        "service": lambda info: service_view(call, call.access.shown_service(found.service_id)),
        "status": (DeploymentStatus.DEPLOYING if is_switching else found.status).value,
        "statusUpdatedAt": found.status_updated_at,
        "createdAt": found.created_at,
        "updatedAt": found.updated_at,
        "canRedeploy": found.release is not None or found.settings.image is not None,
        "canRollback": lambda info: can_roll_back(call.world, found),
        "deploymentStopped": found.is_stopped,
        "sockets": sockets_of(found, service_name=call.world.services[found.service_id].name),
        "suggestAddServiceDomain": found.status in SERVING and url is None,
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


def sockets_of(found: Deployment, *, service_name: str) -> list[View]:
    """One per port that running replicas listen at; several replicas share a port, each on its own address."""
    ports = sorted({one.port for one in found.replicas if one.status is ReplicaStatus.RUNNING})
    since = int(datetime.fromisoformat(found.status_updated_at).timestamp())
    return [{"ipv6": False, "port": port, "processName": service_name, "updatedAt": since} for port in ports]


def replica_view(found: Replica) -> View:
    return {"id": found.key, "status": found.status.value}


def domain_view(call: Call, found: Domain) -> View:
    return {
        **_sync_status(call, found.id),
        "id": found.id,
        "domain": found.domain,
        "suffix": SERVICE_DOMAIN_SUFFIX,
        "projectId": found.project_id,
        "environmentId": found.environment_id,
        "serviceId": found.service_id,
        "targetPort": found.target_port,
        "createdAt": found.created_at,
        "updatedAt": found.updated_at,
    }


def _sync_status(call: Call, thing_id: str) -> View:
    """What leads to a service is in force at once, and is on its way out until the edges have dropped it."""
    deleted_at = lookup.deleted_at(call.world, thing_id)
    return {"syncStatus": "DELETING" if deleted_at else "ACTIVE", "deletedAt": deleted_at}


def domains_view(call: Call, service_id: str, environment_id: str) -> View:
    place = (service_id, environment_id)
    own = [*lookup.domains_of(call.world, *place), *lookup.departed_of(call.world, "domain", *place)]
    custom = [*custom_domains_of(call.world, *place), *lookup.departed_of(call.world, "custom_domain", *place)]
    return {
        "serviceDomains": [domain_view(call, one) for one in own],
        "customDomains": [custom_domain_view(call, one) for one in custom],
    }


def custom_domain_view(call: Call, found: CustomDomain) -> View:
    """Its DNS record is one that would lead here; whether it is there `cloud domain` says, since there is no resolver to ask."""
    label, _, zone = found.domain.partition(".")
    if zone.count(".") == 0:  # the name is a zone of its own
        label, zone = "@", found.domain
    address = call.cloud.conductor.router.edge_address(found.region)
    has_record = found.dns_since is not None
    record = {
        "hostlabel": label,
        "fqdn": found.domain,
        "zone": zone,
        "recordType": "DNS_RECORD_TYPE_A",
        "requiredValue": address,
        "currentValue": address if has_record else "",
        "purpose": "DNS_RECORD_PURPOSE_TRAFFIC_ROUTE",
        "status": f"DNS_RECORD_STATUS_{'PROPAGATED' if has_record else 'REQUIRES_UPDATE'}",
    }
    return {
        **_sync_status(call, found.id),
        "id": found.id,
        "domain": found.domain,
        "projectId": found.project_id,
        "environmentId": found.environment_id,
        "serviceId": found.service_id,
        "targetPort": found.target_port,
        "isRailwayDomain": False,
        "cnameCheck": {
            "link": None,
            "status": "VALID" if has_record else "WAITING",
            "message": f"An A record of {address} {'leads' if has_record else 'would lead'} here",
        },
        "status": {
            "dnsRecords": [record],
            "verified": has_record,
            "verificationDnsHost": f"_railway-verify.{found.domain}",
            "verificationToken": f"railway-verify={hashlib.sha256(found.id.encode()).hexdigest()}",
            "certificateStatus": f"CERTIFICATE_STATUS_TYPE_{certificate_status(found, call.cloud.keeper.clock.timestamp())}",
        },
        "createdAt": found.created_at,
        "updatedAt": found.updated_at,
    }


def tcp_proxy_view(call: Call, found: TcpProxy) -> View:
    return {
        **_sync_status(call, found.id),
        "id": found.id,
        "domain": call.cloud.conductor.router.edge_address(found.region),
        "proxyPort": found.proxy_port,
        "applicationPort": found.application_port,
        "environmentId": found.environment_id,
        "serviceId": found.service_id,
        "createdAt": found.created_at,
        "updatedAt": found.updated_at,
    }


def volume_view(call: Call, found: Volume) -> View:
    def instances() -> list[VolumeInstance]:
        own = [one for one in call.world.volume_instances.values() if one.volume_id == found.id]
        return [one for one in own if call.principal.is_account or one.environment_id == call.principal.environment_id]

    return {
        "id": found.id,
        "name": found.name,
        "projectId": found.project_id,
        "project": lambda info: project_view(call, call.access.shown_project(found.project_id)),
        "volumeInstances": pages(instances(), lambda one: one.id, lambda one: volume_instance_view(call, one)),
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
        "environment": lambda info: environment_view(call, call.access.shown_environment(found.environment_id)),
        "service": lambda info: service_view(call, call.access.shown_service(found.service_id or "")),
        "currentSizeMB": lambda info: used_mb(call.cloud.conductor.replicas.volume_directory(found.volume_id)),
        "sizeMB": VOLUME_MB,
        "isPendingDeletion": found.deletes_at is not None,
        "deletedAt": found.deletes_at,
        "createdAt": found.created_at,
    }


def token_view(call: Call, found: ProjectToken) -> View:
    return {
        "id": found.id,
        "name": found.name,
        "displayToken": found.display,
        "projectId": found.project_id,
        "project": lambda info: project_view(call, call.access.shown_project(found.project_id)),
        "environmentId": found.environment_id,
        "environment": lambda info: environment_view(call, call.access.shown_environment(found.environment_id)),
        "createdAt": found.created_at,
    }


CLOUD_SINCE = "2026-01-01T00:00:00.000Z"  # the made-up user and workspace have no history


def user_view(call: Call) -> View:
    """The one user there is, as a member of everything."""
    return {"id": call.cloud.user_id, "name": "Local Cloud", "email": "local@localhost"}


def workspace_view(call: Call) -> View:
    def own() -> list[Project]:
        return [one for one in call.world.projects.values() if one.workspace_id == call.cloud.workspace_id]

    user = user_view(call)
    return {
        "id": call.cloud.workspace_id,
        "name": call.world.workspace.name,
        "preferredRegion": call.world.workspace.preferred_region,
        "projects": pages(own(), lambda one: one.id, lambda one: project_view(call, one)),
        "members": [{**user, "role": "ADMIN", "twoFactorAuthEnabled": False}],
        "usersWithout2FA": [user["email"]],
        "adoptionLevel": 0.0,  # Railway's own measure of how much of it is used; nobody measures here
        "createdAt": CLOUD_SINCE,
        "updatedAt": CLOUD_SINCE,
        **dict.fromkeys(("has2FAEnforcement", "hasGuardrailsAccess", "hasSAML", "redactedDueTo2FAPending"), False),
    }
