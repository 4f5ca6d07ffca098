"""Refresh: every resource is read, and the state says what is there."""

import asyncio

from infra.engine.errors import EngineError
from infra.engine.model.order import topological
from infra.engine.model.resource_state import ResourceState, now_text
from infra.engine.model.urns import is_provider_type
from infra.engine.model.values import add_secret_outputs, same_value, secret_strings, without_nulls
from infra.engine.planning.diff import difference
from infra.engine.planning.plan import Difference, Op
from infra.engine.plugins.remote import InitFailed, Provider, ProviderFailed, ReadBack
from infra.engine.running.deployment import Deployment
from infra.engine.running.registry import Providers


class Refresh:
    """Reads old states in parallel and puts what was found in their place."""

    def __init__(self, deployment: Deployment, providers: Providers) -> None:
        self._deployment = deployment
        self._providers = providers
        self._done: set[str] = set()

    async def run(self) -> None:
        """All that the user chose and that was not refreshed yet."""
        deployment = self._deployment
        for state in topological(deployment.snapshot.olds):
            deployment.targets.follow(state)
        chosen = [s for s in deployment.snapshot.olds if self._is_chosen(s)]
        await asyncio.gather(*(self.one(s, None) for s in chosen))
        self._forget_missing()
        deployment.olds = {s.urn: s for s in deployment.snapshot.olds if not s.delete and not deployment.snapshot.is_gone(s)}
        await deployment.snapshot.save()

    def _is_chosen(self, state: ResourceState) -> bool:
        if self._deployment.snapshot.is_gone(state) or state.urn in self._done:
            return False
        if not state.custom or is_provider_type(state.type) or state.pending_replacement or state.delete:
            return False
        return not self._deployment.options.is_targeted or self._deployment.targets.name(state.urn)

    async def one(self, old: ResourceState, provider: Provider | None) -> ResourceState | None:
        """The state as it is found, in the place of the old one; None where the resource is gone. Failures are reported.

        `provider` None asks the one that the state names."""
        deployment = self._deployment
        self._done.add(old.urn)
        if deployment.is_cancelled:
            return old
        started = deployment.metadata(Op.REFRESH, old, old)
        deployment.events.step_started(started)
        try:
            async with deployment.slots:
                found, init_errors = await _read(provider or await self._providers.get(old.provider), old)
        except (ProviderFailed, EngineError) as exc:
            deployment.fail(old.urn, f"refreshing failed: {exc}")
            deployment.events.step_failed(started)
            return old
        if not found.id:
            deployment.snapshot.drop(old)
            deployment.events.step_done(deployment.metadata(Op.DELETE, old, None))
            return None
        # Property dependencies are the program's knowledge, which a refresh drops (recorded behaviour of Pulumi's engine).
        new = old.copy(id=found.id, property_dependencies=None)
        new.outputs = add_secret_outputs(without_nulls(found.outputs or {}), old.additional_secret_outputs)
        if found.inputs is not None:
            new.inputs = without_nulls(found.inputs)
        # The state keeps these reasons in the clear, and a provider may quote in them what it was given or has just read.
        deployment.events.never_show(secret_strings([new.inputs, new.outputs]))
        new.init_errors = [deployment.events.redact(reason) for reason in init_errors]
        # Marks alone are no change: a program that makes a value secret has not changed what is in the cloud.
        is_changed = not (same_value(old.outputs, new.outputs) and same_value(old.inputs, new.inputs))
        if is_changed:
            new.modified = now_text()
        else:
            new.outputs, new.inputs = old.outputs, old.inputs
        deployment.snapshot.replace_old(old, new)
        kinds = difference(old.outputs, new.outputs) if is_changed else {}
        told = Difference(detailed=kinds, changed_keys=tuple(kinds))
        deployment.events.step_done(deployment.metadata(Op.UPDATE if is_changed else Op.SAME, old, new, told))
        return new

    def _forget_missing(self) -> None:
        """Nothing may depend on a resource that is gone."""
        snapshot = self._deployment.snapshot
        left = {s.urn for s in snapshot.states()}
        for state in snapshot.olds:
            if any(urn not in left for urn in state.dependencies):
                state.dependencies = [urn for urn in state.dependencies if urn in left]
                snapshot.touched(state)


async def _read(provider: Provider, old: ResourceState) -> tuple[ReadBack, list[str]]:
    try:
        return await provider.read(old, old.id, (old.custom_timeouts or {}).get("read", 0)), []
    except InitFailed as exc:
        return ReadBack(exc.identity, exc.outputs, exc.inputs), exc.reasons
