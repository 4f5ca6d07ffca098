"""The data. Everything here is frozen; a change makes a new World that shares what did not change.

Times are RFC 3339 in UTC. Identifiers are UUIDs given by the commands, so that a transition needs no randomness. Secrets
(variables, passwords) are in here in the clear: the file that holds a World is mode 0600 and its text never gets logged.
"""

from __future__ import annotations

import uuid
from enum import StrEnum
from typing import Any

from msgspec import Struct, field

from infra.localcloud.plane.interface import REGIONS

REGION_DEFAULT = "us-west2"
REPLICAS_MAX = 50
DEPLOYMENTS_KEPT_PER_INSTANCE = 20


class DeploymentStatus(StrEnum):
    """Railway's enum; members in the order of a deployment's life, then its ends."""

    QUEUED = "QUEUED"
    WAITING = "WAITING"
    NEEDS_APPROVAL = "NEEDS_APPROVAL"
    INITIALIZING = "INITIALIZING"
    BUILDING = "BUILDING"
    DEPLOYING = "DEPLOYING"
    SUCCESS = "SUCCESS"
    SLEEPING = "SLEEPING"
    SKIPPED = "SKIPPED"
    FAILED = "FAILED"
    CRASHED = "CRASHED"
    REMOVING = "REMOVING"
    REMOVED = "REMOVED"


class ReplicaStatus(StrEnum):
    """The part of Railway's DeploymentInstanceStatus that occurs here."""

    INITIALIZING = "INITIALIZING"
    RUNNING = "RUNNING"
    RESTARTING = "RESTARTING"
    STOPPED = "STOPPED"  # asleep
    CRASHED = "CRASHED"
    EXITED = "EXITED"
    REMOVING = "REMOVING"
    REMOVED = "REMOVED"


class Stamp(Struct, frozen=True):
    """Identity and time of one command. Further identifiers derive from `id`, so that a replay makes the same world."""

    id: str
    at: str

    def child(self, label: str) -> str:
        return str(uuid.uuid5(uuid.UUID(self.id), label))


class Workspace(Struct, frozen=True):
    """The one there is. New services are placed in its preferred region."""

    name: str = "local"
    preferred_region: str = REGION_DEFAULT


class Project(Struct, frozen=True):
    id: str
    name: str
    description: str | None
    workspace_id: str
    base_environment_id: str
    created_at: str
    updated_at: str
    is_public: bool = False
    has_pr_deploys: bool = False
    has_bot_pr_environments: bool = False
    has_focused_pr_environments: bool = False
    deletes_at: str | None = None  # scheduled: everything of it goes on until then


class Environment(Struct, frozen=True):
    id: str
    project_id: str
    name: str
    is_ephemeral: bool
    created_at: str
    updated_at: str
    source_environment_id: str | None = None


class Service(Struct, frozen=True):
    id: str
    project_id: str
    name: str
    icon: str | None
    created_at: str
    updated_at: str


class Settings(Struct, frozen=True):
    """What serviceInstanceUpdate sets. `regions` is multiRegionConfig as region -> replicas; empty means never set."""

    builder: str = "RAILPACK"
    build_command: str | None = None
    start_command: str | None = None
    pre_deploy_command: tuple[str, ...] = ()
    dockerfile_path: str | None = None
    root_directory: str | None = None
    watch_patterns: tuple[str, ...] = ()
    healthcheck_path: str | None = None
    healthcheck_timeout_s: int | None = None
    restart_policy_type: str = "ON_FAILURE"
    restart_policy_max_retries: int = 10
    overlap_s: int | None = None
    draining_s: int | None = None
    num_replicas: int = 1
    home_region: str = REGION_DEFAULT  # where it is as long as multiRegionConfig was never set
    regions: dict[str, int] = {}
    image: str | None = None
    repo: str | None = None
    branch: str | None = None
    railway_config_file: str | None = None
    has_ipv6_egress: bool = False
    cron_schedule: str | None = None
    can_sleep: bool = False
    nixpacks_plan: dict[str, Any] | None = None
    registry_username: str | None = None  # the password is of no use here and not kept
    limit_vcpus: float | None = None
    limit_memory_bytes: int | None = None

    @property
    def is_scheduled(self) -> bool:
        """Run to its end whenever its schedule says so, rather than kept running. A cache is always kept running."""
        return self.cron_schedule is not None and self.image is None

    @property
    def placement(self) -> dict[str, int]:
        """Replicas per region. Only multiRegionConfig places; numReplicas counts where it was never set."""
        return self.regions or {self.home_region: self.num_replicas}

    @property
    def first_region(self) -> str:
        return next(iter(self.placement))

    @property
    def primary_region(self) -> str:
        """The first in Railway's own order: clients send multiRegionConfig in any order, many of them sorted by name."""
        return min(self.placement, key=REGIONS.index)


class Instance(Struct, frozen=True):
    """A service in one environment. `release` is the newest uploaded bundle ("sha256:<hex>")."""

    id: str
    project_id: str
    environment_id: str
    service_id: str
    created_at: str
    updated_at: str
    settings: Settings = Settings()
    release: str | None = None
    active_deployment_id: str | None = None


class Replica(Struct, frozen=True):
    """One process of a deployment. `key` names it towards the plane and is never used twice."""

    key: str
    region: str
    number: int
    address: str
    port: int
    status: ReplicaStatus = ReplicaStatus.INITIALIZING
    restarts: int = 0
    door: str | None = None  # the address where whoever comes waits while it sleeps


class Deployment(Struct, frozen=True):
    """A snapshot of what was asked (settings, release, variables) and how far it came.

    `rendered` is the environment with its references resolved, fixed when replicas first start: a restart of the local
    cloud or a scaling must not pick up variables that were never deployed.
    """

    id: str
    project_id: str
    environment_id: str
    service_id: str
    instance_id: str
    status: DeploymentStatus
    settings: Settings
    release: str | None
    variables: dict[str, str]
    created_at: str
    updated_at: str
    status_updated_at: str
    reason: str = "deploy"
    rendered: dict[str, str] | None = None
    is_pre_deploy_done: bool = False
    is_stopped: bool = False
    replicas: tuple[Replica, ...] = ()


class Domain(Struct, frozen=True):
    """A service domain. It listens at `address:port` in the region where the service was placed first.

    That is its name as well, so that whoever reads it can open it, until somebody gives it a name of Railway's kind; by that
    one it is served at its regions' edges too, told from others by the Host of a request.
    """

    id: str
    project_id: str
    environment_id: str
    service_id: str
    region: str
    address: str
    port: int
    target_port: int | None
    created_at: str
    updated_at: str
    name: str | None = None

    @property
    def listens_at(self) -> str:
        return f"{self.address}:{self.port}"

    @property
    def domain(self) -> str:
        return self.name or self.listens_at


class TcpProxy(Struct, frozen=True):
    """Raw connections to `proxy_port` of its region's edge lead to `application_port` of the service."""

    id: str
    project_id: str
    environment_id: str
    service_id: str
    region: str
    proxy_port: int
    application_port: int
    created_at: str
    updated_at: str


class CustomDomain(Struct, frozen=True):
    """A name of the user's own; edges tell it from others by the Host of a request."""

    id: str
    project_id: str
    environment_id: str
    service_id: str
    region: str
    domain: str
    target_port: int | None
    created_at: str
    updated_at: str
    dns_since: str | None = None  # its record is where it should be, as far as anybody here is asked


class EdgeConfig(Struct, frozen=True):
    """How the edge should cache a service's answers. Epochs are seconds: what was cached before is stale."""

    id: str
    is_enabled: bool = False
    mode: str = "auto"
    default_ttl_s: int = 3600
    html_caching: str = "auto"
    purge_on_deploy: str = "OFF"
    is_stale_while_revalidate: bool = False
    purge_epoch: int = 0
    html_purge_epoch: int = 0


class Volume(Struct, frozen=True):
    id: str
    project_id: str
    name: str
    created_at: str


class VolumeInstance(Struct, frozen=True):
    id: str
    volume_id: str
    environment_id: str
    service_id: str | None
    mount_path: str
    region: str
    created_at: str
    deletes_at: str | None = None  # pending: its data stay, and stay mounted, until then


class VolumeBackup(Struct, frozen=True):
    """A copy of a volume's data. `kind` is the schedule that asked for it; without `expires_at` it stays."""

    id: str
    volume_instance_id: str
    volume_id: str
    name: str | None
    created_at: str
    expires_at: str | None
    kind: str | None
    is_ready: bool = False


class Workflow(Struct, frozen=True):
    """Something that takes its time. `kind`: backup, restore, delete; `status` as Railway spells it."""

    id: str
    volume_id: str
    kind: str
    backup_id: str
    status: str
    error: str | None = None


class ApiToken(Struct, frozen=True):
    """The account's, or with a workspace that workspace's. As with a project token only its SHA-256 is kept."""

    id: str
    name: str
    workspace_id: str | None
    sha256: str
    display: str
    created_at: str


class ProjectToken(Struct, frozen=True):
    """The token itself is shown once; here is only its SHA-256 (it is random and long, so it needs no slow hash)."""

    id: str
    name: str
    project_id: str
    environment_id: str
    sha256: str
    display: str
    created_at: str


class Patch(Struct, frozen=True):
    """A change of an environment, as its client gave it. `status` is Railway's EnvironmentPatchStatus."""

    id: str
    environment_id: str
    status: str
    patch: dict[str, Any]
    created_at: str
    updated_at: str
    message: str | None = None
    applied_at: str | None = None
    last_applied_error: str | None = None


class ReadReplica(Struct, frozen=True):
    identifier: str
    region: str
    address: str
    is_ready: bool
    created_at: str


class SupabaseProject(Struct, frozen=True):
    ref: str
    id: str
    name: str
    organization_id: str
    region: str
    address: str
    database_password: str
    jwt_secret: str
    anon_key: str
    service_role_key: str
    status: str
    created_at: str
    replicas: tuple[ReadReplica, ...] = ()
    auth_config: dict[str, Any] = {}


class Ending(Struct, frozen=True):
    """Something that is gone from the API but whose processes, addresses and data still have to go. Survives a restart."""

    id: str
    replica_keys: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    database_keys: tuple[str, ...] = ()
    process_keys: tuple[str, ...] = ()
    directories: tuple[str, ...] = ()
    draining_s: int = 0


class Departed(Struct, frozen=True):
    """Something that was deleted and is still shown, with deletedAt, until all of its endings are done. One field is set."""

    deleted_at: str
    endings: tuple[str, ...]
    project: Project | None = None
    environment: Environment | None = None
    service: Service | None = None
    domain: Domain | None = None
    custom_domain: CustomDomain | None = None
    tcp_proxy: TcpProxy | None = None


class World(Struct, frozen=True):
    version: int = 1
    port: int | None = None
    workspace: Workspace = Workspace()
    projects: dict[str, Project] = field(default_factory=dict)
    environments: dict[str, Environment] = field(default_factory=dict)
    services: dict[str, Service] = field(default_factory=dict)
    instances: dict[str, Instance] = field(default_factory=dict)
    variables: dict[str, dict[str, str]] = field(default_factory=dict)
    sealed: dict[str, tuple[str, ...]] = field(default_factory=dict)  # names of variables, by the same keys
    deployments: dict[str, Deployment] = field(default_factory=dict)
    domains: dict[str, Domain] = field(default_factory=dict)
    volumes: dict[str, Volume] = field(default_factory=dict)
    volume_instances: dict[str, VolumeInstance] = field(default_factory=dict)
    volume_backups: dict[str, VolumeBackup] = field(default_factory=dict)
    backup_schedules: dict[str, dict[str, str]] = field(default_factory=dict)  # volume instance -> kind -> since when
    workflows: dict[str, Workflow] = field(default_factory=dict)
    tokens: dict[str, ProjectToken] = field(default_factory=dict)
    api_tokens: dict[str, ApiToken] = field(default_factory=dict)
    supabase: dict[str, SupabaseProject] = field(default_factory=dict)
    endings: dict[str, Ending] = field(default_factory=dict)
    departed: dict[str, Departed] = field(default_factory=dict)  # by the id of the thing
    patches: dict[str, Patch] = field(default_factory=dict)
    tcp_proxies: dict[str, TcpProxy] = field(default_factory=dict)
    custom_domains: dict[str, CustomDomain] = field(default_factory=dict)
    endpoint_names: dict[str, str] = field(default_factory=dict)  # by instance; see instance_network.py
    egress: dict[str, dict[str, str]] = field(default_factory=dict)  # instance -> region -> address
    edge_configs: dict[str, EdgeConfig] = field(default_factory=dict)  # by instance
