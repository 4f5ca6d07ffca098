"""The rules as tables: statuses, restarts, routes, images."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from infra.localcloud.world import deployments as d
from infra.localcloud.world.deployments import NEXT, MoveDeployment
from infra.localcloud.world.errors import Refused, WorldError
from infra.localcloud.world.model import Deployment, DeploymentStatus, Instance, Replica, ReplicaStatus, Settings, Stamp, World
from infra.localcloud.world.projects import CreateEnvironment, CreateProject, DeleteEnvironment, DeleteProject
from infra.localcloud.world.provided import is_cache_image
from infra.localcloud.world.replicas import settled_status
from infra.localcloud.world.restarts import after_exit, backoff_s
from infra.localcloud.world.routing import upstreams_of
from infra.localcloud.world.services import CreateService, DeleteService, UpdateInstance
from infra.localcloud.world.transitions import TRANSITIONS, apply
from infra.localcloud.world.variables import UpsertVariables

AT = "2026-11-24T00:00:00.000Z"


def stamp(number: int) -> Stamp:
    return Stamp(f"00000000-0000-4000-8000-{number:012d}", AT)


def deployment(status: DeploymentStatus, *replicas: Replica) -> Deployment:
    return Deployment(
        id="d",
        project_id="p",
        environment_id="e",
        service_id="s",
        instance_id="i",
        status=status,
        settings=Settings(),
        release=None,
        variables={},
        created_at=AT,
        updated_at=AT,
        status_updated_at=AT,
        replicas=replicas,
    )


def replica(key: str, status: ReplicaStatus, region: str = "us-west2") -> Replica:
    return Replica(key=key, region=region, number=1, address=f"127.64.1.{len(key)}", port=8080, status=status)


@pytest.mark.parametrize("before", list(NEXT))
@pytest.mark.parametrize("after", list(DeploymentStatus))
def test_deployment_moves_only_along_the_table(before: DeploymentStatus, after: DeploymentStatus):
    instance = Instance("i", "p", "e", "s", AT, AT)
    world = World(instances={"i": instance}, deployments={"d": deployment(before)})
    command = MoveDeployment(stamp(1), "d", after)
    if after in NEXT[before]:
        assert apply(world, command).world.deployments["d"].status is after
    else:
        with pytest.raises(Refused):
            apply(world, command)


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        (["RUNNING", "CRASHED"], "SUCCESS"),
        (["RESTARTING", "CRASHED"], "SUCCESS"),
        (["CRASHED", "CRASHED"], "CRASHED"),
        (["CRASHED", "EXITED"], "CRASHED"),
        (["EXITED", "EXITED"], "SUCCESS"),
        (["CRASHED", "REMOVED"], "CRASHED"),
    ],
)
def test_deployment_crashed_when_none_runs_or_will(statuses: list[str], expected: str):
    found = tuple(replica(str(number), ReplicaStatus(status)) for number, status in enumerate(statuses))
    assert settled_status(found).value == expected


@pytest.mark.parametrize(
    ("policy", "restarts", "exit_code", "expected"),
    [
        ("ON_FAILURE", 0, 1, 0.5),
        ("ON_FAILURE", 2, 1, 2.0),
        ("ON_FAILURE", 0, 0, ReplicaStatus.EXITED),
        ("ON_FAILURE", 10, 1, ReplicaStatus.CRASHED),
        ("ALWAYS", 0, 0, 0.5),
        ("ALWAYS", 1000, 1, 30.0),
        ("NEVER", 0, 1, ReplicaStatus.CRASHED),
        ("NEVER", 0, 0, ReplicaStatus.EXITED),
        ("ON_FAILURE", 0, -9, 0.5),
    ],
)
def test_restart_policy_decides(policy: str, restarts: int, exit_code: int, expected: float | ReplicaStatus):
    assert after_exit(Settings(restart_policy_type=policy), restarts, exit_code) == expected


@given(st.integers(min_value=0, max_value=10**9))
def test_pause_grows_and_is_bounded(restarts: int):
    assert 0.5 <= backoff_s(restarts) <= backoff_s(restarts + 1) <= 30.0


@pytest.mark.parametrize(
    ("image", "is_cache"),
    [
        ("valkey/valkey", True),
        ("valkey/valkey:8-alpine", True),
        ("docker.io/valkey/valkey:8", True),
        ("ghcr.io/x/valkey/valkey:8", True),
        ("valkey/valkey@sha256:aa", True),
        ("redis:7", True),
        ("redis", True),
        ("docker.io/library/redis:7", True),
        ("registry.example.com:5000/redis:7", True),
        ("someone/redis:7", False),
        ("valkey/valkey-bundle:8", False),
        ("redis-stack:7", False),
        ("nginx", False),
        (None, False),
        ("", False),
    ],
)
def test_image_is_recognised_as_a_cache(image: str | None, is_cache: bool):
    assert is_cache_image(image) is is_cache


def test_only_running_replicas_are_upstreams():
    found = deployment(
        DeploymentStatus.SUCCESS,
        replica("a", ReplicaStatus.RUNNING),
        replica("bb", ReplicaStatus.RESTARTING),
        replica("ccc", ReplicaStatus.RUNNING, "us-east4-eqdc4a"),
    )
    assert upstreams_of(found, None) == {"us-west2": (("127.64.1.1", 8080),), "us-east4-eqdc4a": (("127.64.1.3", 8080),)}
    assert upstreams_of(found, 81)["us-west2"] == (("127.64.1.1", 81),)
    assert upstreams_of(None, None) == {}


def test_every_command_has_its_transition():
    modules = [sys.modules[transition.__module__] for transition in TRANSITIONS.values()]
    commands = {
        found
        for module in modules
        for found in vars(module).values()
        if isinstance(found, type) and issubclass(found, Struct) and found.__module__ == module.__name__
    }
    assert commands == set(TRANSITIONS)


STEPS = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 3), st.integers(0, 3)), max_size=30)


@settings(max_examples=150)
@given(STEPS)
def test_whatever_is_done_the_world_stays_whole(steps: list[tuple[int, int, int]]):
    """Nothing refers to what is gone; a refused command changes nothing."""
    world = World()
    for number, (kind, one, other) in enumerate(steps, start=1):
        try:
            world = apply(world, command_of(world, kind, one, other, stamp(number))).world
        except WorldError:
            continue
        assert_whole(world)


def pick(table: dict[str, object], number: int) -> str:
    keys = list(table)
    return keys[number % len(keys)] if keys else "missing"


def command_of(world: World, kind: int, one: int, other: int, at: Stamp) -> object:
    project, environment = pick(dict(world.projects), one), pick(dict(world.environments), other)
    service = pick(dict(world.services), other)
    return [
        CreateProject(at, "p", None, "w", None),
        CreateEnvironment(at, project, f"e{other}", other == 3, environment if one % 2 else None),
        CreateService(at, project, None, f"s{other}", variables={"A": "1"}),
        UpdateInstance(at, service, environment, {"start_command": "x"}, {"us-west2": one or None}, None),
        UpsertVariables(at, project, environment, service, {"B": "2"}),
        d.CreateDeployment(at, service, environment, "sha256:x"),
        DeleteService(at, service, environment if one % 2 else None),
        DeleteEnvironment(at, environment),
        DeleteProject(at, project),
    ][kind]


def assert_whole(world: World) -> None:
    for project in world.projects.values():
        assert project.base_environment_id in world.environments
    for environment in world.environments.values():
        assert environment.project_id in world.projects
    for service in world.services.values():
        assert service.project_id in world.projects
    for instance in world.instances.values():
        assert instance.environment_id in world.environments
        assert instance.service_id in world.services
        assert instance.active_deployment_id is None or instance.active_deployment_id in world.deployments
        assert 1 <= sum(instance.settings.placement.values()) <= 50
    for found in world.deployments.values():
        assert found.instance_id in world.instances
    for key in world.variables:
        environment_id, _, service_id = key.partition("/")
        assert environment_id in world.environments
        assert service_id == "" or service_id in world.services
