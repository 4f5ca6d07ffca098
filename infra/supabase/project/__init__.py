"""A Supabase project: a primary database, Auth and Storage.

Creating one takes minutes. It is kept as half made as soon as it has a ref, so that a creation that does not get healthy in
time is finished, not repeated, by the next `up`.
"""

from __future__ import annotations

from typing import Any, ClassVar

from msgspec import Struct

from infra.provider.definition import Call, Found, Made, Recorded, Resource
from infra.provider.errors import HalfMade, InvalidInput, NotFound, ProviderError, RemoteFault
from infra.provider.fields import Field, Output
from infra.provider.waiting import until
from infra.supabase.addresses import ref_of
from infra.supabase.client import SupabaseClient
from infra.supabase.names import INSTANCE_SIZE, ORGANIZATION_ID, PASSWORD, PROJECT_NAME, REGION
from infra.supabase.sessions import session_of

HEALTHY_DEADLINE_S = 600.0
DELETE_DEADLINE_S = 300.0
_LOST = frozenset({"INIT_FAILED", "REMOVED", "GOING_DOWN", "RESTORE_FAILED"})
_GONE = frozenset({"REMOVED", "GOING_DOWN"})


class ProjectInputs(Struct, frozen=True, rename="camel"):
    name: str
    organization_id: str
    region: str
    db_password: str
    instance_size: str | None = None


class Project(Resource[SupabaseClient, ProjectInputs]):
    """A project. Its name and password can change; a new region, organization or size replaces it, data and all: protect it."""

    resource_type: ClassVar = "supabase:index:Project"
    collection: ClassVar = "projects"
    inputs_type: ClassVar = ProjectInputs
    fields: ClassVar = (
        Field("name", PROJECT_NAME, is_required=True),
        Field("organizationId", ORGANIZATION_ID, is_required=True, replaces=True),
        Field("region", REGION, is_required=True, replaces=True),
        Field("dbPassword", PASSWORD, is_required=True, is_secret=True),
        Field("instanceSize", INSTANCE_SIZE, replaces=True),
    )
    outputs: ClassVar = (
        Output("ref"),
        Output("url"),
        Output("databaseHost"),
        Output("sessionHost", about="host of the pooler's session mode; see infra/supabase/sessions.py"),
        Output("sessionUser"),
        Output("anonKey", is_secret=True),
        Output("serviceRoleKey", is_secret=True),
        Output("jwksUrl"),
        Output("issuer"),
    )

    async def create(self, call: Call[SupabaseClient], inputs: ProjectInputs) -> Made:
        before = await _refs_named(call, inputs)

        async def settled() -> Any | None:
            fresh = await _refs_named(call, inputs) - before
            return {"ref": fresh.pop()} if len(fresh) == 1 else None

        wanted = {
            "name": inputs.name,
            "organization_id": inputs.organization_id,
            "region": inputs.region,
            "db_pass": inputs.db_password,
        }
        if inputs.instance_size is not None:
            wanted["desired_instance_size"] = inputs.instance_size
        made = await call.client.send("create project", "POST", "/v1/projects", wanted, settled)
        return await _until_healthy(call, str(made.get("ref") or made["id"]), inputs.name)

    async def located(self, call: Call[SupabaseClient], identity: str) -> str:
        return await ref_of(call, identity)

    async def read(self, call: Call[SupabaseClient], recorded: Recorded[ProjectInputs]) -> Found | None:
        project = await _project(call, recorded.identity)
        if project is None:
            return None
        inputs = {"name": project["name"], "organizationId": project["organization_id"], "region": project["region"]}
        if recorded.inputs is not None:
            # Neither the password nor the size can be read back: what we set is taken to stand.
            inputs |= {"dbPassword": recorded.inputs.db_password, "instanceSize": recorded.inputs.instance_size}
            # An organization has an id and a slug; the API answers with either.
            inputs["organizationId"] = recorded.inputs.organization_id
        return Found(recorded.identity, inputs, await _outputs(call, project))

    async def update(self, call: Call[SupabaseClient], recorded: Recorded[ProjectInputs], inputs: ProjectInputs) -> Made:
        path = f"/v1/projects/{recorded.identity}"
        project = await _project(call, recorded.identity)
        if project is None:
            raise NotFound(f"projects/{inputs.name}: {recorded.identity} is gone; run a refresh", operation="update project")
        if project["name"] != inputs.name:

            async def renamed() -> Any | None:
                found = await _project(call, recorded.identity)
                return {} if found and found["name"] == inputs.name else None

            await call.client.send("rename project", "PATCH", path, {"name": inputs.name}, renamed)
        if recorded.inputs is not None and recorded.inputs.db_password != inputs.db_password:

            async def unknowable() -> Any | None:
                return None  # a password cannot be read back; setting the same one twice is harmless

            body = {"password": inputs.db_password}
            await call.client.send("set database password", "PATCH", f"{path}/database/password", body, unknowable)
        return await _until_healthy(call, recorded.identity, inputs.name)

    async def delete(self, call: Call[SupabaseClient], recorded: Recorded[ProjectInputs]) -> None:
        async def gone() -> Any | None:
            return {} if await _project(call, recorded.identity) is None else None

        try:
            await call.client.send("delete project", "DELETE", f"/v1/projects/{recorded.identity}", None, gone)
        except NotFound:
            return
        await until(call, gone, deadline_s=call.timeout_s or DELETE_DEADLINE_S, what=f"deletion of project {recorded.identity}")


async def _until_healthy(call: Call[SupabaseClient], ref: str, name: str) -> Made:
    last = ""

    async def healthy() -> Any | None:
        nonlocal last
        project = await call.client.get_or_none("read project", f"/v1/projects/{ref}")
        status = str((project or {}).get("status") or "UNKNOWN")
        if status != last:
            await call.tell(f"project {status.lower().replace('_', ' ')}")
            last = status
        if status in _LOST:
            raise RemoteFault(f"the project became {status}", operation="create project")
        return project if project is not None and status == "ACTIVE_HEALTHY" else None

    try:
        project = await until(call, healthy, deadline_s=call.timeout_s or HEALTHY_DEADLINE_S, what="health of the project")
        outputs = await _outputs(call, project)
    except ProviderError as error:
        reason = f"projects/{name}: made as {ref}, but not healthy yet: {error}; run `up` again to go on waiting"
        raise HalfMade(ref, {"ref": ref}, (reason,)) from error
    return Made(ref, outputs)


async def _project(call: Call[SupabaseClient], ref: str) -> Any | None:
    project = await call.client.get_or_none("read project", f"/v1/projects/{ref}")
    return None if project is None or project.get("status") in _GONE else project


async def _refs_named(call: Call[SupabaseClient], inputs: ProjectInputs) -> set[str]:
    """Project names are not unique: ours is the one that was not there before."""
    found = await call.client.get("list projects", "/v1/projects")
    return {str(each.get("ref") or each["id"]) for each in found if each["name"] == inputs.name}


async def _outputs(call: Call[SupabaseClient], project: Any) -> dict[str, Any]:
    ref = str(project.get("ref") or project["id"])
    host = str((project.get("database") or {}).get("host") or "")
    url = call.client.project_url.format(ref=ref, database_host=host)
    keys = await call.client.get("read keys", f"/v1/projects/{ref}/api-keys", reveal="true")
    by_name = {str(each["name"]): each.get("api_key") for each in keys}
    if not by_name.get("anon") or not by_name.get("service_role"):
        raise InvalidInput(f"project {ref} has no anon and service_role keys: legacy keys are off", operation="read keys")
    databases = await call.client.get_or_none("list databases", f"/v1/projects/{ref}/config/database/pooler")
    primary = next((each for each in databases or [] if each["database_type"] == "PRIMARY"), {"db_host": host})
    session = session_of(primary)
    return {
        "ref": ref,
        "url": url,
        "databaseHost": host,
        "sessionHost": session.host,
        "sessionUser": session.user,
        "anonKey": by_name["anon"],
        "serviceRoleKey": by_name["service_role"],
        "jwksUrl": f"{url}/auth/v1/.well-known/jwks.json",
        "issuer": f"{url}/auth/v1",
    }
