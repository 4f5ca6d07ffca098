"""Transitions of projects, environments and project tokens."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, structs

from infra.localcloud.plane.interface import REGIONS
from infra.localcloud.world import lookup
from infra.localcloud.world.departures import departing, require_scheduled
from infra.localcloud.world.deployments import new_deployment
from infra.localcloud.world.effects import Change, Effect, RoutesChanged, with_items
from infra.localcloud.world.endings import end_instances, end_unmounted_volumes
from infra.localcloud.world.errors import BadInput, Refused
from infra.localcloud.world.model import Environment, Instance, Project, ProjectToken, Stamp, Workspace, World

NAME_CHARACTERS_MAX = 100


class CreateProject(Struct, frozen=True):
    stamp: Stamp
    name: str | None
    description: str | None
    workspace_id: str
    environment_name: str | None
    flags: dict[str, Any] = {}


class UpdateProject(Struct, frozen=True):
    """`flags`: those of the project's booleans that change, under our names."""

    stamp: Stamp
    project_id: str
    name: str | None
    description: str | None
    base_environment_id: str | None = None
    flags: dict[str, bool] = {}


class UpdateWorkspace(Struct, frozen=True):
    """None leaves it as it is."""

    name: str | None = None
    preferred_region: str | None = None


class DeleteProject(Struct, frozen=True):
    """`is_forced`: it is scheduled, and the rest of the grace is skipped. `due_at`: only if it is (still) due then."""

    stamp: Stamp
    project_id: str
    is_forced: bool = False
    due_at: str | None = None


class CreateEnvironment(Struct, frozen=True):
    stamp: Stamp
    project_id: str
    name: str
    is_ephemeral: bool = False
    source_environment_id: str | None = None
    is_skipping_deploys: bool = False


class RenameEnvironment(Struct, frozen=True):
    stamp: Stamp
    environment_id: str
    name: str


class DeleteEnvironment(Struct, frozen=True):
    stamp: Stamp
    environment_id: str


class CreateToken(Struct, frozen=True):
    stamp: Stamp
    project_id: str
    environment_id: str
    name: str
    sha256: str
    display: str


class DeleteToken(Struct, frozen=True):
    stamp: Stamp
    token_id: str


def checked_name(kind: str, name: str) -> str:
    """The name without outer blanks; BadInput where it is empty, too long, or would break a reference variable."""
    name = name.strip()
    if not 1 <= len(name) <= NAME_CHARACTERS_MAX:
        raise BadInput(f"{kind} name must be 1 to {NAME_CHARACTERS_MAX} characters, got {len(name)}")
    if any(ord(character) < 32 or character in "{}" for character in name):
        raise BadInput(f"{kind} name must not hold control characters or braces")
    return name


def create_project(world: World, command: CreateProject) -> Change:
    """Names are not unique among projects, as on Railway. A project starts with one environment."""
    stamp = command.stamp
    environment = Environment(
        id=stamp.child("environment"),
        project_id=stamp.id,
        name=checked_name("Environment", command.environment_name or "production"),
        is_ephemeral=False,
        created_at=stamp.at,
        updated_at=stamp.at,
    )
    project = Project(
        id=stamp.id,
        name=checked_name("Project", command.name or f"project-{stamp.id[:8]}"),
        description=command.description,
        workspace_id=command.workspace_id,
        base_environment_id=environment.id,
        created_at=stamp.at,
        updated_at=stamp.at,
        **command.flags,
    )
    return Change(with_items(world, projects={project.id: project}, environments={environment.id: environment}))


def update_project(world: World, command: UpdateProject) -> Change:
    project = lookup.project(world, command.project_id)
    base = command.base_environment_id or project.base_environment_id
    if lookup.environment(world, base).project_id != project.id:
        raise BadInput("baseEnvironmentId must be an environment of the project")
    updated = structs.replace(
        project,
        base_environment_id=base,
        **command.flags,
        name=project.name if command.name is None else checked_name("Project", command.name),
        description=project.description if command.description is None else command.description,
        updated_at=command.stamp.at,
    )
    return Change(with_items(world, projects={project.id: updated}))


def update_workspace(world: World, command: UpdateWorkspace) -> Change:
    """What is there stays where it is: the preferred region is that of new services."""
    before = world.workspace
    region = command.preferred_region or before.preferred_region
    if region not in REGIONS:
        raise BadInput(f"preferredRegion: expected one of {', '.join(REGIONS)}, got {region[:80]!r}")
    name = before.name if command.name is None else checked_name("Workspace", command.name)
    return Change(structs.replace(world, workspace=Workspace(name, region)))


def delete_project(world: World, command: DeleteProject) -> Change:
    project = (require_scheduled if command.is_forced else lookup.project)(world, command.project_id)
    if command.due_at not in (None, project.deletes_at):
        return Change(world)
    instances = [found for found in world.instances.values() if found.project_id == project.id]
    world, effects = end_instances(world, instances)
    environments = [found for found in world.environments.values() if found.project_id == project.id]
    services = [found for found in world.services.values() if found.project_id == project.id]
    world, more = end_unmounted_volumes(world, [found.id for found in environments])
    world = with_items(
        world,
        projects={project.id: None},
        environments={found.id: None for found in environments},
        services={found.id: None for found in services},
        variables={key: None for key in world.variables if _environment_of(world, key) == project.id},
        sealed={key: None for key in world.sealed if _environment_of(world, key) == project.id},
        volumes={found.id: None for found in world.volumes.values() if found.project_id == project.id},
        tokens={found.id: None for found in world.tokens.values() if found.project_id == project.id},
        patches={found.id: None for found in world.patches.values() if _is_of(world, found.environment_id, project.id)},
    )
    change = Change(world, (*effects, *more, RoutesChanged()))
    return departing(change, command.stamp, project, *environments, *services)


def _is_of(world: World, environment_id: str, project_id: str) -> bool:
    return world.environments[environment_id].project_id == project_id


def _environment_of(world: World, variable_key: str) -> str | None:
    environment = world.environments.get(variable_key.partition("/")[0])
    return environment.project_id if environment else None


def create_environment(world: World, command: CreateEnvironment) -> Change:
    """With a source environment its instances and variables are copied, its deployments and sealed variables are not.

    What has something to run is deployed at once, unless the caller says otherwise.
    """
    lookup.project(world, command.project_id)
    name = checked_name("Environment", command.name)
    _refuse_taken_name(world, command.project_id, name)
    stamp = command.stamp
    environment = Environment(
        id=stamp.id,
        project_id=command.project_id,
        name=name,
        is_ephemeral=command.is_ephemeral,
        created_at=stamp.at,
        updated_at=stamp.at,
        source_environment_id=command.source_environment_id,
    )
    world = with_items(world, environments={environment.id: environment})
    if command.source_environment_id is not None:
        world = _duplicate(world, command.source_environment_id, environment, stamp)
    effects: list[Effect] = []
    if not command.is_skipping_deploys:
        for instance in [found for found in world.instances.values() if found.environment_id == environment.id]:
            if instance.settings.image is None and instance.release is None:
                continue
            change = new_deployment(world, instance, structs.replace(stamp, id=stamp.child(instance.id)), reason="deploy")
            world = change.world
            effects.extend(change.effects)
    return Change(world, tuple(effects))


def _refuse_taken_name(world: World, project_id: str, name: str) -> None:
    if any(found.project_id == project_id and found.name == name for found in world.environments.values()):
        raise Refused(f'An environment named "{name}" already exists in this project')


def _duplicate(world: World, source_id: str, environment: Environment, stamp: Stamp) -> World:
    source = lookup.environment(world, source_id)
    if source.project_id != environment.project_id:
        raise BadInput("sourceEnvironmentId must be an environment of the same project")
    instances: dict[str, Instance] = {}
    for found in world.instances.values():
        if found.environment_id == source.id:
            copy_id = stamp.child(f"instance:{found.service_id}")
            instances[copy_id] = structs.replace(
                found,
                id=copy_id,
                environment_id=environment.id,
                active_deployment_id=None,
                created_at=stamp.at,
                updated_at=stamp.at,
            )
    variables = {
        f"{environment.id}/{key.partition('/')[2]}": {
            name: values[name] for name in values if name not in world.sealed.get(key, ())
        }
        for key, values in world.variables.items()
        if key.partition("/")[0] == source.id
    }
    return with_items(world, instances=instances, variables=variables)


def rename_environment(world: World, command: RenameEnvironment) -> Change:
    environment = lookup.environment(world, command.environment_id)
    name = checked_name("Environment", command.name)
    if name != environment.name:
        _refuse_taken_name(world, environment.project_id, name)
    updated = structs.replace(environment, name=name, updated_at=command.stamp.at)
    return Change(with_items(world, environments={environment.id: updated}))


def delete_environment(world: World, command: DeleteEnvironment) -> Change:
    environment = lookup.environment(world, command.environment_id)
    siblings = [found for found in world.environments.values() if found.project_id == environment.project_id]
    if len(siblings) == 1:
        raise Refused("Cannot delete the last environment of a project")
    instances = [found for found in world.instances.values() if found.environment_id == environment.id]
    world, effects = end_instances(world, instances)
    world, more = end_unmounted_volumes(world, [environment.id])
    project = world.projects[environment.project_id]
    if project.base_environment_id == environment.id:
        other = next(found for found in siblings if found.id != environment.id)
        world = with_items(world, projects={project.id: structs.replace(project, base_environment_id=other.id)})
    world = with_items(
        world,
        environments={environment.id: None},
        variables={key: None for key in world.variables if key.partition("/")[0] == environment.id},
        sealed={key: None for key in world.sealed if key.partition("/")[0] == environment.id},
        tokens={found.id: None for found in world.tokens.values() if found.environment_id == environment.id},
        patches={found.id: None for found in world.patches.values() if found.environment_id == environment.id},
    )
    return departing(Change(world, (*effects, *more, RoutesChanged())), command.stamp, environment)


def create_token(world: World, command: CreateToken) -> Change:
    environment = lookup.environment(world, command.environment_id)
    if environment.project_id != command.project_id:
        raise BadInput("environmentId must be an environment of the project")
    token = ProjectToken(
        id=command.stamp.id,
        name=checked_name("Token", command.name),
        project_id=command.project_id,
        environment_id=command.environment_id,
        sha256=command.sha256,
        display=command.display,
        created_at=command.stamp.at,
    )
    return Change(with_items(world, tokens={token.id: token}))


def delete_token(world: World, command: DeleteToken) -> Change:
    return Change(with_items(world, tokens={command.token_id: None}))
