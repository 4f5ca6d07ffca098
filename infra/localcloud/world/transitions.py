"""The table of all transitions: command type -> pure function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct, structs

from infra.localcloud.world import (
    additions,
    api_tokens,
    auth_config,
    departures,
    deployments,
    endings,
    instance_network,
    networking,
    patches,
    places,
    projects,
    replicas,
    service_settings,
    services,
    supabase,
    variables,
    volume_backups,
)
from infra.localcloud.world.deploy_order import ordered
from infra.localcloud.world.effects import Change
from infra.localcloud.world.model import World


class SetPort(Struct, frozen=True):
    """The daemon's port, chosen once."""

    port: int


def _set_port(world: World, command: SetPort) -> Change:
    return Change(structs.replace(world, port=command.port))


TRANSITIONS: dict[type, Callable[[World, Any], Change]] = {
    SetPort: _set_port,
    projects.CreateProject: projects.create_project,
    projects.UpdateWorkspace: projects.update_workspace,
    projects.UpdateProject: projects.update_project,
    projects.DeleteProject: projects.delete_project,
    **departures.TRANSITIONS,
    projects.CreateEnvironment: projects.create_environment,
    projects.RenameEnvironment: projects.rename_environment,
    projects.DeleteEnvironment: projects.delete_environment,
    projects.CreateToken: projects.create_token,
    api_tokens.CreateApiToken: api_tokens.create_api_token,
    api_tokens.DeleteApiToken: api_tokens.delete_api_token,
    projects.DeleteToken: projects.delete_token,
    services.CreateService: services.create_service,
    services.UpdateService: services.update_service,
    services.DeleteService: services.delete_service,
    services.UpdateInstance: services.update_instance,
    **service_settings.TRANSITIONS,
    variables.UpsertVariables: variables.upsert_variables,
    variables.DeleteVariable: variables.delete_variable,
    variables.ConfigureShared: variables.configure_shared,
    patches.StageChanges: patches.stage_changes,
    patches.CommitPatch: patches.commit_patch,
    patches.RecordRefusal: patches.record_refusal,
    additions.AddServices: additions.add_services,
    places.CreateDomain: places.create_domain,
    places.UpdateDomain: places.update_domain,
    places.DeleteDomain: places.delete_domain,
    places.CreateVolume: places.create_volume,
    places.UpdateVolumeInstance: places.update_volume_instance,
    **volume_backups.TRANSITIONS,
    places.RenameVolume: places.rename_volume,
    places.DeleteVolume: places.delete_volume,
    **networking.TRANSITIONS,
    **instance_network.TRANSITIONS,
    deployments.CreateDeployment: deployments.create_deployment,
    deployments.RepeatDeployment: deployments.repeat_deployment,
    deployments.RollBack: deployments.roll_back,
    deployments.AskRemoval: deployments.ask_removal,
    deployments.AskStop: deployments.ask_stop,
    deployments.AskRestart: deployments.ask_restart,
    deployments.AskCancel: deployments.ask_cancel,
    deployments.MoveDeployment: deployments.move_deployment,
    deployments.RecordRendered: deployments.record_rendered,
    deployments.RecordPreDeploy: deployments.record_pre_deploy,
    **replicas.TRANSITIONS,
    deployments.Activate: deployments.activate,
    deployments.RecordPlacement: deployments.record_placement,
    deployments.Interrupted: deployments.interrupted,
    endings.FinishEnding: endings.finish_ending,
    **auth_config.TRANSITIONS,
    supabase.CreateSupabaseProject: supabase.create_supabase_project,
    supabase.SetSupabaseStatus: supabase.set_supabase_status,
    supabase.RenameSupabaseProject: supabase.rename_supabase_project,
    supabase.SetDatabasePassword: supabase.set_database_password,
    supabase.DeleteSupabaseProject: supabase.delete_supabase_project,
    supabase.AddReadReplica: supabase.add_read_replica,
    supabase.ReadReplicaReady: supabase.read_replica_ready,
    supabase.RemoveReadReplica: supabase.remove_read_replica,
}


def apply(world: World, command: Struct) -> Change:
    """The changed world and what has to be done. WorldError: refused, nothing changed."""
    change = TRANSITIONS[type(command)](world, command)
    return structs.replace(change, effects=ordered(change.world, change.effects)) if len(change.effects) > 1 else change
