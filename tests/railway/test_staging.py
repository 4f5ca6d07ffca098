"""Changes commit in groups, and never over or with somebody else's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.provider.definition import Call
from infra.provider.properties import Secret
from infra.railway import staging
from infra.railway.client import RailwayClient
from infra.railway.provider import RailwayProvider
from infra.railway.staging.patches import built, changed, foreign, holds, told, units
from tests.provider.driving import Driver, Kept, driven
from tests.provider.serving import served
from tests.railway.contract import Ground
from tests.railway.fake import TOKEN, FakeRailway

SECRET = "a-password-nobody-may-see"


@pytest.fixture
async def patient(fake: FakeRailway) -> AsyncIterator[Driver]:
    """Waits as in life, so that a wave has time to gather."""
    async with served(fake.app) as address, driven(RailwayProvider(), patient=True) as driver:
        await driver.configure(endpoint=f"{address}/graphql/v2", token=TOKEN)
        yield driver


async def grounded(driver: Driver) -> Ground:
    return Ground(driver, await driver.create("Project", "ground", name="ground"))


async def variables(driver: Driver, at: dict[str, str], **values: Any) -> Kept:
    return await driver.create("Variables", "v", **at, variables=values)


async def refusal(work: Awaitable[Any]) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await work
    message = caught.value.details() or ""
    assert "\n" not in message
    assert SECRET not in message
    return message


@pytest.mark.anyio
async def test_a_wave_is_one_commit_and_deploys_nothing(patient: Driver, fake: FakeRailway) -> None:
    ground = await grounded(patient)
    places = [(await ground.service(name))[1] for name in ("one", "two", "three")]
    before = fake.done.copy()
    async with asyncio.TaskGroup() as wave:
        for at in places:
            wave.create_task(variables(patient, at, A="1", B="2"))
    done = fake.done - before
    assert (done["environmentStageChanges"], done["environmentPatchCommitStaged"]) == (1, 1)
    assert [fake.variables[at["serviceId"], at["environmentId"]] for at in places] == [{"A": "1", "B": "2"}] * 3
    assert not fake.deployments
    assert not fake.staged
    (patch,) = [each for each in fake.patches.values() if len(each["patch"]["services"]) == 3]
    assert patch["message"].startswith("cached-auth: variables of service ")


@pytest.mark.anyio
async def test_one_deployment_follows_many_changes(driver: Driver, fake: FakeRailway) -> None:
    ground = await grounded(driver)
    service, at = await ground.service()
    kept = await variables(driver, at, A="1", B="2", C="3")
    await driver.create("Deployment", "d", **at)
    await driver.up(service, **{**service.inputs, "startCommand": "sleep 1"})
    await driver.up(kept, **at, variables={"A": "4", "B": "5"})
    assert len(fake.deployments) == 1


@pytest.mark.anyio
async def test_somebody_elses_staged_changes_are_refused_and_left(driver: Driver, fake: FakeRailway) -> None:
    ground = await grounded(driver)
    _, at = await ground.service()
    theirs = {"services": {at["serviceId"]: {"variables": {"LEVEL": {"value": SECRET}}, "deploy": {"startCommand": "sleep 9"}}}}
    fake._environmentStageChanges(at["environmentId"], theirs)
    message = await refusal(variables(driver, at, A="1"))
    assert "has staged changes that this program did not make: services.cache.variables.LEVEL set" in message
    assert 'services.cache.deploy.startCommand = "sleep 9"' in message
    assert "commit or discard them in Railway's dashboard" in message
    assert fake.staged[at["environmentId"]]["patch"] == theirs
    assert fake.variables.get((at["serviceId"], at["environmentId"]), {}) == {}


@pytest.mark.anyio
async def test_what_a_dead_run_left_staged_is_finished(driver: Driver, fake: FakeRailway) -> None:
    """Staged is not committed: the next run finds its own wish there, whole or in part, and goes on."""
    ground = await grounded(driver)
    _, at = await ground.service()
    ours = {"services": {at["serviceId"]: {"variables": {"A": {"value": "1"}}}}}
    fake._environmentStageChanges(at["environmentId"], ours)
    await variables(driver, at, A="1", B="2")
    assert fake.variables[at["serviceId"], at["environmentId"]] == {"A": "1", "B": "2"}
    assert not fake.staged


@pytest.mark.anyio
async def test_edit_of_the_same_section_in_between_is_refused_with_its_diff(driver: Driver, fake: FakeRailway) -> None:
    ground = await grounded(driver)
    _, at = await ground.service()

    def meddle(operation: str) -> None:
        if operation == "environmentStageChanges" and not fake.staged:
            fake.write(at["environmentId"], at["serviceId"], {"variables": {"THEIRS": {"value": SECRET}}})

    fake.meddle = meddle
    message = await refusal(variables(driver, at, A="1"))
    assert "was changed by somebody else just now: services.cache.variables.THEIRS set" in message
    assert "run `refresh`" in message
    assert fake.variables[at["serviceId"], at["environmentId"]] == {"THEIRS": SECRET}
    assert not fake.staged, "what we staged is taken back"


@pytest.mark.anyio
async def test_edit_elsewhere_in_between_stands_beside_ours(driver: Driver, fake: FakeRailway) -> None:
    """A patch writes only what it names, so another service's change is nobody's loss."""
    ground = await grounded(driver)
    _, at = await ground.service()
    _, other = await ground.service("other")

    def meddle(operation: str) -> None:
        fake.write(other["environmentId"], other["serviceId"], {"variables": {"THEIRS": {"value": "1"}}})

    fake.meddle = meddle
    await variables(driver, at, A="1")
    assert fake.variables[at["serviceId"], at["environmentId"]] == {"A": "1"}
    assert fake.variables[other["serviceId"], other["environmentId"]] == {"THEIRS": "1"}


@pytest.mark.anyio
async def test_staged_by_somebody_in_the_same_moment_is_not_committed(driver: Driver, fake: FakeRailway) -> None:
    ground = await grounded(driver)
    _, at = await ground.service()
    theirs = {"services": {at["serviceId"]: {"variables": {"THEIRS": {"value": "x"}}}}}

    def meddle(operation: str) -> None:
        if operation == "environmentStageChanges":
            fake.meddle = lambda _: None
            fake._environmentStageChanges(at["environmentId"], theirs)

    fake.meddle = meddle
    message = await refusal(variables(driver, at, A="1"))
    assert "got staged changes of somebody else just now: services.cache.variables.THEIRS set" in message
    assert fake.staged[at["environmentId"]]["patch"] == theirs
    assert fake.variables.get((at["serviceId"], at["environmentId"]), {}) == {}


@pytest.mark.anyio
async def test_edit_since_the_preview_is_refused_until_it_was_seen(driver: Driver, fake: FakeRailway) -> None:
    """The preview showed a change from what the state remembers; writing over another value would be another change."""
    ground = await grounded(driver)
    service, at = await ground.service()
    kept = await variables(driver, at, A=Secret("one"), B="two")
    fake.write(
        at["environmentId"], at["serviceId"], {"variables": {"A": {"value": SECRET}}, "deploy": {"startCommand": "sleep 7"}}
    )
    wanted = {**service.inputs, "startCommand": "sleep 8"}
    message = await refusal(driver.up(service, **wanted))
    assert "services/cache was edited by somebody else since this stack last saw it: start_command: " in message
    assert '-> "sleep 7"; nothing was changed' in message
    message = await refusal(driver.up(kept, **at, variables={"A": Secret("three"), "B": "two"}))
    assert "variables.A (update)" in message
    for each in (service, kept):
        assert await driver.refresh(each)
    assert await driver.up(service, **wanted) == ["startCommand"]
    assert await driver.up(kept, **at, variables={"A": Secret("three"), "B": "two"}) == ["variables.A"]


@pytest.mark.anyio
async def test_one_wrong_change_does_not_take_the_wave_along(patient: Driver, fake: FakeRailway) -> None:
    ground = await grounded(patient)
    _, at = await ground.service("one")
    gone, away = await ground.service("two")
    kept = await variables(patient, away, A="1")
    await patient.delete(gone)
    async with asyncio.TaskGroup() as wave:
        good = wave.create_task(variables(patient, at, A="1"))
        bad = wave.create_task(refusal(patient.up(kept, **away, variables={"A": "2"})))
    assert good.result().identity
    assert "the service is gone" in bad.result() or "not found" in bad.result()


@pytest.mark.anyio
async def test_commit_that_does_not_apply_says_why_and_leaves_nothing_staged(driver: Driver, fake: FakeRailway) -> None:
    ground = await grounded(driver)
    _, at = await ground.service()
    fake.commit_refusals = ["the volume is being moved"]
    assert "Railway says: the volume is being moved" in await refusal(variables(driver, at, A="1"))
    assert not fake.staged


@pytest.mark.anyio
async def test_what_is_staged_is_taken_back_where_it_cannot_be_looked_at(driver: Driver, fake: FakeRailway) -> None:
    """Left staged it would stand in the way of every later change of this run."""
    ground = await grounded(driver)
    _, at = await ground.service()

    def meddle(operation: str) -> None:
        if operation == "environmentStageChanges":
            fake.meddle = lambda _: None
            fake.faults["environmentState"] = ["refused"]

    fake.meddle = meddle
    assert "Not Authorized" in await refusal(variables(driver, at, A="1"))
    assert not fake.staged
    await variables(driver, at, A="2")
    assert fake.variables[at["serviceId"], at["environmentId"]] == {"A": "2"}


@pytest.mark.anyio
async def test_changes_that_are_not_staged_wait_their_turn(patient: Driver, fake: FakeRailway) -> None:
    """A domain made between staging and commit would move the etag under our own feet."""
    ground = await grounded(patient)
    _, at = await ground.service()
    start = len(fake.calls)
    async with asyncio.TaskGroup() as wave:
        wave.create_task(variables(patient, at, A="1"))
        wave.create_task(patient.create("ServiceDomain", "d", **at, targetPort=80))
    calls = fake.calls[start:]
    staged, committed = calls.index("environmentStageChanges"), calls.index("environmentPatchCommitStaged")
    assert not staged < calls.index("serviceDomainCreate") < committed


@pytest.mark.anyio
async def test_everything_of_an_environment_that_can_be_staged_goes_in_one_commit(patient: Driver, fake: FakeRailway) -> None:
    """Settings, limits, credentials, variables, shared variables and TCP proxies; made and changed alike."""
    ground = await grounded(patient)
    _, at = await ground.service("old")
    inputs = {**ground.at, "name": "new", "multiRegionConfig": {"us-west2": 1}, "variables": {"A": Secret(SECRET)}}
    beside = {"vcpus": 2, "memoryGb": 1, "registryUsername": "puller", "registryPassword": Secret(SECRET)}
    before = fake.changed.copy()
    async with asyncio.TaskGroup() as wave:
        made = wave.create_task(patient.create("Service", "new", **inputs, **beside))
        wave.create_task(patient.create("SharedVariables", "s", **ground.at, variables={"S": "1"}))
        wave.create_task(variables(patient, at, B="2"))
        proxies = [wave.create_task(patient.create("TcpProxy", f"t{port}", **at, applicationPort=port)) for port in (1, 2)]
    assert fake.changed - before == {"serviceCreate": 1, "environmentStageChanges": 1, "environmentPatchCommitStaged": 1}
    service_id, environment_id = made.result().identity, at["environmentId"]
    assert fake.variables[service_id, environment_id] == {"A": SECRET}
    assert fake.variables[None, environment_id] == {"S": "1"}
    assert fake.limits[service_id, environment_id] == {"containers": {"cpu": 2, "memoryBytes": 10**9}}
    assert fake.instances[service_id, environment_id]["registryCredentials"] == {"username": "puller", "password": SECRET}
    assert {each.result().identity for each in proxies} == set(fake.proxies)
    assert not fake.deployments


@pytest.mark.anyio
async def test_a_proxy_that_somebody_made_is_not_taken_for_ours(driver: Driver, fake: FakeRailway) -> None:
    ground = await grounded(driver)
    _, at = await ground.service()
    theirs = await driver.create("TcpProxy", "t", **at, applicationPort=6379)
    message = await refusal(driver.create("TcpProxy", "again", **at, applicationPort=6379))
    assert "the service has one for this port already; adopt it with `pulumi import railway:index:TcpProxy NAME" in message
    assert list(fake.proxies) == [theirs.identity]


@pytest.mark.anyio
async def test_variables_move_into_their_service_and_stay_there(driver: Driver, fake: FakeRailway) -> None:
    """The engine deletes what left the program at the end of an `up`, here the resource that held the variables before."""
    ground = await grounded(driver)
    service, at = await ground.service()
    old = await variables(driver, at, A="1", B="2")
    assert await driver.up(service, **service.inputs, variables={"A": "1", "B": "3"}) == ["variables"]
    assert service.outputs["variablesDigest"].value.startswith("sha256:")
    await driver.delete(old)
    assert fake.variables[at["serviceId"], at["environmentId"]] == {"A": "1", "B": "3"}


@pytest.mark.anyio
async def test_variables_that_moved_are_left_alone_by_a_later_run_too(driver: Driver, fake: FakeRailway) -> None:
    """The run that moved them may have failed before it deleted anything; the next one only compares the service."""
    ground = await grounded(driver)
    service, at = await ground.service(variables={"A": "1"})
    old = Kept(driver.urn("Variables", "v"), "/".join(at.values()), {**at, "variables": {"A": "1"}})
    driver.servicer._client.with_variables.clear()
    assert await driver.up(service, **service.inputs) == []
    await driver.delete(old)
    assert fake.variables[at["serviceId"], at["environmentId"]] == {"A": "1"}


def test_masked_credentials_are_taken_for_ours_and_never_told() -> None:
    """Railway shows asterisks where they were staged; what is not masked is a secret."""
    ours = units({"services": {"s": {"deploy": {"registryCredentials": {"username": "u", "password": SECRET}}}}})
    masked = units({"services": {"s": {"deploy": {"registryCredentials": {"username": "*****", "password": "*****"}}}}})
    assert foreign(masked, ours) == {}
    assert foreign(units({"services": {"s": {"deploy": {"registryCredentials": None}}}}), ours)
    assert told(ours, masked, {}) == "services.s.deploy.registryCredentials changed"


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"isSealed": True}, True),
        ({"isSealed": True, "value": "x"}, True),
        ({"isSealed": True, "value": "y"}, False),
        ({}, False),
    ],
)
def test_a_sealed_value_need_not_be_shown(found: dict[str, Any], expected: bool) -> None:
    assert holds(found, {"isSealed": True, "value": "x"}) is expected


@pytest.mark.parametrize("theirs", [{"services": {"s": None}}, {"services": None}, {"sharedVariables": None}])
def test_a_removal_of_a_whole_branch_is_somebodys_change(theirs: dict[str, Any]) -> None:
    """Unseen, it would be committed along with ours."""
    ours = units({"services": {"s": {"variables": {"A": {"value": "1"}}}}})
    assert built(foreign(units(theirs), ours)) == theirs


def test_a_difference_stays_on_one_line_and_short() -> None:
    staged = units({"services": {"s": {"deploy": {f"setting{number}": "a\n\x1b[2Jb" for number in range(500)}}}})
    line = told(staged, {}, {})
    assert line.isprintable()
    assert line.endswith("and 480 more")
    assert len(line) < 2000


@pytest.mark.anyio
async def test_a_mistake_of_ours_in_one_change_fails_that_one_alone(patient: Driver, fake: FakeRailway) -> None:
    ground = await grounded(patient)
    _, at = await ground.service("one")
    _, other = await ground.service("two")
    client = patient.servicer._client
    sleep = patient.servicer.stopper.sleep

    async def quiet(text: str) -> None:
        return None

    async def mistaken() -> dict[str, Any]:
        raise KeyError("ours")

    call: Call[RailwayClient] = Call(client, sleep, quiet, quiet, time.monotonic)
    wrong = asyncio.create_task(staging.commit(call, at["environmentId"], "wrong", mistaken))
    good = asyncio.create_task(variables(patient, other, A="1"))
    with pytest.raises(KeyError):
        await wrong
    assert (await good).identity
    assert fake.variables[other["serviceId"], other["environmentId"]] == {"A": "1"}


NAMES = st.sampled_from(["a", "b", "c"])
VALUES = st.none() | st.integers(0, 2) | st.dictionaries(NAMES, st.integers(0, 1), min_size=1, max_size=2)
SECTIONS = st.dictionaries(st.sampled_from(["deploy", "variables"]), st.dictionaries(NAMES, VALUES, min_size=1), min_size=1)
CONFIGS = st.fixed_dictionaries(
    {},
    optional={
        "services": st.dictionaries(NAMES, SECTIONS, min_size=1),
        "sharedVariables": st.dictionaries(NAMES, VALUES, min_size=1),
    },
)


@given(CONFIGS)
def test_a_patch_taken_apart_and_put_together_is_the_same(config: dict[str, Any]) -> None:
    assert built(units(config)) == config


@given(CONFIGS, CONFIGS)
def test_nothing_of_somebody_elses_is_taken_for_ours(one: dict[str, Any], two: dict[str, Any]) -> None:
    """What is staged splits into ours and theirs without rest, and what differs is what `changed` names."""
    staged, wanted = units(one), units(two)
    theirs = foreign(staged, wanted)
    assert all(path in wanted and holds(value, wanted[path]) for path, value in staged.items() if path not in theirs)
    assert foreign(wanted, wanted) == {}
    assert changed(staged, staged) == {}
    assert set_in({**staged, **changed(staged, wanted)}) == set_in(wanted)


def set_in(parts: dict[Any, Any]) -> dict[Any, Any]:
    """Null and absent are the same in a configuration."""
    return {path: value for path, value in parts.items() if value is not None}


def test_a_difference_names_variables_and_shows_settings() -> None:
    before = units({"services": {"s": {"deploy": {"startCommand": "a"}, "variables": {"A": {"value": SECRET}}}}})
    after = units({"services": {"s": {"deploy": {"startCommand": "b"}, "variables": {"B": {"value": SECRET}}}}})
    assert told(changed(before, after), before, {"s": "auth"}) == (
        'services.auth.deploy.startCommand: "a" -> "b", services.auth.variables.A removed, services.auth.variables.B set'
    )
