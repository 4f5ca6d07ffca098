"""The life of every resource, as one set of laws over one table: what Pulumi promises its users holds for each row alike.

A new resource adds a row to CASES and nothing else. The laws run against the fake (tests/railway/test_lifecycle.py, with
faults) and against the local cloud (tests/contract/test_railway_lifecycle.py). They drive the provider through gRPC as the
engine does, and know no operation of the API: somebody else's hand is a second copy of the state, changed through the same
provider.
"""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from infra.provider.properties import Secret, plain
from tests.provider.driving import Driver, Kept
from tests.railway.contract import Ground, ground_at

Ids = Mapping[str, str]


async def nothing_more(ground: Ground, at: Ids) -> Ids:
    return at


@dataclass(frozen=True)
class Case:
    """One resource as a user would write it.

    inputs          from the ids around it (projectId, environmentId, serviceId) and what `before` added
    changed         inputs whose change is made in place; empty where every change replaces
    paths           what the detailed diff names for `changed`; the names of `changed` where not given
    imports         ids for `pulumi import`, from the same ids and the resource as made: Railway's own first, then by name
    untold          inputs among `changed` that the API never tells, so that nobody else's change of them can be seen
    service         whether it lives in a service, which is then made first
    before          makes what it needs besides, and returns the ids with more ids among them
    creates         the operation of the API that makes it and must be carried out once; "" for what is only set
    mutations       every change that a creation sends, in order: each is made to fail, by the law of half-made creations
    """

    kind: str
    inputs: Callable[[Ids], dict[str, Any]]
    imports: tuple[Callable[[Ids, Kept], str], ...]
    changed: Mapping[str, Any] = field(default_factory=dict)
    paths: tuple[str, ...] = ()
    untold: tuple[str, ...] = ()
    service: bool = True
    before: Callable[[Ground, Ids], Awaitable[Ids]] = nothing_more
    creates: str = ""
    mutations: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.kind


async def with_volume(ground: Ground, at: Ids) -> Ids:
    volume = await ground.driver.create("Volume", "needed", **service_place(at), mountPath="/data")
    return {**at, "volumeInstanceId": str(volume.outputs["instanceId"])}


async def with_backup(ground: Ground, at: Ids) -> Ids:
    at = await with_volume(ground, at)
    backup = await ground.driver.create("VolumeBackup", "needed", volumeInstanceId=at["volumeInstanceId"], name="needed")
    return {**at, "backupId": backup.identity}


async def with_domain(ground: Ground, at: Ids) -> Ids:
    await ground.driver.create("ServiceDomain", "needed", **service_place(at))
    return at


def service_place(at: Ids) -> dict[str, Any]:
    return {name: at[name] for name in ("projectId", "environmentId", "serviceId")}


def own_id(at: Ids, made: Kept) -> str:
    return made.identity


def path_of(*names: str) -> Callable[[Ids, Kept], str]:
    """The ids of the place and then the resource's own, as the API finds it no other way."""
    return lambda at, made: "/".join([*(at[name] for name in names), made.identity])


def place_path(at: Ids, made: Kept) -> str:
    return "/".join(at[name] for name in ("projectId", "environmentId", "serviceId"))


async def with_password(ground: Ground, at: Ids) -> Ids:
    """What the service's start command asks for, so that it can be deployed."""
    await ground.driver.create("Variables", "password", **service_place(at), variables={"REDIS_PASSWORD": Secret("a-password")})
    return at


def named(rest: Callable[[Kept], str] | None = None) -> Callable[[Ids, Kept], str]:
    """The place as a person calls it, and then `rest`. The ground's project has a name of its own."""

    def path(at: Ids, made: Kept) -> str:
        return "/".join([at["projectName"], "production", "cache", *([rest(made)] if rest else [])])

    return path


CASES: tuple[Case, ...] = (
    Case(
        "Project",
        lambda at: {"name": "life-" + at["projectId"][-8:]},
        imports=(own_id, lambda at, made: str(made.inputs["name"])),
        changed={"name": "life-renamed"},
        service=False,
        creates="projectCreate",
        mutations=("projectCreate",),
    ),
    Case(
        "Environment",
        lambda at: {"projectId": at["projectId"], "name": "staging"},
        imports=(own_id, lambda at, made: f"{at['projectName']}/staging"),
        changed={"name": "rehearsal"},
        service=False,
        creates="environmentCreate",
        mutations=("environmentCreate",),
    ),
    Case(
        "Service",
        lambda at: {
            "projectId": at["projectId"],
            "environmentId": at["environmentId"],
            "name": "life",
            "image": "valkey/valkey:8-alpine",
            "startCommand": "valkey-server",
            "multiRegionConfig": {"us-west2": 1},
            "restartPolicyType": "ALWAYS",
            "restartPolicyMaxRetries": 3,
            "healthcheckPath": "/ready",
            "cronSchedule": "0 3 * * *",
            "vcpus": 2,
            "memoryGb": 1.5,
            "variables": {"A": Secret("one"), "B": "${{shared.X}}"},
        },
        imports=(
            own_id,
            lambda at, made: f"{at['projectId']}/{at['environmentId']}/life",
            lambda at, made: f"{at['projectName']}/production/life",
        ),
        changed={
            "healthcheckPath": "/health",
            "multiRegionConfig": {"us-west2": 2},
            "vcpus": 1,
            "variables": {"A": Secret("two"), "C": "three"},
        },
        paths=("healthcheckPath", "multiRegionConfig.us-west2", "variables.A", "variables.B", "variables.C", "vcpus"),
        service=False,
        creates="serviceCreate",
        mutations=("serviceCreate", "environmentStageChanges", "environmentPatchCommitStaged"),
    ),
    Case(
        "Variables",
        lambda at: {**service_place(at), "variables": {"A": Secret("one"), "B": "${{shared.X}}"}},
        imports=(place_path, named()),
        changed={"variables": {"A": Secret("two"), "C": "three"}},
        paths=("variables.A", "variables.B", "variables.C"),
        mutations=("environmentStageChanges", "environmentPatchCommitStaged"),
    ),
    Case(
        "Variable",
        lambda at: {**service_place(at), "name": "ONE", "value": Secret("one"), "sealed": False},
        imports=(lambda at, made: f"{place_path(at, made)}/ONE", named(lambda made: "ONE")),
        changed={"value": Secret("two")},
        mutations=("environmentStageChanges", "environmentPatchCommitStaged"),
    ),
    Case(
        "SharedVariables",
        lambda at: {"projectId": at["projectId"], "environmentId": at["environmentId"], "variables": {"S": Secret("one")}},
        imports=(lambda at, made: f"{at['projectId']}/{at['environmentId']}", lambda at, made: f"{at['projectName']}/production"),
        changed={"variables": {"S": Secret("two"), "T": "three"}},
        paths=("variables.S", "variables.T"),
        service=False,
        mutations=("environmentStageChanges", "environmentPatchCommitStaged"),
    ),
    Case(
        "ServiceDomain",
        lambda at: {**service_place(at), "targetPort": 8080},
        imports=(path_of("projectId", "environmentId", "serviceId"), named(lambda made: str(made.outputs["domain"]))),
        changed={"targetPort": 8081},
        creates="serviceDomainCreate",
        mutations=("serviceDomainCreate",),
    ),
    Case(
        "CustomDomain",
        lambda at: {**service_place(at), "domain": f"api.{at['serviceId'][-8:]}.example.com", "targetPort": 8080},
        imports=(
            path_of("projectId", "environmentId", "serviceId"),
            lambda at, made: f"{place_path(at, made)}/{made.inputs['domain']}",
        ),
        changed={"targetPort": 8081},
        creates="customDomainCreate",
        mutations=("customDomainCreate",),
    ),
    Case(
        "TcpProxy",
        lambda at: {**service_place(at), "applicationPort": 6379},
        imports=(
            path_of("projectId", "environmentId", "serviceId"),
            lambda at, made: f"{place_path(at, made)}/6379",
            named(lambda made: "6379"),
        ),
        creates="environmentPatchCommitStaged",
        mutations=("environmentStageChanges", "environmentPatchCommitStaged"),
    ),
    Case(
        "ProjectToken",
        lambda at: {"projectId": at["projectId"], "environmentId": at["environmentId"], "name": "life"},
        imports=(path_of("projectId"), lambda at, made: f"{at['projectName']}/life"),
        service=False,
        mutations=("projectTokenCreate",),
    ),
    Case(
        "PrivateNetworkEndpoint",
        lambda at: {**service_place(at), "dnsName": "inner"},
        imports=(place_path, named()),
        changed={"dnsName": "elsewhere"},
        mutations=("privateNetworkEndpointRename",),
    ),
    Case(
        "EgressGateway",
        lambda at: {**service_place(at), "region": "us-west2"},
        imports=(place_path, named()),
        creates="egressGatewayAssociationCreate",
        mutations=("egressGatewayAssociationCreate",),
    ),
    Case(
        "ServiceCdn",
        lambda at: {**service_place(at), "defaultTtlSeconds": 7200, "htmlCaching": "never"},
        imports=(place_path, named()),
        changed={"defaultTtlSeconds": 14_400, "htmlCaching": "force"},
        before=with_domain,
        creates="enableServiceCdn",
        mutations=("enableServiceCdn",),
    ),
    Case(
        "Volume",
        lambda at: {**service_place(at), "mountPath": "/data", "region": "us-west2", "backupSchedules": ["WEEKLY", "DAILY"]},
        imports=(path_of("projectId", "environmentId"),),
        changed={"mountPath": "/elsewhere", "backupSchedules": ["MONTHLY"]},
        paths=("backupSchedules", "mountPath"),
        creates="volumeCreate",
        mutations=("volumeCreate", "volumeInstanceBackupScheduleUpdate"),
    ),
    Case(
        "VolumeBackup",
        lambda at: {"volumeInstanceId": at["volumeInstanceId"], "name": "before"},
        imports=(
            lambda at, made: f"{at['volumeInstanceId']}/{made.identity}",
            lambda at, made: f"{at['volumeInstanceId']}/before",
        ),
        before=with_volume,
        creates="volumeInstanceBackupCreate",
        mutations=("volumeInstanceBackupCreate",),
    ),
    Case(
        "VolumeRestore",
        lambda at: {"volumeInstanceId": at["volumeInstanceId"], "backupId": at["backupId"]},
        imports=(),
        changed={"triggers": {"again": "1"}},
        untold=("triggers",),
        before=with_backup,
        mutations=("volumeInstanceBackupRestore",),
    ),
    Case(
        "Deployment",
        service_place,
        imports=(place_path, named()),
        changed={"triggers": {"version": "2"}},
        untold=("triggers",),
        before=with_password,
        creates="serviceInstanceDeployV2",
        mutations=("serviceInstanceDeployV2",),
    ),
)


async def made(ground: Ground, case: Case) -> tuple[Ids, Kept]:
    at = await place(ground, case)
    return at, await ground.driver.create(case.kind, "life", **case.inputs(at))


async def place(ground: Ground, case: Case) -> Ids:
    at: Ids = {**ground.at, "projectName": str(ground.project.inputs["name"])}
    if case.service:
        service, _ = await ground.service()
        at = {**at, "serviceId": service.identity}
    return await case.before(ground, at)


async def settled(driver: Driver, kept: Kept, inputs: Mapping[str, Any]) -> None:
    """Up changes nothing, refresh finds nothing, and up after it changes nothing: not even what the state holds."""
    assert await driver.up(kept, **inputs) == []
    before = kept.identity, plain(kept.inputs), plain(kept.outputs)
    assert await driver.refresh(kept)
    assert (kept.identity, plain(kept.inputs), plain(kept.outputs)) == before, "a refresh found a change that nobody made"
    assert await driver.up(kept, **inputs) == []


async def settles_and_changes_in_place(ground: Ground, case: Case) -> None:
    at, kept = await made(ground, case)
    inputs = case.inputs(at)
    await settled(ground.driver, kept, inputs)
    if case.changed:
        identity = kept.identity
        assert tuple(await ground.driver.up(kept, **{**inputs, **case.changed})) == (case.paths or tuple(sorted(case.changed)))
        assert kept.identity == identity
        await settled(ground.driver, kept, {**inputs, **case.changed})
    await gone_twice(ground.driver, kept)


async def gone_twice(driver: Driver, kept: Kept) -> None:
    """A destroy that was interrupted must be able to go on."""
    await driver.delete(kept)
    await driver.delete(kept)


async def drift_is_seen_and_repaired(ground: Ground, case: Case) -> None:
    """Somebody else changes it: a refresh shows that, and the next up puts it back."""
    if not case.changed or case.untold:
        return
    at, kept = await made(ground, case)
    inputs = case.inputs(at)
    elsewhere = copy.deepcopy(kept)
    await ground.driver.up(elsewhere, **{**inputs, **case.changed})
    assert await ground.driver.refresh(kept)
    assert tuple(await ground.driver.up(kept, **inputs)) == (case.paths or tuple(sorted(case.changed)))
    await settled(ground.driver, kept, inputs)


async def imported_by_each_name(ground: Ground, case: Case) -> None:
    """`pulumi import`, and then up with the program that the user has written for it: nothing to do."""
    at, kept = await made(ground, case)
    for name in case.imports:
        found = Kept(kept.urn, name(at, kept))
        assert await ground.driver.refresh(found), found.identity
        assert found.identity == kept.identity
        assert await ground.driver.up(found, **case.inputs(at)) == []
        assert await ground.driver.refresh(found)  # what only the import told leaves the state, and is missed by nobody
        await settled(ground.driver, found, case.inputs(at))


Law = Callable[[Ground, Case], Awaitable[None]]
LAWS: tuple[Law, ...] = (settles_and_changes_in_place, drift_is_seen_and_repaired, imported_by_each_name)


async def whole_life(endpoint: str, token: str, case: Case) -> None:
    """Every law, each on ground of its own."""
    for law in LAWS:
        async with ground_at(endpoint, token) as ground:
            await law(ground, case)
