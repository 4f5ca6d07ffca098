"""Transitions of domains and volumes."""

from __future__ import annotations

import re

from msgspec import Struct, structs

from infra.localcloud.world import lookup, owners
from infra.localcloud.world.departures import departing, grace_from
from infra.localcloud.world.effects import Change, RoutesChanged, RunEnding, with_items
from infra.localcloud.world.errors import BadInput, NotFound, Refused
from infra.localcloud.world.model import Domain, Ending, Instance, Stamp, Volume, VolumeInstance, World
from infra.localcloud.world.networking import checked_target_port, is_taken
from infra.localcloud.world.projects import checked_name
from infra.localcloud.world.volume_backups import directory_of, without_backups

EDGE_PORT = 8080
SERVICE_DOMAIN_SUFFIX = "up.railway.app"
SERVICE_DOMAIN = re.compile(rf"[a-z0-9]([a-z0-9-]{{0,61}}[a-z0-9])?\.{re.escape(SERVICE_DOMAIN_SUFFIX)}")
DOMAINS_PER_INSTANCE_MAX = 10


class CreateDomain(Struct, frozen=True):
    """`address` was allocated beforehand for owners.domain(stamp.id, region)."""

    stamp: Stamp
    service_id: str
    environment_id: str
    region: str
    address: str
    target_port: int | None


class UpdateDomain(Struct, frozen=True):
    stamp: Stamp
    domain_id: str
    domain: str
    target_port: int | None


class DeleteDomain(Struct, frozen=True):
    stamp: Stamp
    domain_id: str


class CreateVolume(Struct, frozen=True):
    stamp: Stamp
    project_id: str
    environment_id: str | None
    service_id: str | None
    mount_path: str
    region: str | None


class RenameVolume(Struct, frozen=True):
    stamp: Stamp
    volume_id: str
    name: str | None


class UpdateVolumeInstance(Struct, frozen=True):
    """`environment_id` None means every environment in which the volume is, `service_id` None that nobody mounts it any more."""

    stamp: Stamp
    volume_id: str
    environment_id: str | None
    mount_path: str | None
    service_id: str | None


class DeleteVolume(Struct, frozen=True):
    """`due_at`: its grace has passed, if that is still the moment. Otherwise it begins."""

    stamp: Stamp
    volume_id: str
    due_at: str | None = None


def create_domain(world: World, command: CreateDomain) -> Change:
    instance = lookup.instance(world, command.service_id, command.environment_id)
    if len(lookup.domains_of(world, command.service_id, command.environment_id)) >= DOMAINS_PER_INSTANCE_MAX:
        raise Refused(f"expected at most {DOMAINS_PER_INSTANCE_MAX} domains per service")
    domain = Domain(
        id=command.stamp.id,
        project_id=instance.project_id,
        environment_id=command.environment_id,
        service_id=command.service_id,
        region=command.region,
        address=command.address,
        port=EDGE_PORT,
        target_port=checked_target_port(command.target_port),
        created_at=command.stamp.at,
        updated_at=command.stamp.at,
    )
    return Change(with_items(world, domains={domain.id: domain}), (RoutesChanged(),))


def update_domain(world: World, command: UpdateDomain) -> Change:
    """Another name, or the address again, and the target port."""
    domain = lookup.domain(world, command.domain_id)
    name = None if command.domain == domain.listens_at else command.domain.lower()
    if name is not None and name != domain.name:
        _check_name(world, name)
    port = checked_target_port(command.target_port)
    updated = structs.replace(domain, name=name, target_port=port, updated_at=command.stamp.at)
    return Change(with_items(world, domains={domain.id: updated}), (RoutesChanged(),))


def _check_name(world: World, name: str) -> None:
    if not SERVICE_DOMAIN.fullmatch(name):
        raise BadInput(f"domain: expected a name like api.{SERVICE_DOMAIN_SUFFIX}, got {name[:80]!r}")
    if is_taken(world, name):
        raise Refused(f'Domain "{name}" is already in use')


def delete_domain(world: World, command: DeleteDomain) -> Change:
    domain = lookup.domain(world, command.domain_id)
    ending = Ending(id=domain.id, owners=owners.all_domain(domain.id))
    world = with_items(world, domains={domain.id: None}, endings={ending.id: ending})
    return departing(Change(world, (RoutesChanged(), RunEnding(scope=None, ending=ending))), command.stamp, domain)


def create_volume(world: World, command: CreateVolume) -> Change:
    lookup.project(world, command.project_id)
    _check_mount_path(command.mount_path)
    stamp = command.stamp
    volume = Volume(stamp.id, command.project_id, f"volume-{stamp.id[:8]}", stamp.at)
    world = with_items(world, volumes={volume.id: volume})
    if command.environment_id is None:
        return Change(world)  # Railway makes no instance without an environment either
    if lookup.environment(world, command.environment_id).project_id != command.project_id:
        raise BadInput("environmentId must be an environment of the project")
    region = command.region
    if command.service_id is not None:
        service_instance = lookup.instance(world, command.service_id, command.environment_id)
        _check_can_mount(world, service_instance)
        region = region or service_instance.settings.first_region
    instance = VolumeInstance(
        id=stamp.child("instance"),
        volume_id=volume.id,
        environment_id=command.environment_id,
        service_id=command.service_id,
        mount_path=command.mount_path,
        region=region or world.workspace.preferred_region,
        created_at=stamp.at,
    )
    return Change(with_items(world, volume_instances={instance.id: instance}))


def _check_mount_path(path: str) -> None:
    if not path.startswith("/"):
        raise BadInput("mountPath: expected an absolute path")


def _check_can_mount(world: World, instance: Instance) -> None:
    if lookup.staying_volume(world, instance.service_id, instance.environment_id) is not None:
        raise Refused("A service can have one volume only")
    if sum(instance.settings.placement.values()) > 1:
        raise BadInput("A service with a volume can have 1 replica only")


def update_volume_instance(world: World, command: UpdateVolumeInstance) -> Change:
    """Takes effect at the next deployment of the service."""
    lookup.volume(world, command.volume_id)
    found = [
        one
        for one in world.volume_instances.values()
        if one.volume_id == command.volume_id and command.environment_id in (None, one.environment_id)
    ]
    if not found:
        raise NotFound("VolumeInstance")
    if any(one.deletes_at for one in found):
        raise Refused("Volume is pending deletion")
    updated = {}
    for one in found:
        if command.service_id not in (None, one.service_id):
            _check_can_mount(world, lookup.instance(world, command.service_id or "", one.environment_id))
        mount_path = one.mount_path if command.mount_path is None else command.mount_path
        _check_mount_path(mount_path)
        updated[one.id] = structs.replace(one, mount_path=mount_path, service_id=command.service_id)
    return Change(with_items(world, volume_instances=updated))


def rename_volume(world: World, command: RenameVolume) -> Change:
    volume = lookup.volume(world, command.volume_id)
    name = volume.name if command.name is None else checked_name("Volume", command.name)
    return Change(with_items(world, volumes={volume.id: structs.replace(volume, name=name)}))


def delete_volume(world: World, command: DeleteVolume) -> Change:
    volume = lookup.volume(world, command.volume_id)
    instances = [found for found in world.volume_instances.values() if found.volume_id == volume.id]
    pending = {found.deletes_at for found in instances} - {None}
    if instances and command.due_at is None:
        return Change(world) if pending else _pending(world, instances, command)
    if command.due_at is not None and command.due_at not in pending:
        return Change(world)
    ending = Ending(id=volume.id, directories=(f"volumes/{volume.id}", directory_of(volume.id)))
    world = without_backups(world, (volume.id,))
    world = with_items(world, volumes={volume.id: None}, endings={ending.id: ending})
    world = with_items(world, volume_instances={found.id: None for found in instances})
    return Change(world, (RunEnding(scope=None, ending=ending),))


def _pending(world: World, instances: list[VolumeInstance], command: DeleteVolume) -> Change:
    at = grace_from(command.stamp)
    updated = {found.id: structs.replace(found, deletes_at=at) for found in instances}
    return Change(with_items(world, volume_instances=updated))
