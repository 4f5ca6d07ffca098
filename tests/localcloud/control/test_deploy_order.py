"""Deployments of one change go in the order of their references, and a cache with a volume keeps what it knew."""

from __future__ import annotations

import pytest

from infra.localcloud.conducting.workload import with_persistence
from infra.localcloud.world.deploy_order import ordered
from infra.localcloud.world.effects import RoutesChanged, RunDeployment, with_items
from infra.localcloud.world.model import Deployment, DeploymentStatus, Service, Settings, World
from tests.localcloud.control.harness import Harness
from tests.localcloud.control.test_patches import commit

AT = "2026-01-01T00:00:00Z"


def batch(variables: dict[str, dict[str, str]], shared: dict[str, str] | None = None) -> dict[str, set[str]]:
    """Service name -> names of the services it waits for; each service is its own deployment."""
    world = World()
    for name, own in variables.items():
        deployment = Deployment(
            id=name, project_id="p", environment_id="e", service_id=name, instance_id=name, status=DeploymentStatus.QUEUED,
            settings=Settings(), release=None, variables=own, created_at=AT, updated_at=AT, status_updated_at=AT, reason="deploy",
        )  # fmt: skip
        world = with_items(world, services={name: Service(name, "p", name, None, AT, AT)}, deployments={name: deployment})
    world = with_items(world, variables={"e/": shared or {}})
    effects = (RoutesChanged(), *(RunDeployment(instance_id=name, deployment_id=name) for name in variables))
    found = ordered(world, effects)
    assert [type(effect) for effect in found] == [type(effect) for effect in effects], "nothing is added, dropped or moved"
    return {effect.deployment_id: set(effect.after) for effect in found if isinstance(effect, RunDeployment)}


@pytest.mark.parametrize(
    ("variables", "waits"),
    [
        ({"web": {"URL": "redis://${{cache.HOST}}"}, "cache": {}}, {"web": {"cache"}, "cache": set()}),
        ({"web": {"URL": "${{ cache.HOST }}", "OWN": "${{URL}}"}, "cache": {}}, {"web": {"cache"}, "cache": set()}),
        ({"web": {"A": "${{elsewhere.HOST}}"}, "cache": {}}, {"web": set(), "cache": set()}),
        ({"web": {"A": "${{web.B}}"}, "cache": {}}, {"web": set(), "cache": set()}),
        ({"a": {"X": "${{b.X}}"}, "b": {"X": "${{a.X}}"}, "c": {"X": "${{a.X}}"}}, {"a": set(), "b": set(), "c": {"a"}}),
        ({"a": {"X": "${{b.X}}"}, "b": {"X": "${{c.X}}"}, "c": {}}, {"a": {"b"}, "b": {"c"}, "c": set()}),
    ],
)
def test_who_waits_for_whom(variables: dict[str, dict[str, str]], waits: dict[str, set[str]]) -> None:
    assert batch(variables) == waits


def test_a_shared_reference_counts_for_everybody_but_its_owner() -> None:
    found = batch({"web": {"A": "${{shared.URL}}"}, "cache": {}}, {"URL": "${{cache.HOST}}"})
    assert found == {"web": {"cache"}, "cache": set()}


@pytest.mark.anyio
async def test_a_service_begins_when_what_it_refers_to_serves(cloud: Harness) -> None:
    place = await cloud.project()
    first = await cloud.service(place, "asks")
    second = await cloud.service(place, "answers")
    variables = {first: {"WHERE": {"value": "${{answers.RAILWAY_PRIVATE_DOMAIN}}"}}, second: {"X": {"value": "1"}}}
    image = {"source": {"image": "valkey/valkey:8"}}
    await commit(cloud, place, {"services": {key: {**image, "variables": found} for key, found in variables.items()}})
    await cloud.until(lambda: [found.status.value for found in cloud.world.deployments.values()] == ["SUCCESS", "SUCCESS"])
    asks, answers = (found for found in cloud.world.deployments.values())
    started = [call.split()[1] for call in cloud.plane.calls if call.startswith("cache")]
    assert started == [f"{answers.replicas[0].address}:6379", f"{asks.replicas[0].address}:6379"]
    waited = [event.step for event in cloud.conductor.build_logs.events(asks.id)]
    assert waited[0] == "WAIT_FOR_DEPENDENCIES"


@pytest.mark.parametrize(
    ("given", "is_kept", "arguments"),
    [
        ((), True, ("--appendonly", "yes")),
        ((), False, ("--save", "")),
        (("--maxmemory", "1mb"), True, ("--maxmemory", "1mb", "--appendonly", "yes")),
        (("--appendonly", "no"), True, ("--appendonly", "no")),
        (("--save", "60", "1"), False, ("--save", "60", "1")),
    ],
)
def test_persistence_follows_the_volume_unless_the_command_decides(
    given: tuple[str, ...], is_kept: bool, arguments: tuple[str, ...]
) -> None:
    assert with_persistence(given, is_kept=is_kept) == arguments


@pytest.mark.anyio
async def test_a_cache_lives_in_its_volume_over_deployments(cloud: Harness) -> None:
    place = await cloud.project()
    service_id = await cloud.service(place, "cache", source={"image": "valkey/valkey:8"})
    made = await cloud.gql(
        "mutation ($i: VolumeCreateInput!) { volumeCreate(input: $i) { id } }",
        i={"projectId": place[0], "environmentId": place[1], "serviceId": service_id, "mountPath": "/data"},
    )
    directories = []
    for _ in range(2):
        await cloud.reached(await cloud.deploy(place, service_id), "SUCCESS")
        (spec,) = cloud.plane.running.values()
        directories.append(spec.cwd)
        (spec.cwd / "appendonlydir").mkdir(exist_ok=True)
    volume = cloud.directory / "volumes" / made["volumeCreate"]["id"]
    assert directories == [volume, volume]
    assert (volume / "appendonlydir").is_dir()
