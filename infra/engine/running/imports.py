"""`import`: takes resources that exist over into the state, without a program.

Each is read by its id; what the provider reports as its inputs becomes the state's, so a program that says the same
changes nothing. As in Pulumi's engine (pkg/resource/deploy/import.go) existing resources stay as they are and count as
unchanged, one imported before under the same id too.
"""

import asyncio
import os

from infra.engine.errors import ResourceError
from infra.engine.model.resource_state import ResourceState, now_text
from infra.engine.model.urns import STACK_TYPE, package_of
from infra.engine.model.values import Properties, add_secret_outputs, secret_strings, without_nulls
from infra.engine.planning.import_file import ImportSpec
from infra.engine.planning.plan import Op
from infra.engine.plugins.remote import InitFailed, Provider, ReadBack
from infra.engine.running.deployment import Deployment
from infra.engine.running.execution import Execution
from infra.engine.running.provider_resources import ProviderResources
from infra.engine.running.registry import Providers


class Imports:
    """Imports the resources of one command."""

    def __init__(
        self, deployment: Deployment, providers: Providers, execution: Execution, provider_resources: ProviderResources
    ) -> None:
        self._deployment = deployment
        self._providers = providers
        self._execution = execution
        self._provider_resources = provider_resources

    async def run(self, specs: list[ImportSpec], is_protected: bool) -> None:
        """Failures are reported; the others go on."""
        deployment = self._deployment
        for state in list(deployment.olds.values()):
            same = deployment.metadata(Op.SAME, state, state)
            deployment.events.step_started(same)
            deployment.events.step_done(same)
        if deployment.stack_urn not in deployment.olds:
            await self._execution.create(ResourceState(deployment.stack_urn, STACK_TYPE, custom=False), None)
        done: dict[str, asyncio.Task[bool]] = {}
        for spec in specs:  # parents first
            parent = done.get(spec.parent)
            done[spec.urn] = asyncio.create_task(self._import_after(parent, spec, is_protected))
        await asyncio.gather(*done.values())

    async def _import_after(self, parent: "asyncio.Task[bool] | None", spec: ImportSpec, is_protected: bool) -> bool:
        if (parent is not None and not await parent) or self._deployment.is_cancelled:
            return False
        try:
            await self._import(spec, is_protected)
        except ResourceError:
            return False
        return True

    async def _import(self, spec: ImportSpec, is_protected: bool) -> None:
        deployment = self._deployment
        if (old := deployment.olds.get(spec.urn)) is not None:
            if (old.import_id or old.id) == spec.id:
                return
            deployment.fail(spec.urn, f"resource '{spec.urn}' already exists, with the id '{old.id}'")
            raise ResourceError(spec.urn)
        new = ResourceState(spec.urn, spec.type, custom=not spec.is_component, parent=spec.parent, protect=is_protected)
        if spec.is_component:
            await self._execution.create(new, None, op=Op.IMPORT)
            return
        new.provider = await self._provider_of(spec)
        provider = await self._execution.guarded(spec.urn, "", lambda: self._providers.get(new.provider))
        started = deployment.metadata(Op.IMPORT, None, new)
        deployment.events.step_started(started)
        try:
            await self._execution.guarded(spec.urn, "importing failed", lambda: self._fill(new, spec, provider))
        except ResourceError:
            deployment.events.step_failed(started)
            raise
        deployment.news[new.urn] = new
        deployment.snapshot.add_new(new)
        await deployment.snapshot.save()
        deployment.events.step_done(deployment.metadata(Op.IMPORT, None, new))

    async def _provider_of(self, spec: ImportSpec) -> str:
        deployment = self._deployment
        if not spec.provider:
            return await self._provider_resources.default(package_of(spec.type), spec.version)
        state = deployment.olds.get(spec.provider)
        if state is None:
            deployment.fail(spec.urn, f"provider '{spec.provider}' is not in the state; run `up` with it first")
            raise ResourceError(spec.urn)
        return state.reference

    async def _fill(self, new: ResourceState, spec: ImportSpec, provider: Provider) -> None:
        deployment = self._deployment
        new.id = new.import_id = spec.id
        new.created = new.modified = now_text()
        async with deployment.slots:
            found = await _read(provider, new)
        if not found.id or found.outputs is None:
            deployment.fail(new.urn, f"importing failed: resource '{spec.id}' does not exist")
            raise ResourceError(new.urn)
        new.id = found.id
        new.outputs = add_secret_outputs(without_nulls(found.outputs), new.additional_secret_outputs)
        inputs: Properties = without_nulls(found.inputs or {})
        if spec.properties:
            inputs = {k: v for k, v in inputs.items() if k in spec.properties}
        deployment.events.never_show(secret_strings([inputs, new.outputs]))
        checked = await provider.check(new, inputs, inputs, os.urandom(32))
        for name, reason in checked.failures:
            # Told, not fatal: the resource is as it is, and the program that is to describe it has yet to be written.
            deployment.events.diagnostic("warning", f"property {name} value has a problem: {reason}", new.urn)
        new.inputs = inputs if checked.failures else without_nulls(checked.inputs)


async def _read(provider: Provider, new: ResourceState) -> ReadBack:
    """The provider may know nothing beforehand but the id."""
    try:
        return await provider.read(new, new.id, 0)
    except InitFailed as exc:
        return ReadBack(exc.identity, exc.outputs, exc.inputs)  # there, though not well
