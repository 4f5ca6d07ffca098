"""The provider as the engine meets it: gRPC in, HTTP out, a fake Railway behind."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import itertools
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import grpc
import pytest
from pulumi.runtime.proto import provider_pb2

from infra.provider.comparison import compare
from infra.provider.properties import UNKNOWN, Secret, as_secret, plain
from infra.railway.provider import RailwayProvider
from tests.provider.driving import Driver, InitFailed, Kept
from tests.railway.fake import FakeRailway

pytestmark = pytest.mark.anyio

TWO_FAULTS = list(itertools.product(("lost", "lost-problem", "throttle", "503", "problem"), repeat=2))
PLACE = {"us-west2": 2, "europe-west4-drams3a": 1}


class Ground:
    """A project with an environment and a service, each as the engine would keep it."""

    def __init__(self, project: Kept, service: Kept) -> None:
        self.project, self.service = project, service
        self.at = {
            "projectId": project.identity,
            "environmentId": project.outputs["defaultEnvironmentId"],
            "serviceId": service.identity,
        }


SERVICE: dict[str, Any] = {
    "name": "auth",
    "multiRegionConfig": PLACE,
    "startCommand": "python -m service",
    "preDeployCommand": ["python -m service migrate"],
    "healthcheckPath": "/health/ready",
    "overlapSeconds": 2,
    "drainingSeconds": 10,
    "railwayToml": "[deploy]\n",
}


async def grounded(driver: Driver) -> Ground:
    project = await driver.create("Project", "p", name="demo")
    place = {"projectId": project.identity, "environmentId": project.outputs["defaultEnvironmentId"]}
    return Ground(project, await driver.create("Service", "auth", **place, **SERVICE))


def service_inputs(ground: Ground, **changed: Any) -> dict[str, Any]:
    return {key: ground.at[key] for key in ("projectId", "environmentId")} | SERVICE | changed


async def unchanged(driver: Driver, kept: Kept) -> None:
    """A second `up` changes nothing, nor does one after a refresh."""
    inputs = dict(kept.inputs)
    assert await driver.up(kept, **inputs) == []
    assert await driver.refresh(kept)
    assert await driver.up(kept, **inputs) == []


async def test_placement_leaves_no_region_behind(driver: Driver, fake: FakeRailway) -> None:
    """Railway places a new service in a region of its own choice; without a null it stays there for ever."""
    ground = await grounded(driver)
    instance = fake.instances[ground.service.identity, ground.at["environmentId"]]
    assert instance["multiRegionConfig"] == {"us-west2": {"numReplicas": 2}, "europe-west4-drams3a": {"numReplicas": 1}}
    changed = await driver.up(ground.service, **service_inputs(ground, multiRegionConfig={"us-west2": 3}))
    assert changed == ["multiRegionConfig.europe-west4-drams3a", "multiRegionConfig.us-west2"]
    assert instance["multiRegionConfig"] == {"us-west2": {"numReplicas": 3}}


async def test_another_change_keeps_the_placement(driver: Driver, fake: FakeRailway) -> None:
    """A patch names what changes; the API's own update falls back to one replica when the placement is left out."""
    ground = await grounded(driver)
    assert await driver.up(ground.service, **service_inputs(ground, startCommand="python -m service --fast")) == ["startCommand"]
    instance = fake.instances[ground.service.identity, ground.at["environmentId"]]
    assert instance["multiRegionConfig"]["us-west2"] == {"numReplicas": 2}
    assert instance["startCommand"] == "python -m service --fast"


@pytest.mark.parametrize(
    ("field", "drifted", "path"),
    [
        ("multiRegionConfig", {"us-west2": {"numReplicas": 7}}, "multiRegionConfig.europe-west4-drams3a"),
        ("healthcheckPath", None, "healthcheckPath"),
        ("healthcheckTimeout", 17, "healthcheckTimeoutS"),
        ("startCommand", "sleep 1", "startCommand"),
    ],
)
async def test_drift_is_seen_and_repaired(driver: Driver, fake: FakeRailway, field: str, drifted: Any, path: str) -> None:
    """Somebody changed a setting in the dashboard: refresh shows it, up puts it back, also where we had left it unset."""
    ground = await grounded(driver)
    instance = fake.instances[ground.service.identity, ground.at["environmentId"]]
    wanted = dict(ground.service.inputs)
    before = dict(instance)
    instance[field] = drifted
    assert await driver.refresh(ground.service)
    assert path in await driver.up(ground.service, **wanted)
    assert instance == before | {field: before.get(field)}


async def test_half_made_service_is_kept_and_finished(driver: Driver, fake: FakeRailway) -> None:
    """Creation failing halfway must not orphan the service (a known plague of other tools)."""
    project = await driver.create("Project", "p", name="demo")
    place = {"projectId": project.identity, "environmentId": project.outputs["defaultEnvironmentId"]}
    fake.faults["environmentPatchCommitStaged"] = ["503"] * 20
    kept = Kept(driver.urn("Service", "auth"))
    checked, _ = await driver.check(kept, place | SERVICE)
    with pytest.raises(InitFailed, match="run `up` again"):
        await driver.create_into(kept, checked)
    assert kept.identity in fake.services
    fake.faults.clear()
    await driver.up(kept, **place, **SERVICE)
    assert len(fake.services) == 1
    await unchanged(driver, kept)


async def test_project_without_its_environment_is_kept_and_finished(driver: Driver, fake: FakeRailway) -> None:
    """The first environment may be late; the project must not be made a second time for it."""
    fake.late_environment = True
    fake.faults["project"] = ["503"] * 12
    kept = Kept(driver.urn("Project", "p"))
    checked, _ = await driver.check(kept, {"name": "demo"})
    with pytest.raises(InitFailed, match="run `up` again"):
        await driver.create_into(kept, checked)
    fake.faults.clear()
    fake._new_environment(kept.identity, "production")
    await driver.up(kept, name="demo")
    assert kept.outputs["defaultEnvironmentId"] in fake.environments


@pytest.mark.parametrize("fault", ["lost", "lost-problem"])
async def test_lost_answer_never_makes_two(driver: Driver, fake: FakeRailway, fault: str) -> None:
    """Railway takes no idempotency keys: a change can succeed and still answer with an error."""
    creations = ("projectCreate", "environmentCreate", "serviceCreate", "serviceDomainCreate", "volumeCreate")
    for operation in (*creations, "environmentStageChanges", "environmentPatchCommitStaged", "serviceInstanceDeployV2"):
        fake.faults[operation] = [fault]
    ground = await grounded(driver)
    await driver.create("Environment", "e", projectId=ground.project.identity, name="staging")
    await driver.create("Variables", "v", **ground.at, variables={"A": "1"})
    await driver.create("ServiceDomain", "d", **ground.at)
    await driver.create("Volume", "w", **ground.at, mountPath="/data")
    await driver.create("Deployment", "x", **ground.at)
    assert all(fake.calls.count(operation) == 1 for operation in creations)
    made = (fake.projects, fake.services, fake.domains, fake.volumes, fake.deployments)
    assert [len(each) for each in made] == [1] * 5
    assert len(fake.environments) == 2


@pytest.mark.parametrize("faults", TWO_FAULTS, ids="+".join)
@pytest.mark.parametrize("operation", ["projectCreate", "serviceCreate", "environmentPatchCommitStaged", "serviceDomainCreate"])
async def test_any_two_faults_in_a_row_are_outlived(
    driver: Driver, fake: FakeRailway, operation: str, faults: tuple[str, ...]
) -> None:
    """Whether the first try, the second, both or neither took effect: one of each in the end, and settled."""
    fake.faults[operation] = list(faults)
    ground = await grounded(driver)
    domain = await driver.create("ServiceDomain", "d", **ground.at)
    assert [len(each) for each in (fake.projects, fake.services, fake.domains)] == [1, 1, 1]
    await unchanged(driver, ground.service)
    await unchanged(driver, domain)


async def test_refused_change_is_sent_again(driver: Driver, fake: FakeRailway) -> None:
    """A throttle was never carried out, wherever it hides: in a 429, or in the text of an HTTP 200."""
    fake.faults["projectCreate"] = ["throttle", "429", "busy"]
    await driver.create("Project", "p", name="demo")
    assert len(fake.projects) == 1


async def test_taken_name_is_a_conflict_with_a_way_out(driver: Driver, fake: FakeRailway) -> None:
    ground = await grounded(driver)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await driver.create("Service", "again", **service_inputs(ground))
    message = caught.value.details() or ""
    assert "services/auth" in message
    assert f"pulumi import railway:index:Service NAME {ground.service.identity}" in message
    assert "\n" not in message


async def test_service_shared_with_another_environment_survives(driver: Driver, fake: FakeRailway) -> None:
    """Two stacks may share a project; destroying staging must not take production's service along."""
    ground = await grounded(driver)
    other = fake._new_environment(ground.project.identity, "other")
    fake.instances[ground.service.identity, other["id"]] = {"multiRegionConfig": {}}
    await driver.delete(ground.service)
    assert list(fake.instances) == [(ground.service.identity, other["id"])]


async def test_variable_diff_names_the_variable_and_not_its_value(driver: Driver, fake: FakeRailway) -> None:
    ground = await grounded(driver)
    old = {"KEEP": "1", "CHANGE": Secret("old-password"), "GO": "x"}
    kept = await driver.create("Variables", "v", **ground.at, variables=old)
    new = {"KEEP": "1", "CHANGE": Secret("new-password"), "COME": "y"}
    checked, _ = await driver.check(kept, ground.at | {"variables": new})
    answer = await driver.diff(kept, checked)
    kinds = {path: provider_pb2.PropertyDiff.Kind.Name(each.kind) for path, each in answer.detailedDiff.items()}
    assert kinds == {"variables.CHANGE": "UPDATE", "variables.COME": "ADD", "variables.GO": "DELETE"}
    assert "password" not in str(answer)
    assert checked["variables"]["CHANGE"] == Secret("new-password")
    await driver.up(kept, **ground.at, variables=new)
    assert fake.variables[ground.service.identity, ground.at["environmentId"]]["CHANGE"] == "new-password"
    assert kept.outputs["variables"]["CHANGE"] == Secret("new-password")
    assert isinstance(kept.outputs["digest"], Secret)


async def test_variables_read_back_stay_secret(driver: Driver, fake: FakeRailway) -> None:
    """Also one that somebody added by hand: among secrets, a stranger is taken for a secret."""
    ground = await grounded(driver)
    kept = await driver.create("Variables", "v", **ground.at, variables={"A": Secret("one"), "B": "plain"})
    fake.variables[ground.service.identity, ground.at["environmentId"]]["STRANGER"] = "two"
    assert await driver.refresh(kept)
    assert kept.inputs["variables"] == {"A": Secret("one"), "B": "plain", "STRANGER": Secret("two")}
    assert await driver.up(kept, **ground.at, variables={"A": Secret("one"), "B": "plain"}) == ["variables.STRANGER"]


def bundle(tmp_path: Path, content: bytes = b"release") -> tuple[str, str]:
    path = tmp_path / "bundle.tar.gz"
    path.write_bytes(gzip.compress(content, mtime=0))
    return str(path), "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()


async def test_bundle_is_uploaded_and_waited_for(driver: Driver, fake: FakeRailway, tmp_path: Path) -> None:
    ground = await grounded(driver)
    fake.faults["upload"] = ["lost"]
    path, release = bundle(tmp_path)
    kept = await driver.create("Deployment", "x", **ground.at, bundle=path, release=release)
    assert kept.outputs["status"] == "SUCCESS"
    assert len(fake.deployments) == 1
    assert await driver.up(kept, **ground.at, bundle="/elsewhere.tar.gz", release=release) == []
    other, newer = bundle(tmp_path, b"newer")
    first = kept.outputs["deploymentId"]
    assert await driver.up(kept, **ground.at, bundle=other, release=newer) == ["release"]
    assert kept.outputs["deploymentId"] != first
    assert fake.deployments[first]["status"] == "REMOVED"


async def test_bundle_of_another_release_is_not_sent(driver: Driver, fake: FakeRailway, tmp_path: Path) -> None:
    """A promotion moves digests; sending other bytes under a digest would void every verdict bound to it."""
    ground = await grounded(driver)
    path, _ = bundle(tmp_path)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await driver.create("Deployment", "x", **ground.at, bundle=path, release="sha256:" + "0" * 64)
    assert "build the release again" in (caught.value.details() or "")
    assert "upload" not in fake.calls


async def test_failed_deployment_quotes_the_log_and_is_tried_again(driver: Driver, fake: FakeRailway) -> None:
    ground = await grounded(driver)
    fake.outcomes = ["FAILED"]
    kept = Kept(driver.urn("Deployment", "x"))
    checked, _ = await driver.check(kept, ground.at)
    with pytest.raises(InitFailed) as caught:
        await driver.create_into(kept, checked)
    lines = str(caught.value).splitlines()
    assert "ended as FAILED" in lines[0]
    assert len(lines) == 16
    assert lines[-1].strip() == "ModuleNotFoundError: No module named 'service'"
    assert await driver.refresh(kept)
    assert kept.init_errors, "a refresh must not turn a failed deployment into a good one"
    assert await driver.up(kept, **ground.at) == ["status"]
    assert kept.outputs["status"] == "SUCCESS"
    assert len(fake.deployments) == 2
    await unchanged(driver, kept)


async def test_deployment_that_became_ready_late_is_accepted(driver: Driver, fake: FakeRailway) -> None:
    ground = await grounded(driver)
    fake.outcomes = ["STUCK"]
    kept = Kept(driver.urn("Deployment", "x"))
    checked, _ = await driver.check(kept, ground.at | {"timeoutS": 1})
    with pytest.raises(InitFailed, match="still BUILDING after 1 s"):
        await driver.create_into(kept, checked)
    fake.deployments[kept.outputs["deploymentId"]]["to_come"] = ["DEPLOYING", "SUCCESS"]
    await driver.up(kept, **ground.at, timeoutS=1)
    assert len(fake.deployments) == 1
    assert kept.outputs["status"] == "SUCCESS"


async def test_cancel_in_the_middle_keeps_what_was_started(driver: Driver, fake: FakeRailway) -> None:
    """Cancelled while a deployment is under way: its id must survive, or the next `up` would know nothing of it."""
    ground = await grounded(driver)
    fake.outcomes = ["STUCK"]
    kept = Kept(driver.urn("Deployment", "x"))
    checked, _ = await driver.check(kept, ground.at)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        creation = group.create_task(failing(driver.create_into(kept, checked)))
        await fake.called("deployment")
        await driver.cancel()
    assert "was left in status" in str(creation.result())
    assert "cancelled" in str(creation.result())
    assert kept.outputs["deploymentId"] in fake.deployments


async def failing(work: Awaitable[None]) -> InitFailed:
    with pytest.raises(InitFailed) as caught:
        await work
    return caught.value


async def test_nothing_is_started_after_a_cancel(driver: Driver, fake: FakeRailway) -> None:
    ground = await grounded(driver)
    await driver.cancel()
    with pytest.raises(grpc.aio.AioRpcError, match="cancelled"):
        await driver.create("Deployment", "x", **ground.at)
    assert not fake.deployments


async def test_unknown_inputs_are_previewed_without_a_call(driver: Driver, fake: FakeRailway) -> None:
    kept = await driver.create(
        "Service", "s", preview=True, projectId=UNKNOWN, environmentId=UNKNOWN, name="auth", multiRegionConfig={"us-west2": 1}
    )
    assert kept.outputs["privateDomain"] is UNKNOWN
    assert kept.outputs["projectId"] is UNKNOWN
    assert not fake.calls


async def test_preview_knows_the_digest_of_known_variables(driver: Driver, fake: FakeRailway) -> None:
    """So that a preview shows whether a deployment will follow."""
    ground = await grounded(driver)
    variables = {"A": Secret("one")}
    shown = await driver.create("Variables", "v", preview=True, **ground.at, variables=variables)
    made = await driver.create("Variables", "v", **ground.at, variables=variables)
    assert shown.outputs["digest"] == made.outputs["digest"] == as_secret(made.outputs["digest"])
    unknown = await driver.create("Variables", "v", preview=True, **ground.at, variables={"A": UNKNOWN})
    assert unknown.outputs["digest"] == Secret(UNKNOWN)


@pytest.mark.parametrize("field", ["projectId", "environmentId", "serviceId"])
async def test_only_a_new_place_replaces(driver: Driver, field: str) -> None:
    ground = await grounded(driver)
    kept = await driver.create("ServiceDomain", "d", **ground.at)
    answer = await driver.diff(kept, kept.inputs | {field: "another"})
    assert list(answer.replaces) == [field]


async def test_errors_are_one_line_with_a_trace_and_without_secrets(driver: Driver, fake: FakeRailway) -> None:
    ground = await grounded(driver)
    fake.faults["environmentStageChanges"] = ["problem"] * 20
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await driver.create("Variables", "v", **ground.at, variables={"A": Secret("Problem processing")})
    message = caught.value.details() or ""
    assert message == (
        "environmentStageChanges: Railway says: [secret] request (request trace-77); "
        "it may have been carried out all the same, so look before the next `up`"
    )


async def test_wrong_token_says_what_to_check(driver: Driver, fake: FakeRailway) -> None:
    await driver.configure(endpoint="http://127.0.0.1:1/graphql/v2", token=Secret("wrong"))
    with pytest.raises(grpc.aio.AioRpcError, match="is it running"):
        await driver.create("Project", "p", name="demo")


async def test_import_reads_a_service_by_its_id_alone(driver: Driver, fake: FakeRailway) -> None:
    ground = await grounded(driver)
    imported = Kept(ground.service.urn, ground.service.identity)
    assert await driver.refresh(imported)
    assert imported.inputs["startCommand"] == "python -m service"
    assert imported.inputs["multiRegionConfig"] == PLACE


async def test_import_needs_the_place_where_the_api_does(driver: Driver, fake: FakeRailway) -> None:
    """`pulumi import` of what the API cannot find by its id alone: the id is a path, and shrinks to the real one."""
    ground = await grounded(driver)
    place = "/".join(ground.at.values())
    domain = await driver.create("ServiceDomain", "d", **ground.at, targetPort=80)
    volume = await driver.create("Volume", "v", **ground.at, mountPath="/data", region="us-west2")
    deployment = await driver.create("Deployment", "x", **ground.at)
    variables = await driver.create("Variables", "v", **ground.at, variables={"A": "1"})
    paths = {
        f"{place}/{domain.identity}": domain,
        f"{ground.at['projectId']}/{ground.at['environmentId']}/{volume.identity}": volume,
        place: deployment,
        variables.identity: variables,
    }
    for path, made in paths.items():
        imported = Kept(made.urn, path)
        assert await driver.refresh(imported), path
        shown = imported.identity, plain(imported.inputs), plain(imported.outputs)
        assert shown == (made.identity, plain(made.inputs), plain(made.outputs))


async def test_imported_variables_are_secret_until_somebody_says_which_are_not(driver: Driver, fake: FakeRailway) -> None:
    """The state of an import must not be the one place where passwords lie open."""
    ground = await grounded(driver)
    made = await driver.create("Variables", "v", **ground.at, variables={"A": "1", "B": Secret("2")})
    imported = Kept(made.urn, made.identity)
    assert await driver.refresh(imported)
    assert imported.inputs["variables"] == imported.outputs["variables"] == {"A": Secret("1"), "B": Secret("2")}
    assert await driver.up(imported, **ground.at, variables={"A": "1", "B": Secret("2")}) == []


@pytest.mark.parametrize(("kind", "field"), [("Volume", "region"), ("ServiceDomain", "targetPort"), ("Project", "workspaceId")])
async def test_what_railway_chose_stays_when_the_program_is_silent(driver: Driver, kind: str, field: str) -> None:
    """An import knows the region; a program without one must not lose the volume and its data over that."""
    fields = RailwayProvider.resources[f"railway:index:{kind}"].fields
    assert compare(fields, {field: "as it is"}, {}) == ()
    assert [each.path for each in compare(fields, {field: "as it is"}, {field: "another"})] == [field]


async def test_import_of_nothing_is_nothing(driver: Driver) -> None:
    for kind in ("Project", "Environment", "Service", "Volume", "Deployment"):
        assert not await driver.refresh(Kept(driver.urn(kind, "x"), "no-such-id"))
    with pytest.raises(grpc.aio.AioRpcError, match=r"expected project/environment/service/id .*, got 'no-such-id'"):
        await driver.refresh(Kept(driver.urn("ServiceDomain", "x"), "no-such-id"))


async def test_preview_of_a_move_does_not_promise_the_old_private_name(driver: Driver) -> None:
    ground = await grounded(driver)
    name = ground.service.outputs["privateDomain"]
    moved = ground.service.inputs | {"multiRegionConfig": {"us-west2": 1}}
    assert (await driver.update(ground.service, moved, preview=True))["privateDomain"] is UNKNOWN
    edited = ground.service.inputs | {"startCommand": "python -m service --fast"}
    assert (await driver.update(ground.service, edited, preview=True))["privateDomain"] == name
