"""Railway's resources for Pulumi programs. Only the SDK is imported here; the plugin side is another process.

Arguments and attributes are snake_case; the wire, `ignore_changes` and the state use camelCase.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

from infra.provider.resource_class import Attribute, NativeResource
from infra.railway.resources.networking import CustomDomain, EgressGateway, PrivateNetworkEndpoint, ServiceCdn, TcpProxy
from infra.railway.resources.tokens import ProjectToken
from infra.railway.resources.variables import SharedVariables, Variable
from infra.railway.resources.volumes import VolumeBackup, VolumeRestore

__all__ = [
    "CustomDomain",
    "Deployment",
    "EgressGateway",
    "Environment",
    "PrivateNetworkEndpoint",
    "Project",
    "ProjectToken",
    "Service",
    "ServiceCdn",
    "ServiceDomain",
    "SharedVariables",
    "TcpProxy",
    "Variable",
    "Variables",
    "Volume",
    "VolumeBackup",
    "VolumeRestore",
]


class Project(NativeResource):
    """A project; its first environment comes with it."""

    name = Attribute[str]()
    default_environment_id = Attribute[str]()

    def __init__(
        self,
        resource_name: str,
        *,
        name: pulumi.Input[str],
        workspace_id: pulumi.Input[str] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        inputs = {"name": name, "workspace_id": workspace_id}
        super().__init__("railway:index:Project", resource_name, inputs, ["default_environment_id"], opts)


class Environment(NativeResource):
    """One isolated copy of a project's services: empty, or made from `source_environment_id` with all that is in it."""

    name = Attribute[str]()
    project_id = Attribute[str]()

    def __init__(
        self,
        resource_name: str,
        *,
        project_id: pulumi.Input[str],
        name: pulumi.Input[str],
        source_environment_id: pulumi.Input[str] | None = None,
        ephemeral: pulumi.Input[bool] | None = None,
        skip_initial_deploys: pulumi.Input[bool] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "project_id": project_id,
            "name": name,
            "source_environment_id": source_environment_id,
            "ephemeral": ephemeral,
            "skip_initial_deploys": skip_initial_deploys,
        }
        super().__init__("railway:index:Environment", resource_name, inputs, [], opts)


class Service(NativeResource):
    """A service and how it runs in one environment. Deployed by a Deployment.

    multi_region_config: region -> replicas (1 to 50, 50 in all). variables: the complete set; `variables_digest` (secret) changes
    exactly when they do. railway_toml is shown in the diff and otherwise ignored.
    """

    name = Attribute[str]()
    project_id = Attribute[str]()
    environment_id = Attribute[str]()
    multi_region_config = Attribute[dict[str, int]]()
    private_domain = Attribute[str]()
    variables_digest = Attribute[str]()

    def __init__(
        self,
        resource_name: str,
        *,
        project_id: pulumi.Input[str],
        environment_id: pulumi.Input[str],
        name: pulumi.Input[str],
        multi_region_config: pulumi.Input[Mapping[str, pulumi.Input[int]]],
        image: pulumi.Input[str] | None = None,
        start_command: pulumi.Input[str] | None = None,
        pre_deploy_command: pulumi.Input[Sequence[pulumi.Input[str]]] | None = None,
        healthcheck_path: pulumi.Input[str] | None = None,
        healthcheck_timeout_s: pulumi.Input[int] | None = None,
        restart_policy_type: pulumi.Input[str] | None = None,
        restart_policy_max_retries: pulumi.Input[int] | None = None,
        overlap_seconds: pulumi.Input[int] | None = None,
        draining_seconds: pulumi.Input[int] | None = None,
        repo: pulumi.Input[str] | None = None,
        branch: pulumi.Input[str] | None = None,
        registry_username: pulumi.Input[str] | None = None,
        registry_password: pulumi.Input[str] | None = None,
        builder: pulumi.Input[str] | None = None,
        build_command: pulumi.Input[str] | None = None,
        dockerfile_path: pulumi.Input[str] | None = None,
        root_directory: pulumi.Input[str] | None = None,
        watch_patterns: pulumi.Input[Sequence[pulumi.Input[str]]] | None = None,
        nixpacks_plan: pulumi.Input[Mapping[str, Any]] | None = None,
        railway_config_file: pulumi.Input[str] | None = None,
        cron_schedule: pulumi.Input[str] | None = None,
        sleep_application: pulumi.Input[bool] | None = None,
        ipv6_egress_enabled: pulumi.Input[bool] | None = None,
        vcpus: pulumi.Input[float] | None = None,
        memory_gb: pulumi.Input[float] | None = None,
        variables: pulumi.Input[Mapping[str, pulumi.Input[str]]] | None = None,
        railway_toml: pulumi.Input[str] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "project_id": project_id,
            "environment_id": environment_id,
            "name": name,
            "multi_region_config": multi_region_config,
            "image": image,
            "start_command": start_command,
            "pre_deploy_command": pre_deploy_command,
            "healthcheck_path": healthcheck_path,
            "healthcheck_timeout_s": healthcheck_timeout_s,
            "restart_policy_type": restart_policy_type,
            "restart_policy_max_retries": restart_policy_max_retries,
            "overlap_seconds": overlap_seconds,
            "draining_seconds": draining_seconds,
            "repo": repo,
            "branch": branch,
            "registry_username": registry_username,
            "registry_password": None if registry_password is None else pulumi.Output.secret(registry_password),
            "builder": builder,
            "build_command": build_command,
            "dockerfile_path": dockerfile_path,
            "root_directory": root_directory,
            "watch_patterns": watch_patterns,
            "nixpacks_plan": nixpacks_plan,
            "railway_config_file": railway_config_file,
            "cron_schedule": cron_schedule,
            "sleep_application": sleep_application,
            "ipv6_egress_enabled": ipv6_egress_enabled,
            "vcpus": vcpus,
            "memory_gb": memory_gb,
            "variables": variables,
            "railway_toml": railway_toml,
        }
        super().__init__("railway:index:Service", resource_name, inputs, ["private_domain", "variables_digest"], opts)


class Variables(NativeResource):
    """All variables of a service in one environment, where the program does not give them to the Service.

    `digest` (secret) changes exactly when they do.
    """

    service_id = Attribute[str]()
    digest = Attribute[str]()

    def __init__(
        self,
        resource_name: str,
        *,
        project_id: pulumi.Input[str],
        environment_id: pulumi.Input[str],
        service_id: pulumi.Input[str],
        variables: pulumi.Input[Mapping[str, pulumi.Input[str]]],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "project_id": project_id,
            "environment_id": environment_id,
            "service_id": service_id,
            "variables": variables,
        }
        super().__init__("railway:index:Variables", resource_name, inputs, ["digest"], opts)


class ServiceDomain(NativeResource):
    """A public name for a service, given by Railway."""

    service_id = Attribute[str]()
    domain = Attribute[str]()
    url = Attribute[str]()

    def __init__(
        self,
        resource_name: str,
        *,
        project_id: pulumi.Input[str],
        environment_id: pulumi.Input[str],
        service_id: pulumi.Input[str],
        target_port: pulumi.Input[int] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "project_id": project_id,
            "environment_id": environment_id,
            "service_id": service_id,
            "target_port": target_port,
        }
        super().__init__("railway:index:ServiceDomain", resource_name, inputs, ["domain", "url"], opts)


class Volume(NativeResource):
    """A disk for a service."""

    service_id = Attribute[str]()
    mount_path = Attribute[str]()
    instance_id = Attribute[str]()

    def __init__(
        self,
        resource_name: str,
        *,
        project_id: pulumi.Input[str],
        environment_id: pulumi.Input[str],
        service_id: pulumi.Input[str],
        mount_path: pulumi.Input[str],
        region: pulumi.Input[str] | None = None,
        backup_schedules: pulumi.Input[Sequence[pulumi.Input[str]]] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "project_id": project_id,
            "environment_id": environment_id,
            "service_id": service_id,
            "mount_path": mount_path,
            "region": region,
            "backup_schedules": backup_schedules,
        }
        super().__init__("railway:index:Volume", resource_name, inputs, ["instance_id"], opts)


class Deployment(NativeResource):
    """A release on a service. Deploys again when `release` or anything in `triggers` changes, and waits until it serves.

    bundle: path of a tar.gz whose sha256 is `release`; without it the service's image is deployed. rollback_to: id of an
    earlier deployment; when it is given anew, that one's image and variables are brought back instead.
    """

    service_id = Attribute[str]()
    release = Attribute[str]()
    deployment_id = Attribute[str]()
    status = Attribute[str]()
    url = Attribute[str]()

    def __init__(
        self,
        resource_name: str,
        *,
        project_id: pulumi.Input[str],
        environment_id: pulumi.Input[str],
        service_id: pulumi.Input[str],
        bundle: pulumi.Input[str] | None = None,
        release: pulumi.Input[str] | None = None,
        triggers: pulumi.Input[Mapping[str, Any]] | None = None,
        rollback_to: pulumi.Input[str] | None = None,
        timeout_s: pulumi.Input[int] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "project_id": project_id,
            "environment_id": environment_id,
            "service_id": service_id,
            "bundle": bundle,
            "release": release,
            "triggers": triggers,
            "rollback_to": rollback_to,
            "timeout_s": timeout_s,
        }
        super().__init__("railway:index:Deployment", resource_name, inputs, ["deployment_id", "status", "url"], opts)
