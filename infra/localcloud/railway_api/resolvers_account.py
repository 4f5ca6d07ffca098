# ruff: noqa: A002, N803 -- arguments have the names that the schema gives them
"""me, tokens, regions, projects, environments."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from infra.localcloud.conducting.clock import new_stamp
from infra.localcloud.railway_api import views
from infra.localcloud.railway_api.call import Call, Info
from infra.localcloud.railway_api.paging import connection
from infra.localcloud.railway_api.principal import fingerprint
from infra.localcloud.world import departures, projects
from infra.localcloud.world.errors import BadInput, NotAuthorized
from infra.localcloud.world.model import Project

REGIONS = (
    {"name": "us-west2", "location": "US West (California, USA)", "country": "US"},
    {"name": "us-east4-eqdc4a", "location": "US East (Virginia, USA)", "country": "US"},
    {"name": "europe-west4-drams3a", "location": "EU West (Amsterdam, Netherlands)", "country": "NL"},
    {"name": "asia-southeast1-eqsg3a", "location": "Southeast Asia (Singapore)", "country": "SG"},
)
Input = dict[str, Any]


def call_of(info: Info) -> Call:
    call = info.context
    assert isinstance(call, Call)
    return call


def refuse_given(input: Input, *names: str) -> None:
    """BadInput for what the schema takes and this cloud does not do; null and false, which typed clients send, are nothing."""
    for name in names:
        if input.get(name):
            raise BadInput(f"{name}: the local cloud does not support this setting; leave it out")


def me(_: None, info: Info) -> views.View:
    call = call_of(info)
    call.access.require_user()  # `me` fails for a project token
    return {
        **views.user_view(call),
        "createdAt": views.CLOUD_SINCE,
        "workspaces": [views.workspace_view(call)],
        "workspace": lambda info: views.workspace_view(call),
        "lastLogin": views.CLOUD_SINCE,
        "agreedFairUse": True,
        "isVerified": True,
        **dict.fromkeys(("has2FA", "hasPasskeys", "isAdmin", "isConductor"), False),
    }


def api_token(_: None, info: Info) -> views.View:
    call = call_of(info)
    call.access.require_account()
    return {"workspaces": [views.workspace_view(call)]}


def project_token(_: None, info: Info) -> views.View:
    call = call_of(info)
    token = call.world.tokens.get(call.principal.project_token_id or "")
    if token is None:
        raise NotAuthorized
    return views.token_view(call, token)


def project_tokens(_: None, info: Info, projectId: str, **paging: Any) -> views.View:
    call = call_of(info)
    call.access.require_account()
    call.access.project(projectId)
    own = [token for token in call.world.tokens.values() if token.project_id == projectId]
    return connection(own, lambda token: token.id, lambda token: views.token_view(call, token), **paging)


async def project_token_create(_: None, info: Info, input: Input) -> str:
    call = call_of(info)
    call.access.require_account()
    token = secrets.token_hex(24)
    await call.apply(
        projects.CreateToken(
            stamp=new_stamp(),
            project_id=input["projectId"],
            environment_id=input["environmentId"],
            name=input["name"],
            sha256=fingerprint(token),
            display=f"****-{token[-4:]}",
        )
    )
    return token


async def project_token_delete(_: None, info: Info, id: str) -> bool:
    call = call_of(info)
    call.access.require_account()
    await call.apply(projects.DeleteToken(new_stamp(), id))
    return True


def regions(_: None, info: Info, projectId: str | None = None) -> list[views.View]:
    return [
        {"id": one["name"], "region": one["name"], "deploymentConstraints": {"deprecationInfo": None}, **one} for one in REGIONS
    ]


def project(_: None, info: Info, id: str) -> views.View:
    call = call_of(info)
    return views.project_view(call, call.access.shown_project(id))


ORDERS: dict[str, Callable[[list[Project]], list[Project]]] = {
    "CREATED_AT_DESC": lambda found: sorted(found, key=lambda one: one.created_at, reverse=True),
    "NAME_ASC": lambda found: sorted(found, key=lambda one: one.name),
    "UPDATED_AT_DESC": lambda found: sorted(found, key=lambda one: one.updated_at, reverse=True),
}


def projects_(
    _: None,
    info: Info,
    workspaceId: str | None = None,
    userId: str | None = None,
    orderBy: str | None = None,
    includeDeleted: bool | None = None,
    **paging: Any,
) -> views.View:
    """Those that are scheduled for deletion are among them always, those that are deleted and not gone yet on request."""
    call = call_of(info)
    call.access.require_account()
    is_mine = userId in (None, call.cloud.user_id)
    departed = [one.project for one in call.world.departed.values() if one.project is not None and includeDeleted]
    there = [*call.world.projects.values(), *departed]
    own = [one for one in there if is_mine and workspaceId in (None, one.workspace_id)]
    ordered = ORDERS[orderBy](own) if orderBy else own
    return connection(ordered, lambda one: one.id, lambda one: views.project_view(call, one), **paging)


FLAGS = {
    "isPublic": "is_public",
    "prDeploys": "has_pr_deploys",
    "botPrEnvironments": "has_bot_pr_environments",
    "focusedPrEnvironments": "has_focused_pr_environments",
}


def _flags(input: Input) -> dict[str, bool]:
    return {ours: input[theirs] for theirs, ours in FLAGS.items() if input.get(theirs) is not None}


async def project_create(_: None, info: Info, input: Input) -> views.View:
    call = call_of(info)
    call.access.require_account()
    workspace_id = input.get("workspaceId") or call.cloud.workspace_id
    if workspace_id != call.cloud.workspace_id:
        raise NotAuthorized
    if input.get("repo") is not None:
        raise BadInput("repo: the local cloud builds no repositories; leave it out and upload a bundle")
    stamp = new_stamp()
    world = await call.apply(
        projects.CreateProject(
            stamp=stamp,
            name=input.get("name"),
            description=input.get("description"),
            workspace_id=workspace_id,
            environment_name=input.get("defaultEnvironmentName") or None,
            flags=_flags(input),
        )
    )
    return views.project_view(call, world.projects[stamp.id])


async def project_update(_: None, info: Info, id: str, input: Input) -> views.View:
    call = call_of(info)
    call.access.require_account()
    command = projects.UpdateProject(
        new_stamp(), id, input.get("name"), input.get("description"), input.get("baseEnvironmentId"), _flags(input)
    )
    world = await call.apply(command)
    return views.project_view(call, world.projects[id])


async def project_delete(_: None, info: Info, id: str) -> bool:
    call = call_of(info)
    call.access.require_account()
    await call.apply(projects.DeleteProject(new_stamp(), id))
    return True


async def project_schedule_delete(_: None, info: Info, id: str) -> bool:
    call = call_of(info)
    call.access.require_account()
    await call.apply(departures.ScheduleProjectDeletion(new_stamp(), id))
    return True


async def project_schedule_delete_cancel(_: None, info: Info, id: str) -> bool:
    call = call_of(info)
    call.access.require_account()
    await call.apply(departures.CancelProjectDeletion(new_stamp(), id))
    return True


async def project_schedule_delete_force(_: None, info: Info, id: str) -> bool:
    call = call_of(info)
    call.access.require_account()
    await call.apply(projects.DeleteProject(new_stamp(), id, is_forced=True))
    return True


def environment(_: None, info: Info, id: str, projectId: str | None = None) -> views.View:
    call = call_of(info)
    found = call.access.shown_environment(id)
    if projectId is not None and found.project_id != projectId:
        raise BadInput("Environment not found")
    return views.environment_view(call, found)


def environments(
    _: None,
    info: Info,
    projectId: str,
    isEphemeral: bool | None = None,
    **paging: Any,
) -> views.View:
    call = call_of(info)
    call.access.project(projectId)
    own = [
        one
        for one in call.world.environments.values()
        if one.project_id == projectId
        and isEphemeral in (None, one.is_ephemeral)
        and (call.principal.is_account or one.id == call.principal.environment_id)
    ]
    return connection(own, lambda one: one.id, lambda one: views.environment_view(call, one), **paging)


async def environment_create(_: None, info: Info, input: Input) -> views.View:
    call = call_of(info)
    call.access.require_account()
    refuse_given(input, "stageInitialChanges")
    stamp = new_stamp()
    world = await call.apply(
        projects.CreateEnvironment(
            stamp=stamp,
            project_id=input["projectId"],
            name=input["name"],
            is_ephemeral=bool(input.get("ephemeral")),
            source_environment_id=input.get("sourceEnvironmentId"),
            is_skipping_deploys=bool(input.get("skipInitialDeploys")),
        )
    )
    return views.environment_view(call, world.environments[stamp.id])


async def environment_rename(_: None, info: Info, id: str, input: Input) -> views.View:
    call = call_of(info)
    call.access.require_account()
    world = await call.apply(projects.RenameEnvironment(new_stamp(), id, input["name"]))
    return views.environment_view(call, world.environments[id])


async def environment_delete(_: None, info: Info, id: str) -> bool:
    call = call_of(info)
    call.access.require_account()
    await call.apply(projects.DeleteEnvironment(new_stamp(), id))
    return True


QUERIES = {
    "me": me,
    "apiToken": api_token,
    "projectToken": project_token,
    "projectTokens": project_tokens,
    "regions": regions,
    "project": project,
    "projects": projects_,
    "environment": environment,
    "environments": environments,
}
MUTATIONS = {
    "projectTokenCreate": project_token_create,
    "projectTokenDelete": project_token_delete,
    "projectCreate": project_create,
    "projectUpdate": project_update,
    "projectDelete": project_delete,
    "projectScheduleDelete": project_schedule_delete,
    "projectScheduleDeleteCancel": project_schedule_delete_cancel,
    "projectScheduleDeleteForce": project_schedule_delete_force,
    "environmentCreate": environment_create,
    "environmentRename": environment_rename,
    "environmentDelete": environment_delete,
}
