"""What the conductor has to do after a transition. Effects name things by id; the conductor reads the world for the rest."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from infra.localcloud.world.model import Ending, World


class Effect(Struct, frozen=True):
    pass


class RunDeployment(Effect, frozen=True):
    """`after` are deployments that have to serve, or to have failed, before this one begins."""

    instance_id: str
    deployment_id: str
    after: tuple[str, ...] = ()


class ScaleInstance(Effect, frozen=True):
    instance_id: str


class RemoveDeployment(Effect, frozen=True):
    instance_id: str
    deployment_id: str


class RestartDeployment(Effect, frozen=True):
    instance_id: str
    deployment_id: str


class StopDeployment(Effect, frozen=True):
    instance_id: str
    deployment_id: str


class CancelDeployment(Effect, frozen=True):
    instance_id: str
    deployment_id: str


class RunVolumeWork(Effect, frozen=True):
    workflow_id: str


class RoutesChanged(Effect, frozen=True):
    pass


class RunEnding(Effect, frozen=True):
    """`scope` names the worker whose jobs have to end first (an instance, a Supabase project); None where there is none."""

    scope: str | None
    ending: Ending


class BringUpSupabase(Effect, frozen=True):
    ref: str


class ChangeDatabasePassword(Effect, frozen=True):
    ref: str


class ReconfigureAuth(Effect, frozen=True):
    ref: str


class BringUpReadReplica(Effect, frozen=True):
    ref: str
    identifier: str


class Change(Struct, frozen=True):
    """The outcome of a transition. `effects` are to be done in order, after the new world is on disk."""

    world: World
    effects: tuple[Effect, ...] = ()


def with_items(world: World, **maps: dict[str, Any]) -> World:
    """The world with entries of some maps replaced; a value of None removes the entry."""
    changed: dict[str, Any] = {}
    for name, entries in maps.items():
        merged = {**getattr(world, name), **entries}
        changed[name] = {key: value for key, value in merged.items() if value is not None}
    return World(**{name: changed.get(name, getattr(world, name)) for name in world.__struct_fields__})
