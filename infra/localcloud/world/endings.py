"""Taking instances out of the world: what stays behind at the plane becomes an Ending that outlives a restart."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct, structs

from infra.localcloud.world import lookup, owners
from infra.localcloud.world.effects import Change, Effect, RunEnding, with_items
from infra.localcloud.world.instance_network import egress_owners, without_instance_network
from infra.localcloud.world.model import Ending, Instance, World
from infra.localcloud.world.networking import without_networking
from infra.localcloud.world.volume_backups import directory_of, without_backups


class FinishEnding(Struct, frozen=True):
    """The processes, addresses and data of an Ending are gone."""

    ending_id: str


def finish_ending(world: World, command: FinishEnding) -> Change:
    world = with_items(world, endings={command.ending_id: None})
    is_gone = (key for key, found in world.departed.items() if world.endings.keys().isdisjoint(found.endings))
    return Change(with_items(world, departed=dict.fromkeys(is_gone)))


def end_instances(
    world: World, instances: Iterable[Instance], *, is_keeping_volumes: bool = False
) -> tuple[World, tuple[Effect, ...]]:
    """The world without these instances and all that hangs on them, and the effects that end them.

    Their volumes go with them, after their processes; or stay, mounted by nobody.
    """
    effects: list[Effect] = []
    for instance in instances:
        mounted = lookup.mounted_by(world, instance.service_id, instance.environment_id)
        if is_keeping_volumes:
            world = with_items(world, volume_instances={one.id: structs.replace(one, service_id=None) for one in mounted})
            mounted = []
        ending = ending_of(world, instance)
        effects.append(RunEnding(scope=instance.id, ending=ending))
        world = without_backups(world, (found.volume_id for found in mounted))
        world = with_items(
            world,
            instances={instance.id: None},
            deployments={found.id: None for found in lookup.deployments_of(world, instance.id)},
            domains={found.id: None for found in lookup.domains_of(world, instance.service_id, instance.environment_id)},
            variables={lookup.variable_key(instance.environment_id, instance.service_id): None},
            sealed={lookup.variable_key(instance.environment_id, instance.service_id): None},
            volume_instances={found.id: None for found in mounted},
            volumes={found.volume_id: None for found in mounted},
            endings={ending.id: ending},
        )
        world = without_instance_network(without_networking(world, instance), instance)
    return world, tuple(effects)


def end_unmounted_volumes(world: World, environment_ids: Iterable[str]) -> tuple[World, tuple[Effect, ...]]:
    """What is left of volumes in environments that go, once their instances have gone: those that no service has mounted."""
    gone = set(environment_ids)
    left = [found for found in world.volume_instances.values() if found.environment_id in gone]
    world = with_items(world, volume_instances={found.id: None for found in left})
    elsewhere = {found.volume_id for found in world.volume_instances.values()}
    ended = [found for found in left if found.volume_id not in elsewhere]
    endings = [Ending(id=found.id, directories=(f"volumes/{found.volume_id}", directory_of(found.volume_id))) for found in ended]
    world = without_backups(world, (found.volume_id for found in ended))
    world = with_items(
        world,
        volumes={found.volume_id: None for found in ended},
        endings={ending.id: ending for ending in endings},
    )
    return world, tuple(RunEnding(scope=None, ending=ending) for ending in endings)


def ending_of(world: World, instance: Instance) -> Ending:
    deployments = lookup.deployments_of(world, instance.id)
    keys = tuple(replica.key for deployment in deployments for replica in deployment.replicas)
    domains = lookup.domains_of(world, instance.service_id, instance.environment_id)
    volume_ids = [found.volume_id for found in lookup.mounted_by(world, instance.service_id, instance.environment_id)]
    return Ending(
        id=instance.id,
        replica_keys=keys,
        owners=(
            *(owner for key in keys for owner in (owners.replica(key), owners.door(key))),
            *owners.all_private(instance.id),
            *egress_owners(instance),
            *(name for domain in domains for name in owners.all_domain(domain.id)),
        ),
        directories=(
            *(name for deployment in deployments for name in (f"builds/{deployment.id}.jsonl", f"caches/{deployment.id}")),
            *(name for volume_id in volume_ids for name in (f"volumes/{volume_id}", directory_of(volume_id))),
        ),
        draining_s=instance.settings.draining_s or 0,
    )
