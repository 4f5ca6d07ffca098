"""All changes of one environment's settings and variables: staged, looked at, and committed together.

Theory of operation. Pulumi calls each resource by itself, and a call must not return before its change is in effect: the
state would lie. So changes commit as a database's transactions do, in groups (infra/railway/waves.py): a wave is all resources
whose dependencies are ready, and its changes go as one patch.

    read the environment -> each change decides its patch -> stage -> read again -> commit, deploying nothing -> applied

What must hold between the two readings is that nobody else was at work: nothing staged that is not ours, and, where the
configEtag has moved, no change in a section that we write. Otherwise what we staged is taken back and everybody gets the
difference as an error. The API has no commit on a condition, so the moment between the second reading and the commit stays
open. A run that dies in between leaves its patch staged: the next one finds it equal to its own wish and commits it, or
finds it different and refuses. Nobody else's staged changes are ever committed.

Every other change of the same environment (client.mutate) takes the same lock. ADR "Changes commit in groups" has the rest.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.provider.definition import Call
from infra.provider.errors import Conflict, InvalidInput, NotFound, ProviderError, Stopped
from infra.provider.waiting import pause, until
from infra.railway.client import Data, RailwayClient
from infra.railway.operations import load
from infra.railway.staging.patches import Units, built, changed, foreign, holds, section, told, units
from infra.railway.waves import Change

STATE = load(__file__, "state.graphql")
STAGE = load(__file__, "stage.graphql")
COMMIT = load(__file__, "commit.graphql")
PATCH = load(__file__, "patch.graphql")

WAVE_QUIET_S = 0.1
LULL_S_MAX = 2.0
ANNOUNCED_S_MAX = 10.0
"""The first of a wave waits for the others until the engine has asked for nothing for a moment, because while it still compares
resources more changes may come; and then for the calls that have begun and will have a change, such as services that are being
made. Neither for ever: a large program must not hold a small change back, nor one call that hangs all others."""
APPLIED_DEADLINE_S = 120.0
MESSAGE = "cached-auth: {}"
MESSAGE_CHARS_MAX = 200


@dataclass(frozen=True, slots=True)
class State:
    """An environment at one moment."""

    etag: str
    config: Units
    staged: Units
    staged_id: str
    names: Mapping[str, str]


async def commit(
    call: Call[RailwayClient], environment_id: str, what: str, decide: Callable[[], Awaitable[dict[str, Any]]]
) -> None:
    """Returns when the change is in effect, alone or with others of its wave. Raises what stood in its way."""

    async def gathered(all_here: asyncio.Event) -> None:
        await call.arrivals.lull(call.sleep, WAVE_QUIET_S, LULL_S_MAX)
        await pause(call, all_here, ANNOUNCED_S_MAX)

    async def lead(group: Sequence[Change]) -> None:
        await _lead(call, environment_id, group)

    await call.client.waves.join(environment_id, call.ticket, Change(what, decide), gathered, lead)


async def _lead(call: Call[RailwayClient], environment_id: str, group: Sequence[Change]) -> None:
    """Commits for all of `group`; each ends done or failed."""
    try:
        await _commit(call, environment_id, group)
    except (InvalidInput, NotFound) as error:
        left = [each for each in group if not each.is_done]
        if len(left) == 1:
            left[0].end(error)
        else:
            # One wrong change must not take the others along, and its error must name it: each by itself, then.
            for each in left:
                await _lead(call, environment_id, [each])
    except ProviderError as error:
        _end(group, error)


def _end(group: Sequence[Change], error: BaseException | None = None) -> None:
    for each in group:
        if not each.is_done:
            each.end(error)


async def _commit(call: Call[RailwayClient], environment_id: str, group: Sequence[Change]) -> None:
    before = await _state(call, environment_id)
    ours = await _decided(group)
    if not ours:
        return _end(group)
    if strangers := foreign(before.staged, ours):
        raise _refusal(environment_id, "has staged changes that this program did not make", told(strangers, {}, before.names))
    try:
        staged_id = await _stage(call, environment_id, ours)
        after = await _state(call, environment_id)
        _check_alone(environment_id, before, after, ours)
        await _apply(call, environment_id, staged_id, [each.what for each in group if not each.is_done])
    except Stopped:
        raise
    except ProviderError:
        await _take_back(call, environment_id, ours)
        raise
    return _end(group)


async def _decided(group: Sequence[Change]) -> Units:
    """What all changes want together; those that refuse are ended by their refusal."""

    async def decided(change: Change) -> Units:
        try:
            return units(await change.decide())
        except Exception as error:  # noqa: BLE001  a mistake of ours, too, is told to whose it is, and to nobody else
            change.end(error)
            return {}

    async with asyncio.TaskGroup() as tasks:
        each = [tasks.create_task(decided(change)) for change in group]
    return {path: value for task in each for path, value in task.result().items()}


def _check_alone(environment_id: str, before: State, after: State, ours: Units) -> None:
    """Conflict where somebody else was at work between the two readings."""
    if strangers := foreign(after.staged, ours):
        raise _refusal(environment_id, "got staged changes of somebody else just now", told(strangers, {}, after.names))
    if after.etag == before.etag:
        return
    written = {section(path) for path in ours}
    edits = {path: value for path, value in changed(before.config, after.config).items() if section(path) in written}
    if edits:
        raise _refusal(environment_id, "was changed by somebody else just now", told(edits, before.config, after.names))


def _refusal(environment_id: str, happened: str, difference: str) -> Conflict:
    way_out = (
        "commit or discard them in Railway's dashboard, then run `up` again"
        if "staged" in happened
        else "run `refresh` to see it in the state, then `up` again"
    )
    return Conflict(f"environment {environment_id} {happened}: {difference}; nothing was committed; {way_out}")


async def _state(call: Call[RailwayClient], environment_id: str) -> State:
    answer = await call.client.query(STATE, id=environment_id)
    environment, staged = answer["environment"], answer["environmentStagedChanges"] or {}
    is_staged = staged.get("status") == "STAGED"
    named = [edge["node"] for edge in environment["serviceInstances"]["edges"]]
    return State(
        etag=str(environment["configEtag"]),
        config=units(environment["config"]),
        staged=units(staged.get("patch")) if is_staged else {},
        staged_id=str(staged.get("id") or "") if is_staged else "",
        names={each["serviceId"]: each["serviceName"] for each in named},
    )


async def _stage(call: Call[RailwayClient], environment_id: str, ours: Units) -> str:
    """The staged patch's id. Merged, so that what somebody stages in the same moment is not lost but found."""

    async def settled() -> Data | None:
        now = await _state(call, environment_id)
        is_there = all(path in now.staged and holds(now.staged[path], value) for path, value in ours.items())
        return {"environmentStageChanges": {"id": now.staged_id}} if is_there else None

    variables = {"environmentId": environment_id, "input": built(ours), "merge": True}
    answer = await call.client.change(STAGE, variables, settled)
    return str(answer["environmentStageChanges"]["id"])


async def _take_back(call: Call[RailwayClient], environment_id: str, ours: Units) -> None:
    """Leaves staged what was never ours. Best effort: what stays behind is found by the next run."""
    with contextlib.suppress(ProviderError):
        now = await _state(call, environment_id)
        rest = foreign(now.staged, ours)

        async def settled() -> Data | None:
            return {} if (await _state(call, environment_id)).staged == rest else None

        if now.staged != rest:
            await call.client.change(STAGE, {"environmentId": environment_id, "input": built(rest), "merge": False}, settled)


async def _apply(call: Call[RailwayClient], environment_id: str, staged_id: str, what: Sequence[str]) -> None:
    async def status() -> Data:
        found: Data = (await call.client.query(PATCH, id=staged_id))["environmentPatch"]
        return found

    async def accepted() -> Data | None:
        return {} if (await status())["status"] in ("APPLYING", "COMMITTED") else None

    async def applied() -> Data | None:
        now = await status()
        if now["status"] == "COMMITTED":
            return now
        if now["status"] == "STAGED" and now["lastAppliedError"]:
            raise InvalidInput(f"Railway says: {now['lastAppliedError']}", operation=COMMIT.name)
        return None

    message = MESSAGE.format(", ".join(sorted(what)))[:MESSAGE_CHARS_MAX]
    # No deployment here, however much was changed: a Deployment makes exactly one.
    variables: dict[str, Any] = {"environmentId": environment_id, "commitMessage": message, "skipDeploys": True}
    await call.client.change(COMMIT, variables, accepted)
    await until(call, applied, deadline_s=APPLIED_DEADLINE_S, what=f"changes of environment {environment_id}")
