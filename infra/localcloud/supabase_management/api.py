"""/v1/projects...: routes of the Management API. Errors are {"message": ...} with the status that Supabase uses."""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from infra.localcloud.conducting.clock import timestamp
from infra.localcloud.conducting.databases import local_region
from infra.localcloud.railway_api.call import Cloud
from infra.localcloud.railway_api.endpoint import BodyTooLarge, read_body
from infra.localcloud.supabase_management import backups, views
from infra.localcloud.supabase_management.keys import api_key, new_jwt_secret, new_ref
from infra.localcloud.world import auth_config, lookup, owners
from infra.localcloud.world.errors import BadInput, NotFound, WorldError
from infra.localcloud.world.model import ReadReplica, SupabaseProject
from infra.localcloud.world.supabase import (
    AddReadReplica,
    CreateSupabaseProject,
    DeleteSupabaseProject,
    RemoveReadReplica,
    RenameSupabaseProject,
    SetDatabasePassword,
)

BODY_BYTES_MAX = 64 * 1024
NAME_CHARACTERS_MAX = 256
PASSWORD_CHARACTERS_MIN, PASSWORD_CHARACTERS_MAX = 4, 1024
T = TypeVar("T")
Handler = Callable[[Request, Cloud], Awaitable[Response]]


class NewProject(msgspec.Struct):
    name: str
    organization_id: str
    db_pass: str
    region: str
    desired_instance_size: str | None = None


class NewName(msgspec.Struct):
    name: str


class NewPassword(msgspec.Struct):
    password: str


class NewReadReplica(msgspec.Struct):
    read_replica_region: str


class OldReadReplica(msgspec.Struct):
    database_identifier: str


async def _decoded(request: Request, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(await read_body(request, BODY_BYTES_MAX), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise BadInput(f"Invalid request body: {exc}") from exc
    except BodyTooLarge:
        raise BadInput(f"Request body is larger than {BODY_BYTES_MAX} bytes") from None


def _region(name: str) -> str:
    region = local_region(name)
    if region is None:
        raise BadInput(f"region: {name[:40]!r} has no counterpart on the local cloud; use us-west-*, us-east-*, eu-* or ap-*")
    return region


def _check_name(name: str) -> None:
    if not 1 <= len(name) <= NAME_CHARACTERS_MAX:
        raise BadInput(f"name: expected 1 to {NAME_CHARACTERS_MAX} characters")


def _check_password(field: str, password: str) -> None:
    """PostgreSQL cannot hold a NUL; the message never shows what was given."""
    if not PASSWORD_CHARACTERS_MIN <= len(password) <= PASSWORD_CHARACTERS_MAX or "\0" in password:
        raise BadInput(f"{field}: expected {PASSWORD_CHARACTERS_MIN} to {PASSWORD_CHARACTERS_MAX} characters without NUL")


async def create_project(request: Request, cloud: Cloud) -> Response:
    asked = await _decoded(request, NewProject)
    region = _region(asked.region)
    _check_name(asked.name)
    _check_password("db_pass", asked.db_pass)
    ref, jwt_secret, now_s = new_ref(), new_jwt_secret(), int(time.time())
    project = SupabaseProject(
        ref=ref,
        id=str(uuid.uuid4()),
        name=asked.name,
        organization_id=asked.organization_id,
        region=asked.region,
        address=cloud.plane.allocate(region, owners.supabase(ref)),
        database_password=asked.db_pass,
        jwt_secret=jwt_secret,
        anon_key=api_key("anon", ref, jwt_secret, now_s),
        service_role_key=api_key("service_role", ref, jwt_secret, now_s),
        status="COMING_UP",
        created_at=timestamp(),
    )
    try:
        await cloud.keeper.apply(CreateSupabaseProject(project))
    except BaseException:
        cloud.plane.free(owners.supabase(ref))
        raise
    return JSONResponse(views.created_view(project), 201)


async def list_projects(request: Request, cloud: Cloud) -> Response:
    return JSONResponse([views.project_view(found) for found in cloud.keeper.world.supabase.values()])


def _project(request: Request, cloud: Cloud) -> SupabaseProject:
    return lookup.supabase_project(cloud.keeper.world, request.path_params["ref"])


async def read_project(request: Request, cloud: Cloud) -> Response:
    return JSONResponse(views.project_view(_project(request, cloud)))


async def rename_project(request: Request, cloud: Cloud) -> Response:
    asked = await _decoded(request, NewName)
    found = _project(request, cloud)
    _check_name(asked.name)
    await cloud.keeper.apply(RenameSupabaseProject(found.ref, asked.name))
    return JSONResponse({"id": found.ref, "ref": found.ref, "name": asked.name})


async def set_password(request: Request, cloud: Cloud) -> Response:
    """Answers before the password is in force; the project is RESTARTING until then."""
    asked = await _decoded(request, NewPassword)
    found = _project(request, cloud)
    _check_password("password", asked.password)
    await cloud.keeper.apply(SetDatabasePassword(found.ref, asked.password))
    return JSONResponse({"message": "Successfully updated password"})


async def delete_project(request: Request, cloud: Cloud) -> Response:
    found = _project(request, cloud)
    await cloud.keeper.apply(DeleteSupabaseProject(found.ref))
    return JSONResponse({"id": found.ref, "ref": found.ref, "name": found.name})


async def api_keys(request: Request, cloud: Cloud) -> Response:
    is_revealed = request.query_params.get("reveal", "").lower() == "true"
    return JSONResponse(views.api_keys_view(_project(request, cloud), is_revealed=is_revealed))


async def health(request: Request, cloud: Cloud) -> Response:
    """`services` comes as a list or with commas. The state is the project's own; ACTIVE_HEALTHY means all are up."""
    found = _project(request, cloud)
    names = [name for text in request.query_params.getlist("services") for name in text.split(",") if name]
    is_up = found.status == "ACTIVE_HEALTHY"
    status = "ACTIVE_HEALTHY" if is_up else "COMING_UP" if found.status == "COMING_UP" else "UNHEALTHY"
    return JSONResponse([{"name": name, "healthy": is_up, "status": status} for name in names or ["auth", "db"]])


async def setup_read_replica(request: Request, cloud: Cloud) -> Response:
    asked = await _decoded(request, NewReadReplica)
    found, region = _project(request, cloud), _region(asked.read_replica_region)
    identifier = f"{found.ref}-rr-{asked.read_replica_region}-{secrets.token_hex(3)}"
    replica = ReadReplica(
        identifier=identifier,
        region=asked.read_replica_region,
        address=cloud.plane.allocate(region, owners.read_replica(identifier)),
        is_ready=False,
        created_at=timestamp(),
    )
    try:
        await cloud.keeper.apply(AddReadReplica(found.ref, replica))
    except BaseException:
        cloud.plane.free(owners.read_replica(identifier))
        raise
    return Response(status_code=201)


async def remove_read_replica(request: Request, cloud: Cloud) -> Response:
    asked = await _decoded(request, OldReadReplica)
    await cloud.keeper.apply(RemoveReadReplica(_project(request, cloud).ref, asked.database_identifier))
    return Response(status_code=201)


async def read_auth_config(request: Request, cloud: Cloud) -> Response:
    return JSONResponse(auth_config.shown(_project(request, cloud).auth_config))


async def change_auth_config(request: Request, cloud: Cloud) -> Response:
    """Only what is given changes. In force at the gateway about a second later."""
    changes = await _decoded(request, dict)
    found = _project(request, cloud)
    await cloud.keeper.apply(auth_config.ConfigureAuth(found.ref, changes))
    return JSONResponse(auth_config.shown(_project(request, cloud).auth_config))


async def pooler(request: Request, cloud: Cloud) -> Response:
    return JSONResponse(views.pooler_view(_project(request, cloud)))


async def handled(handler: Handler, request: Request, cloud: Cloud) -> Response:
    try:
        return await handler(request, cloud)
    except WorldError as exc:
        return JSONResponse({"message": str(exc)}, 404 if isinstance(exc, NotFound) else 400)


def routes(wrap: Callable[[Handler], Callable[[Request], Awaitable[Response]]]) -> list[Route]:
    """`wrap` asks for the token and hands the cloud in."""
    project = "/v1/projects/{ref}"
    table: list[tuple[str, str, Handler]] = [
        ("POST", "/v1/projects", create_project),
        ("GET", "/v1/projects", list_projects),
        ("GET", project, read_project),
        ("PATCH", project, rename_project),
        ("DELETE", project, delete_project),
        ("PATCH", f"{project}/database/password", set_password),
        ("GET", f"{project}/api-keys", api_keys),
        ("GET", f"{project}/health", health),
        ("POST", f"{project}/read-replicas/setup", setup_read_replica),
        ("POST", f"{project}/read-replicas/remove", remove_read_replica),
        ("GET", f"{project}/config/auth", read_auth_config),
        ("PATCH", f"{project}/config/auth", change_auth_config),
        ("GET", f"{project}/config/database/pooler", pooler),
        ("GET", f"{project}/database/backups", backups.list_backups),
        ("POST", f"{project}/database/backups/restore-pitr", backups.restore_pitr),
    ]
    return [Route(path, wrap(handler), methods=[method]) for method, path, handler in table]
