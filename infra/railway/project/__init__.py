"""A Railway project: the folder that environments and services live in."""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct

from infra.provider.definition import Call, Found, Made, Recorded, Resource
from infra.provider.errors import Conflict, HalfMade, ProviderError
from infra.provider.fields import Field, Output
from infra.provider.waiting import until
from infra.railway.client import Data, RailwayClient, nodes, only
from infra.railway.departure import is_gone, is_to_come
from infra.railway.names import ID, PROJECT_NAME
from infra.railway.operations import load
from infra.railway.removal import remove

CREATE = load(__file__, "create.graphql")
READ = load(__file__, "read.graphql")
LIST = load(__file__, "list.graphql")
UPDATE = load(__file__, "update.graphql")
DELETE = load(__file__, "delete.graphql")

ENVIRONMENT_DEADLINE_S = 60.0


class ProjectInputs(Struct, frozen=True, rename="camel"):
    name: str
    workspace_id: str | None = None


class Project(Resource[RailwayClient, ProjectInputs]):
    """A project. Its first environment comes with it."""

    resource_type: ClassVar = "railway:index:Project"
    collection: ClassVar = "projects"
    inputs_type: ClassVar = ProjectInputs
    fields: ClassVar = (
        Field("name", PROJECT_NAME, is_required=True),
        Field("workspaceId", ID, replaces=True, is_kept_when_absent=True),
    )
    outputs: ClassVar = (Output("defaultEnvironmentId"),)

    async def create(self, call: Call[RailwayClient], inputs: ProjectInputs) -> Made:
        before = await _ids_named(call, inputs)

        async def settled() -> Data | None:
            # Names are not unique: ours is the one that was not there before.
            fresh = only([{"id": each} for each in await _ids_named(call, inputs) - before])
            if fresh is None:
                return None
            found = await call.client.query(READ, id=fresh["id"])
            return {"projectCreate": found["project"]}

        wanted = {"name": inputs.name}
        if inputs.workspace_id is not None:
            wanted["workspaceId"] = inputs.workspace_id
        made = (await call.client.mutate(CREATE, {"input": wanted}, settled))["projectCreate"]
        return await _with_environment(call, made)

    async def read(self, call: Call[RailwayClient], recorded: Recorded[ProjectInputs]) -> Found | None:
        project = await _project(call, recorded.identity)
        if project is None and recorded.inputs is None:
            project = await _project_named(call, recorded.identity)
        if project is None:
            return None
        inputs = {"name": project["name"]}
        if recorded.inputs is None or recorded.inputs.workspace_id is not None:
            inputs["workspaceId"] = project["workspaceId"]
        known = str(recorded.outputs.get("defaultEnvironmentId") or "")
        environment_ids = [each["id"] for each in nodes(project["environments"])]
        chosen = known if known in environment_ids else _first_environment(project)
        at = str(project.get("deletedAt"))
        unwell = (_scheduled(project["id"], at),) if is_to_come(at) else ()
        return Found(project["id"], inputs, {"defaultEnvironmentId": chosen}, unwell)

    async def update(self, call: Call[RailwayClient], recorded: Recorded[ProjectInputs], inputs: ProjectInputs) -> Made:
        async def settled() -> Data | None:
            project = await _project(call, recorded.identity)
            return {"projectUpdate": project} if project and project["name"] == inputs.name else None

        project = await _project(call, recorded.identity)
        if project is not None and is_to_come(project.get("deletedAt")):
            raise Conflict(_scheduled(recorded.identity, project["deletedAt"]))
        await call.client.mutate(UPDATE, {"id": recorded.identity, "input": {"name": inputs.name}}, settled)
        known = recorded.outputs.get("defaultEnvironmentId")
        if known:
            return Made(recorded.identity, {"defaultEnvironmentId": known})
        return await _with_environment(call, {"id": recorded.identity})

    async def delete(self, call: Call[RailwayClient], recorded: Recorded[ProjectInputs]) -> None:
        async def gone() -> Data | None:
            project = await _project(call, recorded.identity)
            return {} if project is None or project.get("deletedAt") else None

        await remove(call, DELETE, {"id": recorded.identity}, gone, f"project {recorded.identity}")


def _scheduled(identity: str, at: str) -> str:
    return (
        f"project {identity}: somebody has scheduled its deletion for {at}; "
        "cancel that in Railway's dashboard and run `up` again, or run `destroy`"
    )


async def _project(call: Call[RailwayClient], identity: str) -> Data | None:
    answer = await call.client.query_or_none(READ, id=identity)
    project: Data | None = (answer or {}).get("project")
    return None if project is None or is_gone(project) else project


async def _project_named(call: Call[RailwayClient], name: str) -> Data | None:
    """For an import. Names are not unique: of two nobody knows which is meant."""
    found = only([{"id": each} for each in await _ids_named(call, ProjectInputs(name))])
    return await _project(call, found["id"]) if found else None


async def _ids_named(call: Call[RailwayClient], inputs: ProjectInputs) -> set[str]:
    found = await call.client.query(LIST, workspaceId=inputs.workspace_id)
    return {each["id"] for each in nodes(found["projects"]) if each["name"] == inputs.name}


async def _with_environment(call: Call[RailwayClient], project: Data) -> Made:
    """The project as made, once its first environment is there; it may follow by a moment."""
    identity = project["id"]

    async def first() -> str | None:
        found = await _project(call, identity)
        return (_first_environment(found) or None) if found else None

    try:
        environment_id = _first_environment(project) or await until(
            call, first, deadline_s=ENVIRONMENT_DEADLINE_S, what=f"first environment of project {identity}"
        )
    except ProviderError as error:
        reason = f"project {identity} was made, but has no environment yet: {error}; run `up` again"
        raise HalfMade(identity, {}, (reason,)) from error
    return Made(identity, {"defaultEnvironmentId": environment_id})


def _first_environment(project: Data) -> str:
    """Railway names the first one production; a workspace may name it otherwise."""
    environments = nodes(project.get("environments"))
    named = [each["id"] for each in environments if each["name"] == "production"]
    every = named or [each["id"] for each in environments]
    return str(every[0]) if every else ""
