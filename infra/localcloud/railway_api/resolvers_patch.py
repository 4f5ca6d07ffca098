# ruff: noqa: A002, N803 -- arguments have the names that the schema gives them
"""Staged changes: what is collected, looked at and then committed as one."""

from __future__ import annotations

import uuid
from typing import Any

from infra.localcloud.conducting.clock import new_stamp
from infra.localcloud.railway_api import views
from infra.localcloud.railway_api.call import Call, Info
from infra.localcloud.railway_api.environment_config import changes_of, shown
from infra.localcloud.railway_api.resolvers_account import call_of
from infra.localcloud.world import patches
from infra.localcloud.world.errors import NotAuthorized, NotFound, Refused, WorldError
from infra.localcloud.world.model import Environment, Patch
from infra.localcloud.world.patch_content import merged

MESSAGE_CHARACTERS_MAX = 1000


def patch_view(call: Call, found: Patch) -> views.View:
    def patch(info: object, decryptVariables: bool | None = None) -> views.View:
        return shown(found.patch, is_decrypted=bool(decryptVariables))

    return {
        "id": found.id,
        "environmentId": found.environment_id,
        "environment": lambda info: views.environment_view(call, call.access.environment(found.environment_id)),
        "status": found.status,
        "message": found.message,
        "patch": patch,
        "lastAppliedError": found.last_applied_error,
        "appliedAt": found.applied_at,
        "createdAt": found.created_at,
        "updatedAt": found.updated_at,
    }


def _nothing_staged(environment: Environment) -> Patch:
    """The schema wants a patch where there is none: an empty one, always the same."""
    identity = str(uuid.uuid5(uuid.UUID(environment.id), "staged"))
    return Patch(identity, environment.id, "STAGED", {}, environment.updated_at, environment.updated_at)


def environment_staged_changes(_: None, info: Info, environmentId: str) -> views.View:
    call = call_of(info)
    environment = call.access.environment(environmentId)
    return patch_view(call, patches.staged_patch(call.world, environmentId) or _nothing_staged(environment))


def environment_patch(_: None, info: Info, id: str) -> views.View:
    call = call_of(info)
    found = call.world.patches.get(id)
    if found is None:
        raise NotFound("EnvironmentPatch") if call.principal.is_account else NotAuthorized
    call.access.environment(found.environment_id)
    return patch_view(call, found)


async def environment_stage_changes(
    _: None, info: Info, environmentId: str, input: dict[str, Any], merge: bool | None = None
) -> views.View:
    """Replaces what is staged, or with `merge` goes over it."""
    call = call_of(info)
    environment = call.access.environment(environmentId)
    changes_of(input)
    before = patches.staged_patch(call.world, environmentId)
    patch = merged(before.patch, input) if merge and before else input
    world = await call.apply(patches.StageChanges(new_stamp(), environmentId, patch, changes_of(patch)))
    return patch_view(call, patches.staged_patch(world, environmentId) or _nothing_staged(environment))


async def environment_patch_commit_staged(
    _: None, info: Info, environmentId: str, commitMessage: str | None = None, skipDeploys: bool | None = None
) -> str:
    """The patch's id. A refusal is kept with the patch, which stays staged."""
    call = call_of(info)
    call.access.environment(environmentId)
    staged = patches.staged_patch(call.world, environmentId)
    if staged is None:
        raise Refused("No staged changes to commit")
    command = patches.CommitPatch(
        stamp=new_stamp(),
        environment_id=environmentId,
        patch=staged.patch,
        changes=changes_of(staged.patch),
        message=checked_message(commitMessage),
        is_staged=True,
        is_skipping_deploys=bool(skipDeploys),
    )
    try:
        await call.apply(command)
    except WorldError as exc:
        await call.apply(patches.RecordRefusal(new_stamp(), environmentId, str(exc)))
        raise
    return staged.id


async def environment_patch_commit(
    _: None, info: Info, environmentId: str, patch: dict[str, Any] | None = None, commitMessage: str | None = None
) -> str:
    """Commits `patch` past what is staged; the new patch's id."""
    call = call_of(info)
    call.access.environment(environmentId)
    stamp, given = new_stamp(), patch or {}
    await call.apply(
        patches.CommitPatch(stamp, environmentId, given, changes_of(given), checked_message(commitMessage)),
    )
    return stamp.id


def checked_message(message: str | None) -> str | None:
    return message[:MESSAGE_CHARACTERS_MAX] if message is not None else None


QUERIES = {
    "environmentStagedChanges": environment_staged_changes,
    "environmentPatch": environment_patch,
}
MUTATIONS = {
    "environmentStageChanges": environment_stage_changes,
    "environmentPatchCommitStaged": environment_patch_commit_staged,
    "environmentPatchCommit": environment_patch_commit,
}
