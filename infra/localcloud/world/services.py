"""Transitions of services and of their instances' settings."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, structs

from infra.localcloud.plane.interface import REGIONS
from infra.localcloud.world import lookup
from infra.localcloud.world.departures import departing
from infra.localcloud.world.deployments import SERVING, UNDER_WAY, deployed_with_source
from infra.localcloud.world.effects import Change, Effect, RoutesChanged, ScaleInstance, with_items
from infra.localcloud.world.endings import end_instances
from infra.localcloud.world.errors import BadInput, Refused
from infra.localcloud.world.model import REPLICAS_MAX, Environment, Instance, Service, Settings, Stamp, World
from infra.localcloud.world.projects import checked_name
from infra.localcloud.world.service_settings import check_settings
from infra.localcloud.world.variables import checked_variables

SETTING_SECONDS_MAX = 3600
RETRIES_MAX = 100
COMMAND_CHARACTERS_MAX = 4000


class CreateService(Struct, frozen=True):
    stamp: Stamp
    project_id: str
    environment_id: str | None
    name: str | None
    icon: str | None = None
    image: str | None = None
    repo: str | None = None
    branch: str | None = None
    registry_username: str | None = None
    variables: dict[str, str] = {}


class UpdateService(Struct, frozen=True):
    stamp: Stamp
    service_id: str
    name: str | None
    icon: str | None


class DeleteService(Struct, frozen=True):
    stamp: Stamp
    service_id: str
    environment_id: str | None


class UpdateInstance(Struct, frozen=True):
    """`changes` holds the Settings fields to set (already in our names) but for the two that place replicas.

    `regions` is multiRegionConfig as given: region -> replicas, None removes the region. `num_replicas` None means that it
    was left out, which resets it to 1 (Railway's own behaviour, kept on purpose so that a provider that forgets it is caught).
    """

    stamp: Stamp
    service_id: str
    environment_id: str
    changes: dict[str, Any]
    regions: dict[str, int | None] | None = None
    num_replicas: int | None = None


def create_service(world: World, command: CreateService) -> Change:
    """With a source it is deployed at once, wherever it is; Terraform's provider and `railway add` count on that."""
    lookup.project(world, command.project_id)
    stamp = command.stamp
    name = checked_name("Service", command.name or f"service-{stamp.id[:8]}")
    _refuse_taken_name(world, command.project_id, name)
    service = Service(stamp.id, command.project_id, name, command.icon, stamp.at, stamp.at)
    instances: dict[str, Instance] = {}
    variables: dict[str, dict[str, str]] = {}
    for environment in _environments_for(world, command):
        instance = Instance(
            id=stamp.child(f"instance:{environment.id}"),
            project_id=command.project_id,
            environment_id=environment.id,
            service_id=service.id,
            created_at=stamp.at,
            updated_at=stamp.at,
            settings=Settings(
                image=command.image,
                repo=command.repo,
                branch=command.branch,
                registry_username=command.registry_username,
                home_region=world.workspace.preferred_region,
            ),
        )
        instances[instance.id] = instance
        if command.variables:
            variables[lookup.variable_key(environment.id, service.id)] = checked_variables(command.variables)
    world = with_items(world, services={service.id: service}, instances=instances, variables=variables)
    return deployed_with_source(world, instances.values(), stamp)


def _refuse_taken_name(world: World, project_id: str, name: str) -> None:
    if any(found.project_id == project_id and found.name == name for found in world.services.values()):
        raise Refused(f'A service named "{name}" already exists in this project')


def _environments_for(world: World, command: CreateService) -> list[Environment]:
    """In a forked environment only there; otherwise in every environment that is not a fork (schema: ServiceCreateInput)."""
    if command.environment_id is not None:
        environment = lookup.environment(world, command.environment_id)
        if environment.project_id != command.project_id:
            raise BadInput("environmentId must be an environment of the project")
        if environment.is_ephemeral:
            return [environment]
    return [found for found in world.environments.values() if found.project_id == command.project_id and not found.is_ephemeral]


def update_service(world: World, command: UpdateService) -> Change:
    service = lookup.service(world, command.service_id)
    name = service.name if command.name is None else checked_name("Service", command.name)
    if name != service.name:
        _refuse_taken_name(world, service.project_id, name)
    icon = service.icon if command.icon is None else command.icon
    updated = structs.replace(service, name=name, icon=icon, updated_at=command.stamp.at)
    return Change(with_items(world, services={service.id: updated}))


def delete_service(world: World, command: DeleteService) -> Change:
    """With an environment only the instance there goes; the service goes with its last instance. Volumes stay.

    Terraform's provider deletes a service first and its volume then, and takes a volume that is not there for a failure.
    """
    service = lookup.service(world, command.service_id)
    instances = [found for found in world.instances.values() if found.service_id == service.id]
    ended = instances
    if command.environment_id is not None:
        lookup.environment(world, command.environment_id)
        ended = [found for found in instances if found.environment_id == command.environment_id]
    world, effects = end_instances(world, ended, is_keeping_volumes=True)
    change = Change(world, (*effects, RoutesChanged()))
    if len(ended) != len(instances):
        return change
    leftovers = [key for key in world.variables if key.partition("/")[2] == service.id]
    world = with_items(world, services={service.id: None}, variables=dict.fromkeys(leftovers))
    return departing(structs.replace(change, world=world), command.stamp, service)


def update_instance(world: World, command: UpdateInstance) -> Change:
    instance = lookup.instance(world, command.service_id, command.environment_id)
    before = instance.settings
    settings = structs.replace(
        before,
        **_checked_changes(command.changes),
        num_replicas=_checked_replicas("numReplicas", 1 if command.num_replicas is None else command.num_replicas),
        regions=before.regions if command.regions is None else _merged_regions(before.regions, command.regions),
    )
    has_volume = lookup.staying_volume(world, command.service_id, command.environment_id) is not None
    _check_placement(settings, has_volume=has_volume)
    updated = structs.replace(instance, settings=settings, updated_at=command.stamp.at)
    world = with_items(world, instances={instance.id: updated})
    # One that is on its way has the old placement in its snapshot; its scaling waits behind it.
    is_deployed = any(found.status in (*UNDER_WAY, *SERVING) for found in lookup.deployments_of(world, instance.id))
    is_scaled = is_deployed and settings.placement != before.placement
    effects: tuple[Effect, ...] = (ScaleInstance(instance_id=instance.id),) if is_scaled else ()
    return Change(world, effects)


def _merged_regions(before: dict[str, int], changes: dict[str, int | None]) -> dict[str, int]:
    merged = dict(before)
    for region, replicas in changes.items():
        if region not in REGIONS:
            raise BadInput(f"multiRegionConfig: unknown region {region!r}; expected one of {', '.join(REGIONS)}")
        if replicas is None:
            merged.pop(region, None)
        else:
            merged[region] = _checked_replicas(f"multiRegionConfig.{region}.numReplicas", replicas)
    if before and not merged:
        raise BadInput("multiRegionConfig: at least one region must stay")
    return merged


def _checked_replicas(path: str, replicas: int) -> int:
    if not 1 <= replicas <= REPLICAS_MAX:
        raise BadInput(f"{path}: expected 1 to {REPLICAS_MAX}, got {replicas}")
    return replicas


def _check_placement(settings: Settings, *, has_volume: bool) -> None:
    total = sum(settings.placement.values())
    if total > REPLICAS_MAX:
        raise BadInput(f"multiRegionConfig: expected at most {REPLICAS_MAX} replicas in total, got {total}")
    if has_volume and total > 1:
        raise BadInput(f"A service with a volume can have 1 replica only, got {total}")


def _checked_changes(changes: dict[str, Any]) -> dict[str, Any]:
    for name in ("healthcheck_timeout_s", "overlap_s", "draining_s"):
        value = changes.get(name)
        if value is not None and not 0 <= value <= SETTING_SECONDS_MAX:
            raise BadInput(f"{name.removesuffix('_s')}: expected 0 to {SETTING_SECONDS_MAX} seconds, got {value}")
    retries = changes.get("restart_policy_max_retries")
    if retries is not None and not 0 <= retries <= RETRIES_MAX:
        raise BadInput(f"restartPolicyMaxRetries: expected 0 to {RETRIES_MAX}, got {retries}")
    path = changes.get("healthcheck_path")
    if path and not path.startswith("/"):
        raise BadInput("healthcheckPath: expected a path that starts with /")
    for command in (changes.get("start_command") or "", *(changes.get("pre_deploy_command") or ())):
        if len(command) > COMMAND_CHARACTERS_MAX:
            raise BadInput(f"command: expected at most {COMMAND_CHARACTERS_MAX} characters, got {len(command)}")
    check_settings(changes)
    # An explicit null for a setting that has a default goes back to the default.
    defaults = Settings()
    never_null = {
        "builder",
        "restart_policy_type",
        "restart_policy_max_retries",
        "pre_deploy_command",
        "watch_patterns",
        "has_ipv6_egress",
        "can_sleep",
    }
    return {name: getattr(defaults, name) if value is None and name in never_null else value for name, value in changes.items()}
