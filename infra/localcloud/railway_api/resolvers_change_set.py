# ruff: noqa: A002, N803 -- arguments have the names that the schema gives them
"""Change sets: what `railway config plan` previews and `railway config apply` carries out."""

from __future__ import annotations

from typing import Any

from infra.localcloud.conducting.clock import new_stamp
from infra.localcloud.railway_api import views
from infra.localcloud.railway_api.call import Info
from infra.localcloud.railway_api.change_set import changes_in, draft, effective
from infra.localcloud.railway_api.config_views import config_of, etag_of
from infra.localcloud.railway_api.resolvers_account import call_of
from infra.localcloud.railway_api.resolvers_patch import checked_message
from infra.localcloud.railway_api.resolvers_template import make_domains
from infra.localcloud.world.additions import add_services
from infra.localcloud.world.errors import NotAuthorized, NotFound, Refused


def preview(_: None, info: Info, environmentId: str, input: dict[str, Any]) -> views.View:
    """The changes that would change something. Nothing is done, and what would be refused is refused now."""
    call = call_of(info)
    environment, stamp = call.access.environment(environmentId), new_stamp()
    given = changes_in(input)
    add_services(call.world, draft(call.world, environment, stamp, given).command())
    changes = effective(call.world, environment, stamp, given)
    return {"changeSet": {**input, "changes": changes}, "diagnostics": [], "effects": []}


async def apply(
    _: None,
    info: Info,
    environmentId: str,
    input: dict[str, Any],
    commitMessage: str | None = None,
    baseConfigEtag: str | None = None,
    waitForCompletion: bool | None = None,
) -> views.View:
    """Done when it answers, but for the deployments."""
    call = call_of(info)
    seen = call.world
    environment, stamp = call.access.environment(environmentId), new_stamp()
    if baseConfigEtag not in (None, etag_of(config_of(seen, environment, is_decrypted=True))):
        raise Refused("The environment has changed since it was read (baseConfigEtag); plan again")
    changes = changes_in(input)
    command = draft(seen, environment, stamp, changes).command(checked_message(commitMessage), seen)
    world = await call.apply(command)
    await make_domains(call, command.services, environment.id)
    made = [key for key in world.deployments if key not in seen.deployments]
    return {
        **_applied(stamp.id),
        "deploymentId": made[0] if len(made) == 1 else None,
        "changes": [
            {"kind": one["kind"], "path": one.get("path"), "summary": one.get("summary"), "status": "applied"} for one in changes
        ],
    }


def _applied(identity: str) -> views.View:
    return {"id": identity, "status": "applied", "diagnostics": [], "changes": [], "deploymentId": None, "stagedPatchId": None}


def result(_: None, info: Info, environmentId: str, id: str) -> views.View:
    """Of one that was applied. Its changes were told when it was; here is only that it is done."""
    call = call_of(info)
    environment = call.access.environment(environmentId)
    found = call.world.patches.get(id)
    if found is None or found.environment_id != environment.id:
        raise NotFound("ChangeSetApply") if call.principal.is_account else NotAuthorized
    return _applied(found.id)


QUERIES = {"environmentChangeSetApply": result}
MUTATIONS = {
    "environmentApplyChangeSet": apply,
    "environmentPreviewChangeSet": preview,
}
