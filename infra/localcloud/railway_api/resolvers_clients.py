# ruff: noqa: A002, N803 -- arguments have the names that the schema gives them
"""What Railway's CLI and Terraform's provider ask beside the life cycle of their resources."""

from __future__ import annotations

import uuid
from typing import Any

from infra.localcloud.conducting.clock import new_stamp
from infra.localcloud.railway_api import views
from infra.localcloud.railway_api.call import Info
from infra.localcloud.railway_api.paging import connection
from infra.localcloud.railway_api.resolvers_account import Input, call_of, refuse_given
from infra.localcloud.railway_api.resolvers_service import variables_
from infra.localcloud.world import deployments
from infra.localcloud.world.errors import BadInput, NotAuthorized, NotFound
from infra.localcloud.world.model import Instance
from infra.localcloud.world.projects import UpdateWorkspace

BRANCH_DEFAULT = "main"


def workspace(_: None, info: Info, workspaceId: str) -> views.View:
    call = call_of(info)
    call.access.require_account()
    if workspaceId != call.cloud.workspace_id:
        raise NotAuthorized
    return views.workspace_view(call)


async def workspace_update(_: None, info: Info, id: str, input: Input) -> bool:
    call = call_of(info)
    call.access.require_user()
    if id != call.cloud.workspace_id:
        raise NotAuthorized
    refuse_given(input, "avatar")
    await call.apply(UpdateWorkspace(input.get("name"), input.get("preferredRegion")))
    return True


def external_workspaces(_: None, info: Info, projectId: str | None = None) -> list[views.View]:
    """Workspaces of others who shared a project with the caller: there is nobody else here."""
    call_of(info).access.require_account()
    return []


def github_repos(_: None, info: Info) -> list[views.View]:
    """The made-up user has no account at GitHub: clients that look for a repository's branch ask for it then."""
    call_of(info).access.require_user()
    return []


def two_factor_info(_: None, info: Info) -> views.View:
    """Asked before something is deleted by whoever came in with a session rather than with a token."""
    call_of(info).access.require_user()
    return {"isVerified": False, "hasRecoveryCodes": False}


def deployment_triggers(_: None, info: Info, projectId: str, environmentId: str, serviceId: str, **paging: Any) -> views.View:
    """One for a service with a repository: Railway makes it when the repository is connected."""
    call = call_of(info)
    instance = call.access.instance(serviceId, environmentId)
    if instance.project_id != projectId:
        raise NotFound("ServiceInstance")
    own = [instance] if instance.settings.repo else []
    return connection(own, lambda one: one.id, _trigger_view, **paging)


def _trigger_view(found: Instance) -> views.View:
    return {
        "id": str(uuid.uuid5(uuid.UUID(found.id), "deployment trigger")),
        "branch": found.settings.branch or BRANCH_DEFAULT,
        "checkSuites": False,
        "environmentId": found.environment_id,
        "projectId": found.project_id,
        "provider": "github",
        "repository": found.settings.repo,
        "serviceId": found.service_id,
        "validCheckSuites": 0,
    }


def variables_for_service_deployment(_: None, info: Info, projectId: str, environmentId: str, serviceId: str) -> dict[str, str]:
    """What the next deployment would get; `railway run` takes it."""
    return variables_(None, info, projectId, environmentId, serviceId)


async def service_instance_deploy(
    _: None,
    info: Info,
    serviceId: str,
    environmentId: str,
    latestCommit: bool | None = None,
    commitSha: str | None = None,
) -> bool:
    """As serviceInstanceDeployV2, which answers with the deployment's id. `latestCommit` is what was uploaded last."""
    call = call_of(info)
    call.access.instance(serviceId, environmentId)
    if commitSha is not None:
        raise BadInput("commitSha: the local cloud deploys uploaded bundles and images, not commits; leave it out")
    await call.apply(deployments.CreateDeployment(new_stamp(), serviceId, environmentId))
    return True


def cli_event_track(_: None, info: Info, input: Input) -> bool:
    """The CLI counts its commands at Railway. Here nobody counts; it only must not wait or complain."""
    call_of(info)
    return True


QUERIES = {
    "workspace": workspace,
    "externalWorkspaces": external_workspaces,
    "githubRepos": github_repos,
    "twoFactorInfo": two_factor_info,
    "deploymentTriggers": deployment_triggers,
    "variablesForServiceDeployment": variables_for_service_deployment,
}
MUTATIONS = {
    "serviceInstanceDeploy": service_instance_deploy,
    "cliEventTrack": cli_event_track,
    "workspaceUpdate": workspace_update,
}
