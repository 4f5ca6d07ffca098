"""Transitions of Supabase projects, and of read replicas beside them.

COMING_UP -> ACTIVE_HEALTHY | INIT_FAILED;  ACTIVE_HEALTHY <-> RESTARTING while the database's password changes,
    RESTARTING -> ACTIVE_UNHEALTHY where that fails; setting the password again tries again
"""

from __future__ import annotations

from msgspec import Struct, structs

from infra.localcloud.world import lookup, owners
from infra.localcloud.world.effects import (
    BringUpReadReplica,
    BringUpSupabase,
    Change,
    ChangeDatabasePassword,
    RunEnding,
    with_items,
)
from infra.localcloud.world.errors import BadInput, Refused
from infra.localcloud.world.model import Ending, ReadReplica, SupabaseProject, World

PROJECTS_MAX = 20
READ_REPLICAS_MAX = 5


class CreateSupabaseProject(Struct, frozen=True):
    project: SupabaseProject


class SetSupabaseStatus(Struct, frozen=True):
    ref: str
    status: str


class RenameSupabaseProject(Struct, frozen=True):
    ref: str
    name: str


class SetDatabasePassword(Struct, frozen=True):
    ref: str
    password: str


class DeleteSupabaseProject(Struct, frozen=True):
    ref: str


class AddReadReplica(Struct, frozen=True):
    ref: str
    replica: ReadReplica


class ReadReplicaReady(Struct, frozen=True):
    ref: str
    identifier: str


class RemoveReadReplica(Struct, frozen=True):
    ref: str
    identifier: str


def create_supabase_project(world: World, command: CreateSupabaseProject) -> Change:
    if len(world.supabase) >= PROJECTS_MAX:
        raise Refused(f"expected at most {PROJECTS_MAX} projects")
    project = command.project
    return Change(with_items(world, supabase={project.ref: project}), (BringUpSupabase(ref=project.ref),))


def set_supabase_status(world: World, command: SetSupabaseStatus) -> Change:
    project = lookup.supabase_project(world, command.ref)
    return Change(with_items(world, supabase={project.ref: structs.replace(project, status=command.status)}))


def rename_supabase_project(world: World, command: RenameSupabaseProject) -> Change:
    project = lookup.supabase_project(world, command.ref)
    return Change(with_items(world, supabase={project.ref: structs.replace(project, name=command.name)}))


def set_database_password(world: World, command: SetDatabasePassword) -> Change:
    """RESTARTING until the role and the API gateway have it, so that who waits for health waits for the password too."""
    project = lookup.supabase_project(world, command.ref)
    if project.database_password == command.password and project.status != "ACTIVE_UNHEALTHY":
        return Change(world)  # set already, or on its way
    if project.status not in ("ACTIVE_HEALTHY", "ACTIVE_UNHEALTHY", "RESTARTING"):
        raise Refused(f"Project must be ACTIVE_HEALTHY to change its password, it is {project.status}")
    updated = structs.replace(project, database_password=command.password, status="RESTARTING")
    return Change(with_items(world, supabase={project.ref: updated}), (ChangeDatabasePassword(ref=project.ref),))


def delete_supabase_project(world: World, command: DeleteSupabaseProject) -> Change:
    project = lookup.supabase_project(world, command.ref)
    ending = Ending(
        id=project.id,
        process_keys=(api_key(project.ref),),
        # Standbys first: a primary that leaves first makes them log errors for nothing.
        database_keys=(*(standby_key(found) for found in project.replicas), primary_key(project.ref)),
        owners=(*(owners.read_replica(found.identifier) for found in project.replicas), owners.supabase(project.ref)),
        directories=(f"supabase/{project.ref}",),
    )
    world = with_items(world, supabase={project.ref: None}, endings={ending.id: ending})
    return Change(world, (RunEnding(scope=f"supabase:{project.ref}", ending=ending),))


def add_read_replica(world: World, command: AddReadReplica) -> Change:
    project = lookup.supabase_project(world, command.ref)
    if project.status != "ACTIVE_HEALTHY":
        raise Refused("Project must be ACTIVE_HEALTHY to set up a read replica")
    if len(project.replicas) >= READ_REPLICAS_MAX:
        raise BadInput(f"expected at most {READ_REPLICAS_MAX} read replicas")
    updated = structs.replace(project, replicas=(*project.replicas, command.replica))
    world = with_items(world, supabase={project.ref: updated})
    return Change(world, (BringUpReadReplica(ref=project.ref, identifier=command.replica.identifier),))


def read_replica_ready(world: World, command: ReadReplicaReady) -> Change:
    project = lookup.supabase_project(world, command.ref)
    replicas = tuple(
        structs.replace(found, is_ready=True) if found.identifier == command.identifier else found for found in project.replicas
    )
    return Change(with_items(world, supabase={project.ref: structs.replace(project, replicas=replicas)}))


def remove_read_replica(world: World, command: RemoveReadReplica) -> Change:
    project = lookup.supabase_project(world, command.ref)
    found = next((replica for replica in project.replicas if replica.identifier == command.identifier), None)
    if found is None:
        raise BadInput("database_identifier is no read replica of this project")
    ending = Ending(id=found.identifier, database_keys=(standby_key(found),), owners=(owners.read_replica(found.identifier),))
    left = tuple(replica for replica in project.replicas if replica is not found)
    world = with_items(world, supabase={project.ref: structs.replace(project, replicas=left)}, endings={ending.id: ending})
    return Change(world, (RunEnding(scope=f"supabase:{found.identifier}", ending=ending),))


def primary_key(ref: str) -> str:
    return f"db-{ref}"


def standby_key(replica: ReadReplica) -> str:
    return f"db-{replica.identifier}"


def api_key(ref: str) -> str:
    return f"api-{ref}"
