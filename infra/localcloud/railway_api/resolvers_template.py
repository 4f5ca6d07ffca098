# ruff: noqa: A002, N803 -- arguments have the names that the schema gives them
"""Templates: a few databases, and how any configuration of Railway's form is deployed from one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from infra.localcloud.conducting.clock import new_stamp
from infra.localcloud.railway_api import template_catalog, views
from infra.localcloud.railway_api.call import Call, Info
from infra.localcloud.railway_api.paging import connection
from infra.localcloud.railway_api.resolvers_account import Input, call_of, refuse_given
from infra.localcloud.railway_api.resolvers_service import make_domain
from infra.localcloud.railway_api.template_catalog import TEMPLATES, Template
from infra.localcloud.railway_api.template_config import services_of
from infra.localcloud.world.additions import AddServices
from infra.localcloud.world.errors import BadInput, NotAuthorized
from infra.localcloud.world.patch_content import NewService
from infra.localcloud.world.projects import CreateProject

PUBLIC = ("template", "templateSearch")
"""Root fields that Railway answers to anybody: its CLI asks them without a token."""


def template_view(found: Template) -> views.View:
    return {
        "id": found.id,
        "code": found.code,
        "name": found.name,
        "description": found.description,
        "category": found.category,
        "status": "PUBLISHED",
        "serializedConfig": found.config,
        "createdAt": views.CLOUD_SINCE,
        "updatedAt": views.CLOUD_SINCE,
        "isVerified": True,
        "deploymentCount": 0,  # counted by nobody
    }


def _found(*, code: str | None = None, identity: str | None = None) -> Template:
    found = template_catalog.found(code=code, identity=identity)
    if found is None:
        offered = ", ".join(one.code for one in TEMPLATES)
        raise BadInput(f"Template not found: the local cloud has those whose images it can run ({offered})")
    return found


def template(
    _: None, info: Info, code: str | None = None, id: str | None = None, owner: str | None = None, repo: str | None = None
) -> views.View:
    return template_view(_found(code=code, identity=id))


def template_search(
    _: None, info: Info, query: str, category: str | None = None, verified: bool | None = None, **paging: Any
) -> views.View:
    words = query.lower().split()
    texts = ((one, f"{one.code} {one.name} {one.description}".lower()) for one in TEMPLATES if category in (None, one.category))
    matching = [one for one, text in texts if all(word in text for word in words) and verified is not False]
    return connection(matching, lambda one: one.id, template_view, **paging)


def workspace_templates(_: None, info: Info, workspaceId: str, **paging: Any) -> views.View:
    """Nobody makes templates here."""
    call = call_of(info)
    call.access.require_account()
    if workspaceId != call.cloud.workspace_id:
        raise NotAuthorized
    return connection([], lambda one: one.id, template_view, **paging)


async def template_deploy(_: None, info: Info, input: Input) -> views.View:
    """Done when it answers, but for the deployments; there is no workflow to wait for."""
    call = call_of(info)
    environment_id = _place(call, input)
    found = _found(identity=input["templateId"])
    refuse_given(input, "stageOnly", "existingRootServiceId")
    stamp = new_stamp()
    services = services_of(input["serializedConfig"], stamp)
    environment_id = environment_id or await _new_place(call, found.name)
    await call.apply(AddServices(stamp, environment_id, services, is_numbering=True))
    await make_domains(call, services, environment_id)
    return {"projectId": call.world.environments[environment_id].project_id, "workflowId": None}


async def make_domains(call: Call, services: Iterable[NewService], environment_id: str) -> None:
    for one in services:
        for port in one.domains:
            await make_domain(call, one.service_id, environment_id, port)


def _place(call: Call, input: Input) -> str | None:
    """The environment that was named, or the base one of the project that was; None where a new project is asked for."""
    if input.get("projectId") is None:
        call.access.require_account()
        if input.get("workspaceId") not in (None, call.cloud.workspace_id):
            raise NotAuthorized
        return None
    project = call.access.project(input["projectId"])
    environment = call.access.environment(input.get("environmentId") or project.base_environment_id)
    if environment.project_id != project.id:
        raise BadInput("environmentId: expected an environment of the project")
    return environment.id


async def _new_place(call: Call, name: str) -> str:
    stamp = new_stamp()
    world = await call.apply(CreateProject(stamp, name, None, call.cloud.workspace_id, None))
    return world.projects[stamp.id].base_environment_id


QUERIES = {
    "template": template,
    "templateSearch": template_search,
    "workspaceTemplates": workspace_templates,
}
MUTATIONS = {"templateDeployV2": template_deploy}
