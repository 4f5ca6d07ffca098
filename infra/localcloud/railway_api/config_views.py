"""An environment's configuration as Railway shows it: each service's settings, variables and networking, as one tree."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from infra.localcloud.railway_api.volume_sizes import VOLUME_MB
from infra.localcloud.world import lookup
from infra.localcloud.world.model import Domain, Environment, Instance, Settings, World
from infra.localcloud.world.networking import custom_domains_of, tcp_proxies_of

View = dict[str, Any]
RESTARTS = {
    "restartPolicyType": Settings().restart_policy_type,
    "restartPolicyMaxRetries": Settings().restart_policy_max_retries,
}


def etag_of(config: View) -> str:
    return hashlib.sha256(msgspec.json.encode(config, order="sorted")).hexdigest()[:32]


def config_of(world: World, environment: Environment, *, is_decrypted: bool) -> View:
    """Environment.config: the one place in Railway's API that shows multiRegionConfig. Only what is set appears."""

    def shown(service_id: str | None) -> View:
        """Values only for who asked to have them decrypted; of sealed ones to nobody."""
        sealed = lookup.sealed_of(world, environment.id, service_id)
        return {
            name: {"isSealed": True} if name in sealed else {"value": value} if is_decrypted else {}
            for name, value in lookup.variables_of(world, environment.id, service_id).items()
        }

    services = {}
    for one in world.instances.values():
        if one.environment_id != environment.id:
            continue
        domains = lookup.domains_of(world, one.service_id, environment.id)
        services[one.service_id] = {
            **_without_defaults(manifest(one.settings)),
            **({"configFile": one.settings.railway_config_file} if one.settings.railway_config_file else {}),
            "variables": shown(one.service_id),
            "networking": networking_config(world, one, domains),
            **_mounts(world, one),
        }
    volumes = {
        one.volume_id: {"region": one.region, "sizeMB": VOLUME_MB}
        for one in world.volume_instances.values()
        if one.environment_id == environment.id and one.deletes_at is None
    }
    return {"services": services, "sharedVariables": shown(None), **({"volumes": volumes} if volumes else {})}


def _mounts(world: World, instance: Instance) -> View:
    mounted = lookup.staying_volume(world, instance.service_id, instance.environment_id)
    return {"volumeMounts": {mounted.volume_id: {"mountPath": mounted.mount_path}}} if mounted else {}


def _without_defaults(shown: View) -> View:
    """Where nobody set how it restarts, nothing is shown: else no plan of a file that says nothing of it would ever be empty."""
    deploy = {key: value for key, value in shown["deploy"].items() if RESTARTS.get(key) != value}
    return {**shown, "deploy": deploy}


def networking_config(world: World, instance: Instance, domains: list[Domain]) -> View:
    customs = custom_domains_of(world, instance.service_id, instance.environment_id)
    proxies = tcp_proxies_of(world, instance.service_id, instance.environment_id)
    return {
        "serviceDomains": {domain.domain: {"port": domain.target_port} for domain in domains},
        **({"customDomains": {found.domain: {"port": found.target_port} for found in customs}} if customs else {}),
        **({"tcpProxies": {str(found.application_port): {} for found in proxies}} if proxies else {}),
    }


def manifest(settings: Settings) -> View:
    """Build and deploy settings under the names of Railway's config as code."""
    build = {
        "builder": settings.builder,
        "buildCommand": settings.build_command,
        "dockerfilePath": settings.dockerfile_path,
        "watchPatterns": list(settings.watch_patterns) or None,
        "nixpacksPlan": settings.nixpacks_plan,
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
        "cronSchedule": settings.cron_schedule,
        "sleepApplication": settings.can_sleep or None,
        "ipv6EgressEnabled": settings.has_ipv6_egress or None,
        "registryCredentials": {"username": settings.registry_username} if settings.registry_username else None,
        "limitOverride": limits_view(settings),
        "multiRegionConfig": {region: {"numReplicas": count} for region, count in settings.placement.items()},
    }
    source = {"image": settings.image, "repo": settings.repo, "branch": settings.branch, "rootDirectory": settings.root_directory}
    return {
        name: {key: value for key, value in section.items() if value is not None}
        for name, section in (("source", source), ("build", build), ("deploy", deploy))
    }


def edge_config_view(world: World, instance: Instance) -> View | None:
    """None where caching is off: turning it off deletes the configuration, as the schema says."""
    config = world.edge_configs.get(instance.id)
    if config is None or not config.is_enabled:
        return None
    return {
        "id": config.id,
        "enabled": True,
        "caching": {
            "mode": config.mode,
            "defaultTtlSeconds": config.default_ttl_s,
            "htmlCaching": config.html_caching,
            "purgeOnDeploy": config.purge_on_deploy,
            "staleWhileRevalidate": {"enabled": config.is_stale_while_revalidate},
        },
        "overrides": {},
        "purgeEpoch": config.purge_epoch,
        "purgeEpochByKind": {"html": config.html_purge_epoch} if config.html_purge_epoch else {},
    }


def limits_view(settings: Settings) -> View | None:
    """The form of the scalar ServiceInstanceLimit; None where nothing is limited."""
    containers = {"cpu": settings.limit_vcpus, "memoryBytes": settings.limit_memory_bytes}
    given = {name: value for name, value in containers.items() if value is not None}
    return {"containers": given} if given else None
