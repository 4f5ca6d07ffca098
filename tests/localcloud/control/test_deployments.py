"""Deployments from the queue to the end, in the order in which the plane is told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from infra.localcloud.conducting.store import StoreFull
from infra.localcloud.plane.interface import Route
from infra.localcloud.world.model import World
from tests.localcloud.control.harness import BUNDLE, ApiError, Harness, running
from tests.localcloud.control.recording_plane import RecordingPlane

pytestmark = pytest.mark.anyio
TWO_BY_TWO = {"us-west2": {"numReplicas": 2}, "europe-west4-drams3a": {"numReplicas": 2}}


async def test_replicas_start_in_every_region_with_their_own_surroundings(cloud: Harness):
    place, service_id, deployment_id = await cloud.web(
        multiRegionConfig=TWO_BY_TWO,
        startCommand="python -m service --port $PORT",
        healthcheckPath="/ready",
        healthcheckTimeout=7,
        drainingSeconds=3,
    )
    specs = list(cloud.plane.running.values())
    assert sorted(spec.region for spec in specs) == ["europe-west4-drams3a"] * 2 + ["us-west2"] * 2
    assert len({spec.address for spec in specs}) == 4
    spec = specs[0]
    assert spec.argv == ("/venv/bin/python", "-m", "service", "--port", "8080")
    assert spec.health is not None
    assert (spec.health.path, spec.health.timeout_s) == ("/ready", 7)
    given = dict(spec.environment)
    assert given["PATH"] == "/usr/bin"
    assert given["HOST"] == spec.address
    assert given["PORT"] == "8080"
    assert given["RAILWAY_REPLICA_ID"] == spec.key
    assert given["RAILWAY_REPLICA_REGION"] == spec.region
    assert given["RAILWAY_DEPLOYMENT_ID"] == deployment_id
    assert given["RAILWAY_SERVICE_ID"] == service_id
    assert given["RAILWAY_ENVIRONMENT_ID"] == place[1]
    assert given["RAILWAY_DEPLOYMENT_DRAINING_SECONDS"] == "3"
    assert "USER" not in given, "nothing of the daemon's own environment"


async def test_addresses_of_other_regions_are_seen_through_their_links(cloud: Harness):
    """JWT_ISSUER alone stays as it is: tokens carry the issuer's own words."""
    place = await cloud.project()
    await cloud.service(place, "cache")
    service_id = await cloud.service(place)
    await cloud.update(place, service_id, startCommand="run", multiRegionConfig=TWO_BY_TWO)
    url = "http://${{cache.RAILWAY_PRIVATE_DOMAIN}}/auth/v1"
    await cloud.set_variables(place, service_id, {"URL": url, "JWT_ISSUER": url})
    await cloud.reached(await cloud.upload(place, service_id), "SUCCESS")
    near = {spec.region: spec.environment for spec in cloud.plane.running.values()}
    issuer = near["us-west2"]["JWT_ISSUER"]
    assert near["us-west2"]["URL"] == near["europe-west4-drams3a"]["JWT_ISSUER"] == issuer
    assert near["europe-west4-drams3a"]["URL"].startswith("http://near-3(")


async def test_pre_deploy_runs_once_before_the_replicas(cloud: Harness):
    await cloud.web(preDeployCommand=["python -m service migrate"], multiRegionConfig=TWO_BY_TWO)
    runs = [call for call in cloud.plane.calls if call.startswith(("run_once", "start "))]
    assert runs[0] == "run_once /venv/bin/python -m service migrate"
    assert len(runs) == 5


async def test_old_replicas_stop_only_after_the_routes_lead_to_the_new_ones(cloud: Harness):
    place, service_id, first = await cloud.web(drainingSeconds=9)
    await cloud.gql(
        "mutation ($s: String!, $e: String!) { serviceDomainCreate(input: {serviceId: $s, environmentId: $e}) { id } }",
        s=service_id,
        e=place[1],
    )
    old = next(iter(cloud.plane.running))
    del cloud.plane.calls[:]
    second = await cloud.upload(place, service_id)
    await cloud.reached(second, "SUCCESS")
    await cloud.reached(first, "REMOVED")
    order = [call for call in cloud.plane.calls if not call.startswith("routes us-west2 0")]
    assert order.index("start us-west2") < order.index("routes us-west2 2") < order.index("stop 9")
    assert old not in cloud.plane.running
    (route, _) = cloud.plane.routes["us-west2"]
    (upstream,) = route.upstreams["us-west2"]
    assert upstream[0] == next(iter(cloud.plane.running.values())).address


@pytest.mark.parametrize(
    ("trouble", "line"),
    [
        ("start_fails", "not ready within 1 s"),
        ("build_fails", "not a readable tar archive"),
        ("pre_deploy_fails", "ended with exit code 1"),
    ],
)
async def test_failed_deployment_leaves_the_old_one_serving(cloud: Harness, trouble: str, line: str):
    place, service_id, first = await cloud.web(preDeployCommand=["migrate"])
    before = dict(cloud.plane.running)
    setattr(cloud.plane, trouble, True)
    failed = await cloud.deploy(place, service_id)
    await cloud.reached(failed, "FAILED")
    assert cloud.status(first) == "SUCCESS"
    assert cloud.plane.running == before
    assert line in await cloud.build_log(failed)


@pytest.mark.parametrize(
    ("settings", "variables", "line"),
    [
        ({"startCommand": None}, {}, "no start command"),
        ({"startCommand": "a && b"}, {}, "needs a shell"),
        ({"startCommand": "run $MISSING"}, {}, "$MISSING is not set"),
        ({"source": {"image": "nginx:latest"}}, {}, "image nginx:latest: the local cloud runs"),
        ({}, {"A": "${{nobody.B}}"}, "no service named 'nobody'"),
        ({}, {"PORT": "http"}, "variable PORT: expected a number"),
    ],
)
async def test_what_cannot_run_fails_with_a_line_that_says_why(
    cloud: Harness, settings: dict[str, object], variables: dict[str, str], line: str
):
    place = await cloud.project()
    service_id = await cloud.service(place, variables=variables)
    await cloud.update(place, service_id, **{"startCommand": "run", **settings})
    deployment_id = await cloud.upload(place, service_id)
    await cloud.reached(deployment_id, "FAILED")
    assert line in await cloud.build_log(deployment_id)
    assert cloud.plane.running == {}


PLAIN = 'valkey-server --port 1 --bind 0.0.0.0 --requirepass $PASSWORD --save "" --maxmemory 64mb'


@pytest.mark.parametrize("command", [PLAIN, f"/bin/sh -c 'exec {PLAIN}'", f"sh -c '{PLAIN}'"])
async def test_cache_listens_at_the_private_address_with_its_own_arguments(cloud: Harness, command: str):
    """Railway runs an image's start command without a shell, so a stack that is to work there brings one."""
    place = await cloud.project()
    service_id = await cloud.service(place, "cache", source={"image": "docker.io/valkey/valkey:8"}, variables={"PASSWORD": "p w"})
    await cloud.update(place, service_id, startCommand=command)
    first = await cloud.deploy(place, service_id)
    await cloud.reached(first, "SUCCESS")
    shown = await cloud.gql(
        "query ($p: String!, $e: String!, $s: String!) { variables(projectId: $p, environmentId: $e, serviceId: $s) }",
        p=place[0],
        e=place[1],
        s=service_id,
    )
    address = shown["variables"]["RAILWAY_PRIVATE_DOMAIN"]
    assert f"cache {address}:6379 --requirepass p w --save  --maxmemory 64mb" in cloud.plane.calls
    second = await cloud.deploy(place, service_id)  # the address is taken until the first one is gone
    await cloud.reached(second, "SUCCESS")
    await cloud.reached(first, "REMOVED")
    (running,) = cloud.plane.running.values()
    assert [path.name for path in running.cwd.parent.iterdir()] == [second]  # nothing of the first is left to be loaded


async def test_changed_variable_redeploys_what_runs_unless_told_not_to(cloud: Harness):
    place, service_id, first = await cloud.web()
    await cloud.set_variables(place, service_id, {"A": "1"}, skipDeploys=True)
    assert list(cloud.world.deployments) == [first]
    await cloud.set_variables(place, service_id, {"A": "2"})
    (second,) = cloud.world.deployments.keys() - {first}
    await cloud.reached(second, "SUCCESS")
    await cloud.set_variables(place, service_id, {"A": "2"})
    assert cloud.world.deployments.keys() == {first, second}, "nothing changed, nothing is deployed"


async def test_changed_number_of_replicas_scales_without_a_deployment(cloud: Harness):
    place, service_id, deployment_id = await cloud.web(multiRegionConfig=TWO_BY_TWO, preDeployCommand=["migrate"])
    kept = set(cloud.plane.running)
    await cloud.update(place, service_id, multiRegionConfig={"us-west2": {"numReplicas": 3}})
    await cloud.until(lambda: len(cloud.plane.running) == 5)
    assert kept < set(cloud.plane.running)
    await cloud.update(place, service_id, multiRegionConfig={"europe-west4-drams3a": None})
    await cloud.until(lambda: len(cloud.plane.running) == 3)
    assert list(cloud.world.deployments) == [deployment_id]
    assert sum(call.startswith("run_once") for call in cloud.plane.calls) == 1


async def test_scaling_that_fails_keeps_what_runs(cloud: Harness):
    place, service_id, deployment_id = await cloud.web()
    before = set(cloud.plane.running)
    cloud.plane.start_fails = True
    await cloud.update(place, service_id, multiRegionConfig={"us-west2": {"numReplicas": 2}})
    await cloud.until(lambda: cloud.conductor.workers.is_idle)
    assert set(cloud.plane.running) == before
    assert "scaling failed" in await cloud.build_log(deployment_id)


async def test_roll_back_restores_release_and_variables(cloud: Harness):
    place, service_id, first = await cloud.web()
    await cloud.set_variables(place, service_id, {"ANSWER": "old"}, skipDeploys=True)
    second = await cloud.deploy(place, service_id)
    await cloud.reached(second, "SUCCESS")
    await cloud.reached(first, "REMOVED")
    await cloud.set_variables(place, service_id, {"ANSWER": "new"}, skipDeploys=True)
    third = await cloud.upload(place, service_id, BUNDLE + BUNDLE)
    await cloud.reached(third, "SUCCESS")
    await cloud.reached(second, "REMOVED")
    await cloud.gql("mutation ($i: String!) { deploymentRollback(id: $i) }", i=second)
    (fourth,) = cloud.world.deployments.keys() - {first, second, third}
    await cloud.reached(fourth, "SUCCESS")
    assert cloud.world.deployments[fourth].release == cloud.world.deployments[second].release
    (spec,) = [spec for spec in cloud.plane.running.values() if spec.environment["RAILWAY_DEPLOYMENT_ID"] == fourth]
    assert spec.environment["ANSWER"] == "old"
    with pytest.raises(ApiError, match="cannot be rolled back"):
        await cloud.gql("mutation ($i: String!) { deploymentRollback(id: $i) }", i=fourth)


async def test_removed_deployment_ends_its_processes(cloud: Harness):
    _, _, deployment_id = await cloud.web(multiRegionConfig=TWO_BY_TWO)
    await cloud.gql("mutation ($i: String!) { deploymentRemove(id: $i) }", i=deployment_id)
    await cloud.reached(deployment_id, "REMOVED")
    assert cloud.plane.running == {}


async def test_restarted_deployment_keeps_its_replicas_names(cloud: Harness):
    _, _, deployment_id = await cloud.web(multiRegionConfig=TWO_BY_TWO)
    before = set(cloud.plane.running)
    del cloud.plane.calls[:]
    await cloud.gql("mutation ($i: String!) { deploymentRestart(id: $i) }", i=deployment_id)
    await cloud.until(lambda: cloud.conductor.workers.is_idle)
    assert set(cloud.plane.running) == before
    assert [call.split()[0] for call in cloud.plane.calls if call[:4] in ("star", "stop")] == ["stop", "start"] * 4


async def test_a_stopped_deployment_stays_down_over_a_restart_of_the_cloud_until_it_is_restarted(tmp_path: Path):
    """Unlike one that is removed: it can go on as it was, under the same names."""
    stop, shown = (
        "mutation ($i: String!) { deploymentStop(id: $i) }",
        "query ($i: String!) { deployment(id: $i) { deploymentStopped } }",
    )
    async with running(tmp_path) as cloud:
        _, _, deployment_id = await cloud.web(multiRegionConfig=TWO_BY_TWO, drainingSeconds=3)
        before = set(cloud.plane.running)
        await cloud.gql(stop, i=deployment_id)
        await cloud.until(lambda: cloud.conductor.workers.is_idle)
        assert (cloud.plane.running, cloud.plane.calls.count("stop 3")) == ({}, 4)
        assert (await cloud.gql(shown, i=deployment_id))["deployment"]["deploymentStopped"]
        assert not any(group for route in cloud.plane.routes["us-west2"] for group in route.upstreams.values())
    async with running(tmp_path) as cloud:
        await cloud.until(lambda: not cloud.conductor.is_restoring and cloud.conductor.workers.is_idle)
        assert cloud.plane.running == {}
        await cloud.gql("mutation ($i: String!) { deploymentRestart(id: $i) }", i=deployment_id)
        await cloud.until(lambda: cloud.conductor.workers.is_idle)
        assert set(cloud.plane.running) == before
        assert not (await cloud.gql(shown, i=deployment_id))["deployment"]["deploymentStopped"]
        await cloud.gql("mutation ($i: String!) { deploymentRemove(id: $i) }", i=deployment_id)
        await cloud.reached(deployment_id, "REMOVED")
        with pytest.raises(ApiError, match="not running"):
            await cloud.gql(stop, i=deployment_id)


async def test_cancelled_deployment_leaves_nothing(cloud: Harness):
    place = await cloud.project()
    service_id = await cloud.service(place)
    await cloud.update(place, service_id, startCommand="run")
    cloud.plane.starts_held = asyncio.Event()
    deployment_id = await cloud.upload(place, service_id)
    waiting = await cloud.deploy(place, service_id)
    await cloud.until(lambda: cloud.world.deployments[deployment_id].replicas)
    await cloud.gql("mutation ($i: String!) { deploymentCancel(id: $i) }", i=deployment_id)
    await cloud.gql("mutation ($i: String!) { deploymentCancel(id: $i) }", i=waiting)
    await cloud.until(lambda: cloud.conductor.workers.is_idle)
    assert cloud.status(deployment_id) == cloud.status(waiting) == "REMOVED"
    assert cloud.plane.running == {}
    with pytest.raises(ApiError, match="not in progress"):
        await cloud.gql("mutation ($i: String!) { deploymentCancel(id: $i) }", i=deployment_id)


async def test_project_deleted_in_the_middle_of_a_deployment_leaves_nothing(cloud: Harness):
    place = await cloud.project()
    service_id = await cloud.service(place)
    await cloud.update(place, service_id, startCommand="run", multiRegionConfig=TWO_BY_TWO)
    cloud.plane.starts_held = asyncio.Event()
    deployment_id = await cloud.upload(place, service_id)
    await cloud.until(lambda: cloud.world.deployments[deployment_id].replicas)
    await cloud.gql("mutation ($i: String!) { projectDelete(id: $i) }", i=place[0])
    await cloud.until(lambda: not cloud.world.endings)
    assert cloud.plane.running == {}
    assert cloud.plane.owners == {}
    assert list((cloud.directory / "builds").iterdir()) == []


async def test_crashed_replica_leaves_the_routes_at_once_and_comes_back(cloud: Harness, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("infra.localcloud.world.restarts.BACKOFF_FIRST_S", 0.01)
    _, _, deployment_id = await cloud.web(multiRegionConfig={"us-west2": {"numReplicas": 2}})
    key = next(iter(cloud.plane.running))
    await cloud.until(lambda: "routes us-west2 2" in cloud.plane.calls)
    cloud.plane.end(key, 1)
    await cloud.until(lambda: key in cloud.plane.running and cloud.plane.calls[-1] == "routes us-west2 2")
    assert "routes us-west2 1" in cloud.plane.calls
    (replica,) = [found for found in cloud.world.deployments[deployment_id].replicas if found.key == key]
    assert replica.restarts == 1


async def test_crash_loop_ends_after_its_retries(cloud: Harness, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("infra.localcloud.world.restarts.BACKOFF_FIRST_S", 0.001)
    _, _, deployment_id = await cloud.web(restartPolicyType="ON_FAILURE", restartPolicyMaxRetries=3)
    cloud.plane.start_fails = True
    cloud.plane.end(next(iter(cloud.plane.running)), 1)
    await cloud.reached(deployment_id, "CRASHED")
    assert "stays CRASHED after 3 restarts" in await cloud.build_log(deployment_id)


async def test_replica_that_ends_well_stays_ended_under_on_failure(cloud: Harness):
    _, _, deployment_id = await cloud.web(restartPolicyType="ON_FAILURE")
    cloud.plane.end(next(iter(cloud.plane.running)), 0)
    await cloud.until(lambda: cloud.world.deployments[deployment_id].is_stopped)
    assert cloud.status(deployment_id) == "SUCCESS"


async def test_logs_have_what_replicas_wrote_and_stay_after_them(cloud: Harness):
    _, _, deployment_id = await cloud.web()
    query = """query ($i: String!, $n: Int) {
        deploymentLogs(deploymentId: $i, limit: $n) { message severity tags { deploymentInstanceId } } }"""
    (line,) = (await cloud.gql(query, i=deployment_id))["deploymentLogs"]
    assert line["message"] == f"hello from {line['tags']['deploymentInstanceId']}"
    await cloud.gql("mutation ($i: String!) { deploymentRemove(id: $i) }", i=deployment_id)
    await cloud.reached(deployment_id, "REMOVED")
    assert len((await cloud.gql(query, i=deployment_id))["deploymentLogs"]) == 1
    with pytest.raises(ApiError, match="limit: expected 1 to 5000, got 0"):
        await cloud.gql(query, i=deployment_id, n=0)


async def test_deployments_are_listed_newest_first_and_filtered(cloud: Harness):
    place, service_id, first = await cloud.web()
    second = await cloud.deploy(place, service_id)
    await cloud.reached(first, "REMOVED")
    query = "query ($i: DeploymentListInput!) { deployments(input: $i) { edges { node { id } } } }"

    async def listed(**wanted: object) -> list[str]:
        page = await cloud.gql(query, i={"projectId": place[0], **wanted})
        return [edge["node"]["id"] for edge in page["deployments"]["edges"]]

    assert await listed() == [second, first]
    assert await listed(status={"in": ["SUCCESS"]}) == [second]
    assert await listed(status={"notIn": ["SUCCESS"]}) == [first]
    assert await listed(serviceId="other") == []


async def test_what_ran_comes_back_after_a_restart(tmp_path: Path):
    async with running(tmp_path) as cloud:
        place, service_id, deployment_id = await cloud.web(multiRegionConfig=TWO_BY_TWO)
        await cloud.set_variables(place, service_id, {"LATER": "not deployed"}, skipDeploys=True)
        before = {key: spec.environment for key, spec in cloud.plane.running.items()}
        owners = dict(cloud.plane.owners)
    plane = RecordingPlane()
    plane.owners = owners
    async with running(tmp_path, plane) as cloud:
        await cloud.until(lambda: not cloud.conductor.is_restoring)
        assert {key: spec.environment for key, spec in plane.running.items()} == before
        assert cloud.status(deployment_id) == "SUCCESS"


async def test_nothing_counts_as_back_before_the_edges_show_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Whoever waited for the start asks the edge next."""
    plane = RecordingPlane()
    async with running(tmp_path, plane) as cloud:
        place, service_id, _ = await cloud.web()
        query = "mutation ($i: ServiceDomainCreateInput!) { serviceDomainCreate(input: $i) { domain } }"
        await cloud.gql(query, i={"serviceId": service_id, "environmentId": place[1]})
    plane.running.clear()
    plane.routes.clear()
    may_show, show = asyncio.Event(), plane.set_routes

    async def slow(region: str, routes: Sequence[Route]) -> None:
        await may_show.wait()
        await show(region, routes)

    monkeypatch.setattr(plane, "set_routes", slow)
    async with running(tmp_path, plane) as cloud:
        await cloud.until(lambda: len(plane.running) == 1)
        assert cloud.conductor.is_restoring
        may_show.set()
        await cloud.until(lambda: not cloud.conductor.is_restoring)
        assert any(route.upstreams for route in plane.routes["us-west2"])


async def test_interrupted_deployment_starts_over_after_a_restart(tmp_path: Path):
    async with running(tmp_path) as cloud:
        place = await cloud.project()
        service_id = await cloud.service(place)
        await cloud.update(place, service_id, startCommand="run", preDeployCommand=["migrate"])
        cloud.plane.starts_held = asyncio.Event()
        deployment_id = await cloud.upload(place, service_id)
        await cloud.until(lambda: cloud.world.deployments[deployment_id].replicas)
    async with running(tmp_path) as cloud:
        await cloud.reached(deployment_id, "SUCCESS")
        assert len(cloud.plane.running) == 1
        assert not any(call.startswith("run_once") for call in cloud.plane.calls), "once per deployment"


async def test_ending_that_was_interrupted_goes_on_after_a_restart(tmp_path: Path):
    async with running(tmp_path) as cloud:
        place, _, _ = await cloud.web()
        cloud.plane.starts_held = asyncio.Event()

        async def hang(key: str, drain_s: float) -> None:
            await asyncio.Event().wait()

        cloud.plane.stop_replica = hang  # type: ignore[method-assign]
        await cloud.gql("mutation ($i: String!) { projectDelete(id: $i) }", i=place[0])
        owners = dict(cloud.plane.owners)
        assert owners
    plane = RecordingPlane()
    plane.owners = owners
    async with running(tmp_path, plane) as cloud:
        await cloud.until(lambda: not cloud.world.endings)
        assert plane.owners == {}


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"", 400), (b"not gzip", 400), (b"\x1f", 200)],
)
async def test_upload_that_is_no_archive_is_refused(cloud: Harness, content: bytes, status: int):
    place = await cloud.project()
    service_id = await cloud.service(place)
    response = await cloud.client.post(f"/project/{place[0]}/environment/{place[1]}/up?serviceId={service_id}", content=content)
    assert response.status_code == status
    assert list((cloud.directory / "uploads").glob("*.partial")) == []


async def test_upload_over_the_bound_is_refused(cloud: Harness, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("infra.localcloud.railway_api.upload.UPLOAD_BYTES_MAX", 1000)
    place = await cloud.project()
    service_id = await cloud.service(place)
    url = f"/project/{place[0]}/environment/{place[1]}/up?serviceId={service_id}"
    assert (await cloud.client.post(url, content=b"\x1f\x8b" + b"x" * 1000)).status_code == 413
    assert (await cloud.client.post(url.replace(place[0], "other"), content=BUNDLE)).status_code == 404
    assert (await cloud.client.post(url, content=BUNDLE, headers={"Authorization": "Bearer no"})).status_code == 401
    assert list((cloud.directory / "uploads").iterdir()) == []


async def test_placement_changed_during_a_deployment_is_reached_after_it(cloud: Harness):
    """The deployment's snapshot has the old placement; nobody would ever scale it otherwise."""
    place = await cloud.project()
    service_id = await cloud.service(place)
    await cloud.update(place, service_id, startCommand="run")
    cloud.plane.starts_held = asyncio.Event()
    deployment_id = await cloud.upload(place, service_id)
    await cloud.until(lambda: cloud.world.deployments[deployment_id].replicas)
    await cloud.update(place, service_id, multiRegionConfig={"us-west2": {"numReplicas": 3}})
    cloud.plane.starts_held.set()
    await cloud.until(lambda: len(cloud.plane.running) == 3)


async def test_disk_that_is_full_for_a_while_does_not_leave_a_deployment_between(cloud: Harness, monkeypatch: pytest.MonkeyPatch):
    """Whoever waits for its status must get one."""
    place, service_id, first = await cloud.web()
    cloud.plane.starts_held = asyncio.Event()
    cloud.plane.start_fails = True
    deployment_id = await cloud.deploy(place, service_id)
    await cloud.until(lambda: cloud.world.deployments[deployment_id].replicas)
    store, refused = cloud.keeper._store, []
    real_write = store.write

    def write(world: World) -> None:
        if len(refused) < 2:
            refused.append(True)
            raise StoreFull("no space left")
        real_write(world)

    monkeypatch.setattr("infra.localcloud.world.restarts.BACKOFF_FIRST_S", 0.001)
    monkeypatch.setattr(store, "write", write)
    cloud.plane.starts_held.set()
    await cloud.reached(deployment_id, "FAILED")
    assert (len(refused), cloud.status(first)) == (2, "SUCCESS")
