"""Any order of operations over the GraphQL API leaves the local cloud where a plain model says it should be.

In process: the real schema, resolvers, world and conductor over a plane that only records. After each step every worker has
ended, so deployments are compared as settled; now and then the whole control side is started anew over what it had stored.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from infra.localcloud.conducting.store import Store
from infra.localcloud.world.model import World
from tests.localcloud.control.harness import ApiError, Harness, running
from tests.localcloud.control.model_of_the_cloud import CACHE_IMAGE, SHARED, Environment, Model, Place, Service, Volume
from tests.localcloud.control.recording_plane import RecordingPlane

NAMES = st.sampled_from(["A", "B", "S"])
VALUES = st.sampled_from(["1", "2", SHARED])
SHARED_VALUES = st.sampled_from(["1", "2"])
NOTHING = "00000000-0000-4000-8000-000000000000"
RECENT = 10
LINGER_S, GRACE_S = 60.0, 48 * 3600.0
IMAGES = (CACHE_IMAGE, CACHE_IMAGE, "nginx", None)
DELETIONS = (
    "projectDelete(id: $i)", "environmentDelete(id: $i)", "serviceDelete(id: $i)", "deploymentRemove(id: $i)",
    "serviceDomainDelete(id: $i)", "volumeDelete(volumeId: $i)",
)  # fmt: skip

EVERYTHING = """{ projects(first: 100) { edges { node { id name deletedAt
    environments(first: 100) { edges { node { id name
        serviceInstances(first: 100) { edges { node { serviceId } } }
        volumeInstances(first: 100) { edges { node { volumeId serviceId mountPath isPendingDeletion deletedAt } } } } } }
    services(first: 100) { edges { node { id name } } }
    volumes(first: 100) { edges { node { id } } } } } } }"""


OF_A_SERVICE = """query ($p: String!, $e: String!, $s: String!, $n: Int!) {
    variables(projectId: $p, environmentId: $e, serviceId: $s, unrendered: true)
    domains(projectId: $p, environmentId: $e, serviceId: $s) { serviceDomains { id targetPort deletedAt } }
    deployments(input: {environmentId: $e, serviceId: $s}, first: $n) { edges { node { status } } } }"""
OF_AN_ENVIRONMENT = """query ($p: String!, $e: String!) {
    variables(projectId: $p, environmentId: $e)
    environmentStagedChanges(environmentId: $e) { patch(decryptVariables: true) } }"""


class MemoryStore(Store):
    """What a file would hold, without the disk: encoded, so that a restart reads what was written and nothing else."""

    def __init__(self) -> None:
        super().__init__(Path("/nowhere"))
        self.content = msgspec.json.encode(World())

    def read(self) -> World:
        return msgspec.json.decode(self.content, type=World)

    def write(self, world: World) -> None:
        self.content = msgspec.json.encode(world)


def nodes(connection: dict[str, Any]) -> list[dict[str, Any]]:
    return [edge["node"] for edge in connection["edges"]]


class CloudMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.store, self.plane, self.model = MemoryStore(), RecordingPlane(), Model()
        self.is_lingering = False
        self.start()

    # the cloud's life

    def start(self) -> None:
        ready: asyncio.Future[Harness] = self.loop.create_future()
        self.closing = asyncio.Event()

        async def hold() -> None:
            async with running(Path(self.folder.name), self.plane, self.store) as harness:
                ready.set_result(harness)
                await self.closing.wait()

        self.holding = self.loop.create_task(hold())
        self.cloud = self.do(ready)
        self.settle()

    def stop(self) -> None:
        self.closing.set()
        self.do(self.holding)

    def teardown(self) -> None:
        self.stop()
        self.loop.close()
        self.folder.cleanup()

    def do(self, work: Any) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(work, 30))

    def settle(self) -> None:
        conductor = self.cloud.conductor

        def is_settled() -> bool:
            has_ended = self.is_lingering or not self.cloud.world.endings
            return conductor.workers.is_idle and not conductor.is_restoring and has_ended

        if not is_settled():
            self.do(self.cloud.until(is_settled))
        if not self.is_lingering:
            self.model.departed.clear()

    def ask(self, query: str, **variables: Any) -> Any:
        (value,) = self.do(self.cloud.gql(query, **variables)).values()
        self.settle()
        return value

    def refused(self, query: str, **variables: Any) -> str:
        """The message; and nothing has changed."""
        before = self.cloud.world
        try:
            self.ask(query, **variables)
        except ApiError as refusal:
            assert self.cloud.world == before
            return str(refusal)
        raise AssertionError(f"expected a refusal of {query}")

    def pick(self, data: st.DataObject, among: Any) -> Any:
        """By age, not by id: ids are random, and the same draws must mean the same story."""
        return data.draw(st.sampled_from(list(among)))

    # projects and environments

    @initialize()
    def begin(self) -> None:
        """Not from nothing: most steps should find something to work on."""
        self.create_project()
        (production,) = self.model.environments
        self.add_service("web", CACHE_IMAGE, {"A": SHARED})
        self.add_service("worker", None, {})
        self.add_environment(production, "staging", is_fork=True)
        for place in list(self.model.variables)[1:3]:  # one that is mounted, and one that is not
            self.add_volume(place, is_mounted=place[1] == production)

    def project_of(self, environment: str) -> str:
        return self.model.environments[environment].project

    @precondition(lambda self: len(self.model.projects) < 3)
    @rule()
    def create_project(self) -> None:
        made = self.ask('mutation { projectCreate(input: {name: "demo"}) { id baseEnvironmentId } }')
        self.model.projects[made["id"]] = "demo"
        self.model.environments[made["baseEnvironmentId"]] = Environment(made["id"], "production")

    @rule(data=st.data())
    @precondition(lambda self: len(self.model.projects) > 1)
    def delete_project(self, data: st.DataObject) -> None:
        project = self.pick(data, self.model.projects)
        assert self.ask("mutation ($i: String!) { projectDelete(id: $i) }", i=project)
        self.model.remove_project(project)

    @rule(data=st.data(), name=st.sampled_from(["staging", "preview"]), is_fork=st.booleans())
    def create_environment(self, data: st.DataObject, name: str, is_fork: bool) -> None:
        self.add_environment(self.pick(data, self.model.environments), name, is_fork=is_fork)

    def add_environment(self, source: str, name: str, *, is_fork: bool) -> None:
        project = self.project_of(source)
        query = "mutation ($i: EnvironmentCreateInput!) { environmentCreate(input: $i) { id } }"
        asked = {"projectId": project, "name": name, **({"sourceEnvironmentId": source} if is_fork else {})}
        if any(self.model.environments[one].name == name for one in self.model.environments_of(project)):
            assert "already exists" in self.refused(query, i=asked)
            return
        self.model.fork(self.ask(query, i=asked)["id"], project, name, source if is_fork else None)

    @rule(data=st.data())
    def delete_environment(self, data: st.DataObject) -> None:
        environment = self.pick(data, self.model.environments)
        query = "mutation ($i: String!) { environmentDelete(id: $i) }"
        if len(self.model.environments_of(self.model.environments[environment].project)) == 1:
            assert "last environment" in self.refused(query, i=environment)
            return
        assert self.ask(query, i=environment)
        self.model.remove_environment(environment)

    # services

    @rule(data=st.data(), name=st.sampled_from(["cache", "web"]), image=st.sampled_from(IMAGES),
          variables=st.dictionaries(NAMES, VALUES, max_size=2))  # fmt: skip
    def create_service(self, data: st.DataObject, name: str, image: str | None, variables: dict[str, str]) -> None:
        self.add_service(name, image, variables, self.pick(data, self.model.projects))

    def add_service(self, name: str, image: str | None, variables: dict[str, str], project: str | None = None) -> None:
        project = project or next(iter(self.model.projects))
        query = "mutation ($i: ServiceCreateInput!) { serviceCreate(input: $i) { id } }"
        source = {"source": {"image": image}} if image else {}
        asked = {"projectId": project, "name": name, "variables": variables, **source}
        if any((found.project, found.name) == (project, name) for found in self.model.services.values()):
            assert "already exists" in self.refused(query, i=asked)
            return
        self.model.add_service(self.ask(query, i=asked)["id"], Service(project, name, image), variables)

    @rule(data=st.data())
    @precondition(lambda self: len(self.model.services) > 1)
    def delete_service(self, data: st.DataObject) -> None:
        service = self.pick(data, self.model.services)
        assert self.ask("mutation ($i: String!) { serviceDelete(id: $i) }", i=service)
        self.model.remove_service(service)

    # variables

    def place(self, data: st.DataObject) -> Place:
        place: Place = self.pick(data, self.model.variables)
        return place

    def target(self, data: st.DataObject, is_shared: bool) -> tuple[str, str | None, dict[str, str]]:
        """(environment, service or None, variables now)."""
        if is_shared:
            environment = self.pick(data, self.model.environments)
            return environment, None, self.model.environments[environment].shared
        service, environment = self.place(data)
        return environment, service, self.model.variables[service, environment]

    @rule(data=st.data(), is_shared=st.booleans(), is_replacing=st.booleans(), is_skipping=st.booleans())
    @precondition(lambda self: self.model.variables)
    def upsert_variables(self, data: st.DataObject, is_shared: bool, is_replacing: bool, is_skipping: bool) -> None:
        environment, service, before = self.target(data, is_shared)
        values = data.draw(st.dictionaries(NAMES, SHARED_VALUES if is_shared else VALUES, max_size=2))
        asked = {
            "projectId": self.model.environments[environment].project, "environmentId": environment, "serviceId": service,
            "variables": values, "replace": is_replacing, "skipDeploys": is_skipping,
        }  # fmt: skip
        assert self.ask("mutation ($i: VariableCollectionUpsertInput!) { variableCollectionUpsert(input: $i) }", i=asked)
        after = values if is_replacing else {**before, **values}
        self.model.set_variables(environment, service, dict(after), is_deploying=not is_skipping)

    @rule(data=st.data(), is_shared=st.booleans(), name=NAMES)
    @precondition(lambda self: self.model.variables)
    def delete_variable(self, data: st.DataObject, is_shared: bool, name: str) -> None:
        environment, service, before = self.target(data, is_shared)
        asked = {"projectId": self.model.environments[environment].project, "environmentId": environment, "serviceId": service}
        self.ask("mutation ($i: VariableDeleteInput!) { variableDelete(input: $i) }", i={**asked, "name": name})
        after = {key: value for key, value in before.items() if key != name}
        self.model.set_variables(environment, service, after, is_deploying=True)

    # deployments

    @rule(data=st.data())
    @precondition(lambda self: self.model.variables)
    def deploy(self, data: st.DataObject) -> None:
        place = self.place(data)
        query = "mutation ($s: String!, $e: String!) { serviceInstanceDeployV2(serviceId: $s, environmentId: $e) }"
        self.ask(query, s=place[0], e=place[1])
        self.model.deploy(place)

    @rule(data=st.data(), number=st.integers(0, RECENT - 1), what=st.sampled_from(["Remove", "Rollback"]))
    @precondition(lambda self: any(self.model.deployments.values()))
    def change_deployment(self, data: st.DataObject, number: int, what: str) -> None:
        place = self.pick(data, [place for place, found in self.model.deployments.items() if found])
        seen = self.shown_deployments(place)
        number = number % len(seen)  # 0 is the newest
        found = self.model.deployments[place][-1 - number]
        query = f"mutation ($i: String!) {{ deployment{what}(id: $i) }}"
        if what == "Remove":
            self.ask(query, i=seen[number][0])
            found.status = "REMOVED" if found.status == "SUCCESS" else found.status
        elif found.status == "REMOVED" and found.has_served:
            self.ask(query, i=seen[number][0])
            self.model.variables[place] = dict(found.variables)
            self.model.deploy(place, found.variables)
        else:
            assert "cannot be rolled back" in self.refused(query, i=seen[number][0])

    # domains and volumes

    @rule(data=st.data(), port=st.sampled_from([None, 80, 8080]))
    @precondition(lambda self: self.model.variables and len(self.model.domains) < 5)
    def create_domain(self, data: st.DataObject, port: int | None) -> None:
        place = self.place(data)
        query = "mutation ($i: ServiceDomainCreateInput!) { serviceDomainCreate(input: $i) { id } }"
        made = self.ask(query, i={"serviceId": place[0], "environmentId": place[1], "targetPort": port})
        self.model.domains[made["id"]] = (place, port)

    @rule(data=st.data())
    @precondition(lambda self: self.model.domains)
    def delete_domain(self, data: st.DataObject) -> None:
        domain = self.pick(data, self.model.domains)
        assert self.ask("mutation ($i: String!) { serviceDomainDelete(id: $i) }", i=domain)
        del self.model.domains[domain]

    @rule(data=st.data(), is_mounted=st.booleans(), mount_path=st.sampled_from(["/data", "data"]))
    @precondition(lambda self: self.model.variables)
    def create_volume(self, data: st.DataObject, is_mounted: bool, mount_path: str) -> None:
        self.add_volume(self.place(data), is_mounted=is_mounted, mount_path=mount_path)

    def add_volume(self, place: Place, *, is_mounted: bool, mount_path: str = "/data") -> None:
        service, environment = place
        query = "mutation ($i: VolumeCreateInput!) { volumeCreate(input: $i) { id } }"
        asked = {"projectId": self.project_of(environment), "environmentId": environment, "mountPath": mount_path}
        asked |= {"serviceId": service} if is_mounted else {}
        if mount_path != "/data" or (is_mounted and self.model.volume_of(place) is not None):
            self.refused(query, i=asked)
            return
        made = self.ask(query, i=asked)["id"]
        self.model.volumes[made] = Volume(self.project_of(environment), environment, service if is_mounted else None, mount_path)

    @rule(data=st.data())
    @precondition(lambda self: self.model.volumes)
    def delete_volume(self, data: st.DataObject) -> None:
        volume = self.pick(data, self.model.volumes)
        assert self.ask("mutation ($i: String!) { volumeDelete(volumeId: $i) }", i=volume)
        self.model.volumes[volume].is_pending = True

    # deletions that take their time

    @rule(data=st.data())
    @precondition(lambda self: len(self.model.projects) > len(self.model.scheduled) + 1)
    def schedule_project(self, data: st.DataObject) -> None:
        project = self.pick(data, self.model.projects)
        assert self.ask("mutation ($i: String!) { projectScheduleDelete(id: $i) }", i=project)
        self.model.scheduled.add(project)

    @rule(data=st.data(), what=st.sampled_from(["Cancel", "Force"]))
    def call_off_or_hasten(self, data: st.DataObject, what: str) -> None:
        project = self.pick(data, self.model.projects)
        query = f"mutation ($i: String!) {{ projectScheduleDelete{what}(id: $i) }}"
        if project not in self.model.scheduled:
            assert "not scheduled" in self.refused(query, i=project)
        elif what == "Cancel":
            assert self.ask(query, i=project)
            self.model.scheduled.discard(project)
        elif len(self.model.projects) > 1:
            assert self.ask(query, i=project)
            self.model.remove_project(project)
            self.settle()

    @rule()
    @precondition(lambda self: len(self.model.projects) > len(self.model.scheduled))
    def let_the_grace_pass(self) -> None:
        self.cloud.keeper.clock.advance(GRACE_S)
        self.model.pass_grace()
        self.do(self.cloud.until(lambda: self.cloud.world.projects.keys() == self.model.projects.keys()))
        self.do(self.cloud.until(lambda: self.cloud.world.volumes.keys() == self.model.volumes.keys()))
        if self.is_lingering:  # what the grace ended lingers on, what was deleted before it has gone
            self.let_deletions_end()
        self.settle()

    @rule()
    @precondition(lambda self: not self.is_lingering)
    def let_deletions_linger(self) -> None:
        self.is_lingering = True
        self.cloud.conductor.deletions.linger_s = LINGER_S

    @rule()
    @precondition(lambda self: self.is_lingering)
    def let_deletions_end(self) -> None:
        self.cloud.conductor.deletions.linger_s = 0.0
        self.is_lingering = False
        self.cloud.keeper.clock.advance(LINGER_S)
        departed = dict(self.model.departed)
        self.settle()
        for key, kind in departed.items():
            assert "not found" in self.refused(f"query ($i: String!) {{ {kind}(id: $i) {{ id }} }}", i=key)

    @invariant()
    def what_is_deleted_and_not_gone_is_shown_as_deleted(self) -> None:
        for key, kind in self.model.departed.items():
            shown = self.ask(f"query ($i: String!) {{ {kind}(id: $i) {{ id deletedAt }} }}", i=key)
            assert shown["deletedAt"] is not None

    # staged changes

    @rule(data=st.data(), is_shared=st.booleans(), is_merging=st.booleans(), name=NAMES)
    @precondition(lambda self: self.model.variables)
    def stage(self, data: st.DataObject, is_shared: bool, is_merging: bool, name: str) -> None:
        environment, service, _ = self.target(data, is_shared)
        value = data.draw(st.one_of(st.none(), SHARED_VALUES if is_shared else VALUES))
        given = {name: None if value is None else {"value": value}}
        patch = {"sharedVariables": given} if service is None else {"services": {service: {"variables": given}}}
        query = """mutation ($e: String!, $i: EnvironmentConfig!, $m: Boolean) {
            environmentStageChanges(environmentId: $e, input: $i, merge: $m) { id } }"""
        staged = self.model.environments[environment].staged
        if is_merging and any(one and (one, environment) not in self.model.variables for one in staged):
            assert "ServiceInstance not found" in self.refused(query, e=environment, i=patch, m=True)
            return
        self.ask(query, e=environment, i=patch, m=is_merging)
        if not is_merging:
            staged.clear()
        staged.setdefault(service or "", {})[name] = value

    @rule(data=st.data())
    def commit(self, data: st.DataObject) -> None:
        environment = self.pick(data, self.model.environments)
        query = "mutation ($e: String!) { environmentPatchCommitStaged(environmentId: $e) }"
        if not self.model.environments[environment].staged:
            assert "No staged changes" in self.refused(query, e=environment)
        elif self.model.commit(environment):
            self.ask(query, e=environment)
        else:  # the reason is recorded, so something has changed
            with pytest.raises(ApiError, match="not found"):
                self.ask(query, e=environment)

    # anything else

    @rule(kind=st.sampled_from(DELETIONS))
    def touch_what_is_not_there(self, kind: str) -> None:
        assert "not found" in self.refused(f"mutation ($i: String!) {{ {kind} }}", i=NOTHING)

    @rule()
    def restart(self) -> None:
        """What was on its way out is ended by the next start, however long it should have been shown."""
        self.stop()
        self.plane.running.clear()
        self.is_lingering = False
        self.start()

    # what must hold

    def shown_deployments(self, place: Place) -> list[tuple[str, str]]:
        """(id, status), newest first."""
        query = """query ($i: DeploymentListInput!, $n: Int!) {
            deployments(input: $i, first: $n) { edges { node { id status } } } }"""
        found = self.ask(query, i={"serviceId": place[0], "environmentId": place[1]}, n=RECENT)
        return [(node["id"], node["status"]) for node in nodes(found)]

    @invariant()
    def everything_is_as_the_model_says(self) -> None:
        model, shown = self.model, nodes(self.ask(EVERYTHING))
        assert {one["id"]: one["name"] for one in shown} == model.projects
        assert {one["id"] for one in shown if one["deletedAt"]} == model.scheduled
        environments = {node["id"]: (one["id"], node) for one in shown for node in nodes(one["environments"])}
        assert {key: (project, node["name"]) for key, (project, node) in environments.items()} == {
            key: (found.project, found.name) for key, found in model.environments.items()
        }
        assert {(node["id"], one["id"], node["name"]) for one in shown for node in nodes(one["services"])} == {
            (key, found.project, found.name) for key, found in model.services.items()
        }
        instances = {
            (node["serviceId"], key) for key, (_, found) in environments.items() for node in nodes(found["serviceInstances"])
        }
        assert instances == set(model.variables)
        assert {(node["id"], one["id"]) for one in shown for node in nodes(one["volumes"])} == {
            (key, found.project) for key, found in model.volumes.items() if not found.is_pending
        }
        mounted = {
            (node["volumeId"], key, node["serviceId"], node["mountPath"], node["isPendingDeletion"])
            for key, (_, found) in environments.items()
            for node in nodes(found["volumeInstances"])
        }
        assert mounted == {
            (key, one.environment, one.service, one.mount_path, one.is_pending) for key, one in model.volumes.items()
        }

    def is_staying(self, shown: dict[str, Any]) -> bool:
        assert shown["deletedAt"] is None or self.is_lingering
        return shown["deletedAt"] is None

    @invariant()
    def so_is_what_hangs_on_each_service_and_environment(self) -> None:
        model = self.model
        for place, expected in model.variables.items():
            where = {"p": self.project_of(place[1]), "e": place[1], "s": place[0]}
            shown = self.do(self.cloud.gql(OF_A_SERVICE, **where, n=RECENT))
            assert shown["variables"] == expected
            leading = [one for one in shown["domains"]["serviceDomains"] if self.is_staying(one)]
            found = {one["id"]: one["targetPort"] for one in leading}
            assert found == {key: port for key, (owner, port) in model.domains.items() if owner == place}
            statuses = [node["status"] for node in nodes(shown["deployments"])]
            assert statuses == [one.status for one in reversed(model.deployments[place][-RECENT:])]
        for environment, kept in model.environments.items():
            shown = self.do(self.cloud.gql(OF_AN_ENVIRONMENT, p=kept.project, e=environment))
            assert shown["variables"] == kept.shared
            assert bool(shown["environmentStagedChanges"]["patch"]) == bool(kept.staged)

    @invariant()
    def nothing_refers_to_what_is_not_there(self) -> None:
        """Also inside, where the API does not look; and a file would bring back exactly this world."""
        world = self.cloud.world
        assert msgspec.json.decode(msgspec.json.encode(world), type=World) == world
        for instance in world.instances.values():
            assert {instance.environment_id} <= world.environments.keys()
            assert {instance.service_id} <= world.services.keys()
            assert instance.active_deployment_id is None or instance.active_deployment_id in world.deployments
        for deployment in world.deployments.values():
            assert deployment.instance_id in world.instances
        for mounted in world.volume_instances.values():
            assert {mounted.volume_id} <= world.volumes.keys()
            assert {mounted.environment_id} <= world.environments.keys()
        assert {key.partition("/")[0] for key in world.variables} <= world.environments.keys()
        assert {patch.environment_id for patch in world.patches.values()} <= world.environments.keys()
        running_keys = {
            replica.key for one in world.deployments.values() for replica in one.replicas if replica.status == "RUNNING"
        }
        assert running_keys == set(self.plane.running), "a process for each replica that runs, and no other"


TestCloud = CloudMachine.TestCase
TestCloud.settings = settings(
    max_examples=8,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
