"""One release on one service: deploys when the release or a trigger changes, and waits until it serves.

A deployment that fails is kept as half made. Its status is part of the state, so the next `up` sees that it is not ready
and tries again although no input has changed; if it became ready in the meantime that is accepted as it is.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from infra.provider.comparison import Change, Kind
from infra.provider.definition import Call, Found, Made, Recorded, Resource
from infra.provider.errors import HalfMade, InvalidInput, NotFound
from infra.provider.fields import Field, Output
from infra.provider.properties import Properties
from infra.provider.rules import Anything, MapOf, Problem, Text, Whole
from infra.provider.waiting import until
from infra.railway.addresses import Addressed
from infra.railway.client import Data, RailwayClient, nodes
from infra.railway.deployment.progress import NotReady, last_lines, status_of, until_ready
from infra.railway.deployment.statuses import AWAY, BROKEN, READY, UNDER_WAY
from infra.railway.names import ID
from infra.railway.operations import load
from infra.railway.placed import PLACE_FIELDS, PlacedInputs

LIST = load(__file__, "list.graphql")
DEPLOY = load(__file__, "deploy.graphql")
REMOVE = load(__file__, "remove.graphql")
ROLLBACK = load(__file__, "rollback.graphql")
ROLLBACK_TARGET = load(__file__, "rollback_target.graphql")

APPEAR_DEADLINE_S = 60.0
BUNDLE_BYTES_MAX = 200 * 1024 * 1024


class DeploymentInputs(PlacedInputs, frozen=True):
    bundle: str | None = None
    release: str | None = None
    triggers: dict[str, Any] | None = None
    rollback_to: str | None = None
    timeout_s: int = 300


class Deployment(Addressed, Resource[RailwayClient, DeploymentInputs]):
    """A deployment: of an uploaded bundle, or of the service's image. Where the bundle's file lies changes nothing.

    Its id is the place's, not one deployment's: an update brings a new deployment, and an id cannot change in an update.
    """

    resource_type: ClassVar = "railway:index:Deployment"
    collection: ClassVar = "deployments"
    inputs_type: ClassVar = DeploymentInputs
    fields: ClassVar = (
        *PLACE_FIELDS,
        Field("bundle", Text(1, 4096), is_compared=False, about="path of a tar.gz"),
        Field("release", Text(71, 71, r"sha256:[0-9a-f]{64}", "sha256: and 64 hexadecimal digits")),
        Field("triggers", MapOf(Anything(), entries_max=100), about="deploys again when anything in it changes"),
        Field("rollbackTo", ID, is_kept_when_absent=True, about="id of an earlier deployment to go back to, when it is given"),
        Field("timeoutS", Whole(1, 7200), is_compared=False, default=300),
    )
    outputs: ClassVar = (
        Output("deploymentId", is_stable=False),
        Output("status", is_stable=False),
        Output("url", is_stable=False),
    )

    def check_together(self, inputs: Properties) -> Sequence[tuple[str, Problem]]:
        if "bundle" in inputs and "release" not in inputs:
            return [("release", Problem("", "the bundle's digest (sha256:...)", "nothing"))]
        return []

    def diff(self, old_inputs: Properties, old_outputs: Properties, new_inputs: Properties) -> tuple[Change, ...]:
        """Also a change: the deployment that we remember does not serve."""
        changes = super().diff(old_inputs, old_outputs, new_inputs)
        if not changes and old_outputs.get("status") not in READY:
            return (Change("status", Kind.UPDATE, "status", is_input=False),)
        return changes

    async def create(self, call: Call[RailwayClient], inputs: DeploymentInputs) -> Made:
        return await self._brought(call, inputs, None)

    async def update(self, call: Call[RailwayClient], recorded: Recorded[DeploymentInputs], inputs: DeploymentInputs) -> Made:
        deployment_id = str(recorded.outputs.get("deploymentId") or "")
        if deployment_id and recorded.inputs is not None and _same_release(recorded.inputs, inputs):
            # It failed or was left last time. What is ready or on its way by now need not be deployed again.
            now = await status_of(call, deployment_id)
            if now is not None and now["status"] in READY | UNDER_WAY:
                return await self._follow(call, deployment_id, inputs)
        return await self._brought(call, inputs, recorded.inputs)

    async def _brought(self, call: Call[RailwayClient], inputs: DeploymentInputs, before: DeploymentInputs | None) -> Made:
        """Back where that is asked for anew, else forward."""
        if inputs.rollback_to is not None and (before is None or before.rollback_to != inputs.rollback_to):
            return await self._roll_back(call, inputs, inputs.rollback_to)
        return await self._deploy(call, inputs)

    async def _roll_back(self, call: Call[RailwayClient], inputs: DeploymentInputs, target_id: str) -> Made:
        """The image and the variables of an earlier deployment, in a deployment of their own; nothing is built."""
        target = ((await call.client.query_or_none(ROLLBACK_TARGET, id=target_id)) or {}).get("deployment")
        if target is None or not target["canRollback"]:
            state = "is not known" if target is None else f"is {target['status']} and cannot be gone back to"
            raise InvalidInput(f"deployments/rollback_to: deployment {target_id} {state}; deploy that release again instead")
        before = set(await _deployments(call, inputs))

        async def begun() -> Data | None:
            found = [each for each in await _deployments(call, inputs) if each not in before]
            return {"id": found[0]} if len(found) == 1 else None

        await call.tell(f"going back to deployment {target_id}")
        async with call.client.waves.alone(inputs.environment_id):
            await call.client.change(ROLLBACK, {"id": target_id}, begun)
        fresh = await until(call, begun, deadline_s=APPEAR_DEADLINE_S, what=f"rollback to deployment {target_id}")
        return await self._follow(call, str(fresh["id"]), inputs)

    async def _deploy(self, call: Call[RailwayClient], inputs: DeploymentInputs) -> Made:
        # Bundle first: a file that is missing or wrong must not cost a call.
        bundle = await asyncio.to_thread(_bundle, inputs) if inputs.bundle is not None else None
        before = set(await _deployments(call, inputs))

        async def fresh() -> str | None:
            found = [each for each in await _deployments(call, inputs) if each not in before]
            return found[0] if len(found) == 1 else None

        if bundle is None:

            async def deployed() -> Data | None:
                return {"serviceInstanceDeployV2": identity} if (identity := await fresh()) else None

            variables = {"serviceId": inputs.service_id, "environmentId": inputs.environment_id}
            deployment_id = (await call.client.mutate(DEPLOY, variables, deployed))["serviceInstanceDeployV2"]
        else:

            async def uploaded() -> Data | None:
                return {"deploymentId": identity} if (identity := await fresh()) else None

            await call.tell(f"uploading {len(bundle) // 1024} KiB")
            place = (inputs.project_id, inputs.environment_id, inputs.service_id)
            deployment_id = (await call.client.upload(*place, bundle, uploaded))["deploymentId"]
        return await self._follow(call, str(deployment_id), inputs)

    async def _follow(self, call: Call[RailwayClient], deployment_id: str, inputs: DeploymentInputs) -> Made:
        try:
            deployment = await until_ready(call, deployment_id, call.timeout_s or inputs.timeout_s)
        except NotReady as error:
            outputs = {"deploymentId": deployment_id, "status": error.status, "url": ""}
            raise HalfMade(inputs.identity, outputs, (_told(str(error), error.lines),)) from error
        return Made(inputs.identity, _outputs(deployment))

    async def read(self, call: Call[RailwayClient], recorded: Recorded[DeploymentInputs]) -> Found | None:
        deployment_id = str(recorded.outputs.get("deploymentId") or "")
        known = recorded.inputs
        if known is None and recorded.identity.count("/") == 2:
            # An import, by project/environment/service: what was deployed there last.
            project_id, environment_id, service_id = recorded.identity.split("/")
            known = DeploymentInputs(project_id, environment_id, service_id)
            deployment_id = next(iter(await _deployments(call, known)), "")
        deployment = await status_of(call, deployment_id) if deployment_id else None
        if known is None or deployment is None:
            return None
        inputs: Data = {**known.place, "timeoutS": known.timeout_s}
        inputs |= {"bundle": known.bundle, "release": known.release, "triggers": known.triggers}
        inputs["rollbackTo"] = known.rollback_to
        unwell: tuple[str, ...] = ()
        if deployment["status"] in BROKEN:
            lines = await last_lines(call, deployment_id)
            unwell = (_told(f"deployment {deployment_id} is {deployment['status']}", lines),)
        return Found(recorded.identity, inputs, _outputs(deployment), unwell)

    async def delete(self, call: Call[RailwayClient], recorded: Recorded[DeploymentInputs]) -> None:
        deployment_id = str(recorded.outputs.get("deploymentId") or "")

        async def gone() -> Data | None:
            deployment = await status_of(call, deployment_id)
            return {} if deployment is None or deployment["status"] in AWAY | {"FAILED"} else None

        if not deployment_id or await gone() is not None:
            return
        try:
            await call.client.mutate(REMOVE, {"id": deployment_id}, gone)
        except NotFound:
            return


def _bundle(inputs: DeploymentInputs) -> bytes:
    """The bundle's bytes, once they are known to be the release they are said to be."""
    path = Path(inputs.bundle or "")
    try:
        if path.stat().st_size > BUNDLE_BYTES_MAX:
            raise InvalidInput(f"deployments/bundle: expected at most {BUNDLE_BYTES_MAX} bytes, got {path.stat().st_size}")
        content = path.read_bytes()
    except OSError as exc:
        raise InvalidInput(f"deployments/bundle: cannot read {path}: {exc.strerror}; build the release again") from exc
    found = "sha256:" + hashlib.sha256(content).hexdigest()
    if found != inputs.release:
        raise InvalidInput(f"deployments/bundle: expected release {inputs.release}, got {found}; build the release again")
    return content


async def _deployments(call: Call[RailwayClient], inputs: DeploymentInputs) -> list[str]:
    """Ids of the last deployments, newest first."""
    answer = await call.client.query(LIST, **inputs.place)
    return [each["id"] for each in nodes(answer["deployments"])]


def _same_release(one: DeploymentInputs, other: DeploymentInputs) -> bool:
    return (one.release, one.triggers, one.rollback_to) == (other.release, other.triggers, other.rollback_to)


def _outputs(deployment: Data) -> dict[str, str]:
    url = str(deployment.get("url") or deployment.get("staticUrl") or "")
    return {"deploymentId": deployment["id"], "status": deployment["status"], "url": url}


def _told(message: str, lines: tuple[str, ...]) -> str:
    return "\n".join((f"{message}; last log lines:", *(f"    {line}" for line in lines))) if lines else message
