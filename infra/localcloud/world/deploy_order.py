"""Deployments that one change makes are ordered by reference variables, as on Railway: who is referred to comes first. Pure."""

from __future__ import annotations

from msgspec import structs

from infra.localcloud.world import lookup
from infra.localcloud.world.effects import Effect, RunDeployment
from infra.localcloud.world.model import Deployment, World
from infra.localcloud.world.references import references_in


def ordered(world: World, effects: tuple[Effect, ...]) -> tuple[Effect, ...]:
    """The same effects; each deployment told which others of them to wait for. Services that refer to each other in a circle
    wait for nobody within it: their references can be resolved all the same."""
    runs = {effect.deployment_id: effect for effect in effects if isinstance(effect, RunDeployment)}
    if len(runs) < 2:
        return effects
    batch = [world.deployments[deployment_id] for deployment_id in runs]
    direct = {found.id: _referred(world, found, batch) for found in batch}
    waits = {
        found.id: tuple(sorted(other for other in direct[found.id] if found.id not in _reachable(direct, other)))
        for found in batch
    }
    return tuple(
        structs.replace(effect, after=waits[effect.deployment_id]) if isinstance(effect, RunDeployment) else effect
        for effect in effects
    )


def _referred(world: World, deployment: Deployment, batch: list[Deployment]) -> set[str]:
    """Deployments of the batch, in the same environment, whose service this one's variables name."""
    shared = lookup.variables_of(world, deployment.environment_id, None).values()
    names = {
        reference.rpartition(".")[0]
        for value in (*deployment.variables.values(), *shared)
        for reference in references_in(value)
        if "." in reference
    }
    return {
        found.id
        for found in batch
        if found.id != deployment.id
        and found.environment_id == deployment.environment_id
        and world.services[found.service_id].name in names
    }


def _reachable(direct: dict[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    todo = [start]
    while todo:
        for following in direct[todo.pop()] - seen:
            seen.add(following)
            todo.append(following)
    return seen
