"""Carrying out one resource's step: create, update, delete, read. The only place that calls a provider's mutations.

Each step: announce, run the before-hooks, put the intent on disk, call, put the result on disk, run the after-hooks,
report. What fails is reported here and raised as ResourceError, so callers need not report again.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from infra.engine.errors import Bail, EngineError, ResourceError
from infra.engine.model.resource_state import ResourceState, now_text
from infra.engine.model.urns import is_provider_type
from infra.engine.model.values import Properties, add_secret_outputs, has_unknown, secret_strings, without_nulls
from infra.engine.planning.plan import Difference, Op
from infra.engine.plugins.remote import InitFailed, Provider, ProviderFailed
from infra.engine.running.callbacks import ERROR_HOOK_RETRIES_MAX, Hooks
from infra.engine.running.deployment import Deployment
from infra.engine.running.registry import Providers

Result = TypeVar("Result")


class Execution:
    """Steps of one deployment."""

    def __init__(self, deployment: Deployment, providers: Providers, hooks: Hooks) -> None:
        self._deployment = deployment
        self._providers = providers
        self._hooks = hooks

    async def guarded(self, urn: str, doing: str, call: Callable[[], Awaitable[Result]]) -> Result:
        """The call's result; a provider's or the engine's failure is reported for the URN and becomes ResourceError."""
        try:
            return await call()
        except ResourceError:
            raise
        except (ProviderFailed, EngineError) as exc:
            self._deployment.fail(urn, f"{doing}: {exc}" if doing else str(exc))
            raise ResourceError(str(exc)) from exc

    def same(self, old: ResourceState, new: ResourceState) -> None:
        """Takes over identity and outputs; only what the program says about the resource may have changed."""
        self._deployment.require_planned(Op.SAME, old, new)
        self._inherit(old, new)
        new.outputs, new.init_errors = old.outputs, old.init_errors
        if not set(new.additional_secret_outputs) <= set(old.additional_secret_outputs):
            # Pulumi's engine marks them with the next update only; until then the state would hold them in the clear.
            new.outputs = add_secret_outputs(old.outputs, new.additional_secret_outputs)
        if new.inputs == old.inputs:
            new.inputs = old.inputs  # keeps the ciphertexts of unchanged secrets
        self._done(Op.SAME, old, new)

    async def create(
        self,
        new: ResourceState,
        provider: Provider | None,
        *,
        op: Op = Op.CREATE,
        replaces: ResourceState | None = None,
        condemns: ResourceState | None = None,
    ) -> None:
        """Creates. `replaces` goes from the snapshot with the same save (it was deleted first); `condemns` stays in it,
        marked for deletion at the end, so that no moment knows two live resources of one URN."""
        deployment = self._deployment
        is_logical = op in (Op.CREATE, Op.IMPORT)
        deployment.require_planned(op, replaces or condemns, new)
        metadata = deployment.metadata(op, replaces or condemns, new, is_logical=is_logical)
        deployment.events.step_started(metadata)
        new.created = new.modified = now_text()

        async def perform() -> None:
            await self._hooks.run("BeforeCreate", new, new_inputs=new.inputs)
            if provider is None or is_provider_type(new.type):
                return
            if deployment.is_preview:
                new.id, new.outputs = await self._preview_create(new, provider)
            else:
                await deployment.snapshot.begin(new, "creating")
                new.id, outputs = await self._retried(
                    new,
                    "create",
                    {"new_inputs": new.inputs},
                    lambda: provider.create(new, new.inputs, self._timeout(new, "create"), False),
                )
                new.outputs = self._accept(new, outputs)
                if not new.id:
                    raise ProviderFailed("the provider returned no id")
            await self._hooks.run("AfterCreate", new, new_inputs=new.inputs, new_outputs=new.outputs)

        await self._attempt(new, metadata, perform, replaces, condemns)
        deployment.events.step_done(deployment.metadata(op, replaces or condemns, new, is_logical=is_logical))

    async def update(self, old: ResourceState, new: ResourceState, provider: Provider | None, difference: Difference) -> None:
        deployment = self._deployment
        deployment.require_planned(Op.UPDATE, old, new)
        metadata = deployment.metadata(Op.UPDATE, old, new, difference)
        deployment.events.step_started(metadata)
        self._inherit(old, new)
        new.modified = now_text()
        new.outputs = old.outputs if provider is None else new.outputs

        async def perform() -> None:
            fields = {"new_inputs": new.inputs, "old_inputs": old.inputs, "old_outputs": old.outputs}
            await self._hooks.run("BeforeUpdate", new, **fields)
            if provider is not None and not is_provider_type(new.type):
                if deployment.is_preview:
                    new.outputs = await self._preview_update(old, new, provider)
                else:
                    await deployment.snapshot.begin(new, "updating")
                    outputs = await self._retried(
                        new, "update", fields, lambda: provider.update(old, new, self._timeout(new, "update"), False)
                    )
                    new.outputs = self._accept(new, outputs)
            await self._hooks.run("AfterUpdate", new, **fields, new_outputs=new.outputs)

        await self._attempt(new, metadata, perform, old)
        deployment.events.step_done(deployment.metadata(Op.UPDATE, old, new, difference))

    def announce_replacement(self, old: ResourceState, new: ResourceState, difference: Difference) -> None:
        """The logical step that the user counts; its parts are reported as create-replacement and delete-replaced."""
        self._deployment.require_planned(Op.REPLACE, old, new)
        metadata = self._deployment.metadata(Op.REPLACE, old, new, difference)
        self._deployment.events.step_started(metadata)
        self._deployment.events.step_done(metadata)

    async def delete(self, old: ResourceState, op: Op, *, is_called: bool, stays: bool = False) -> None:
        """Deletes. `is_called`: the provider is asked; `stays`: the state remains, marked as pending replacement."""
        deployment = self._deployment
        deployment.require_planned(op, old, None)
        metadata = deployment.metadata(op, old, None, is_logical=op in (Op.DELETE, Op.READ_DISCARD))
        deployment.events.step_started(metadata)

        async def perform() -> None:
            if is_called:
                fields = {"old_inputs": old.inputs, "old_outputs": old.outputs}
                await self._hooks.run("BeforeDelete", old, **fields)
                if not deployment.is_preview:
                    provider = await self._providers.get(old.provider)
                    await deployment.snapshot.begin(old, "deleting")
                    await self._retried(old, "delete", fields, lambda: provider.delete(old, self._timeout(old, "delete")))
                await self._hooks.run("AfterDelete", old, **fields)

        async with deployment.slots:
            self._refuse_when_cancelled(old.urn)
            try:
                await self.guarded(old.urn, "deleting failed", perform)
            except ResourceError:
                deployment.events.step_failed(metadata)
                deployment.snapshot.end(old)
                await deployment.snapshot.save()
                raise
        deployment.snapshot.end(old)
        if stays:
            old.pending_replacement = True
            deployment.snapshot.touched(old)
        else:
            deployment.snapshot.drop(old)
        await deployment.snapshot.save()
        deployment.events.step_done(metadata)

    async def _retried(
        self,
        state: ResourceState,
        operation: str,
        fields: Mapping[str, Properties | None],
        call: Callable[[], Awaitable[Result]],
    ) -> Result:
        """The provider's call, again for as long as the resource's error hooks ask for it.

        Pulumi's engine asks after a half-made resource too and so may create a second one; we leave that to the next update.
        """
        errors: list[str] = []
        while True:
            try:
                return await call()
            except InitFailed:
                raise
            except ProviderFailed as exc:
                errors.insert(0, str(exc))
                if self._deployment.is_cancelled or not await self._hooks.is_to_be_retried(state, operation, errors, fields):
                    raise
                if len(errors) > ERROR_HOOK_RETRIES_MAX:
                    raise ProviderFailed(f"{exc}; gave up after {ERROR_HOOK_RETRIES_MAX} retries by error hooks") from exc
            count = f"({len(errors)}/{ERROR_HOOK_RETRIES_MAX})"
            told = f"retrying {operation} due to on-error hook request {count}"
            self._deployment.events.diagnostic("warning", told, state.urn)

    async def _attempt(
        self,
        new: ResourceState,
        metadata: dict[str, object],
        perform: Callable[[], Awaitable[None]],
        supersedes: ResourceState | None,
        condemns: ResourceState | None = None,
    ) -> None:
        """Runs a mutation and commits its result, whole or half."""
        deployment = self._deployment
        async with deployment.slots:
            self._refuse_when_cancelled(new.urn)
            try:
                await self.guarded(
                    new.urn, f"{metadata['op']} failed", lambda: self._with_partial_state(new, perform, supersedes, condemns)
                )
            except ResourceError as exc:
                deployment.events.step_failed(metadata)
                if not _may_have_happened(exc):
                    deployment.snapshot.end(new)
                await deployment.snapshot.save()
                raise
        deployment.snapshot.end(new)
        self._commit(new, supersedes, condemns)
        await deployment.snapshot.save()

    def _refuse_when_cancelled(self, urn: str) -> None:
        if self._deployment.is_cancelled:
            raise Bail(urn)

    async def _with_partial_state(
        self,
        new: ResourceState,
        perform: Callable[[], Awaitable[None]],
        supersedes: ResourceState | None,
        condemns: ResourceState | None,
    ) -> None:
        try:
            await perform()
        except InitFailed as exc:
            # The resource exists: it is kept with its errors, so that it is never orphaned and the next up mends it.
            new.id = exc.identity or new.id
            new.outputs = add_secret_outputs(without_nulls(exc.outputs), new.additional_secret_outputs)
            new.inputs = exc.inputs if exc.inputs is not None else new.inputs
            self._deployment.events.never_show(secret_strings([new.inputs, new.outputs]))
            new.init_errors = [self._deployment.events.redact(reason) for reason in exc.reasons or [str(exc)]]
            self._deployment.snapshot.end(new)
            self._commit(new, supersedes, condemns)
            reasons = "\n".join(f"  - {reason}" for reason in new.init_errors)
            raise ProviderFailed(
                f"the resource exists but its initialization failed; the next `up` tries again\n{reasons}"
            ) from exc

    def _commit(self, new: ResourceState, supersedes: ResourceState | None, condemns: ResourceState | None = None) -> None:
        if condemns is not None:
            condemns.delete = True
            self._deployment.snapshot.touched(condemns)
        self._deployment.events.never_show(secret_strings([new.inputs, new.outputs]))
        self._deployment.news[new.urn] = new
        self._deployment.snapshot.add_new(new, supersedes)

    def _done(self, op: Op, old: ResourceState, new: ResourceState) -> None:
        metadata = self._deployment.metadata(op, old, new)
        self._deployment.events.step_started(metadata)
        self._commit(new, old)
        self._deployment.events.step_done(metadata)

    @staticmethod
    def _inherit(old: ResourceState, new: ResourceState) -> None:
        new.id, new.created, new.modified = old.id, old.created, old.modified

    def _accept(self, new: ResourceState, outputs: Properties) -> Properties:
        if has_unknown(outputs):
            raise ProviderFailed("the provider returned unknown values outside a preview")
        return add_secret_outputs(without_nulls(outputs), new.additional_secret_outputs)

    async def _preview_create(self, new: ResourceState, provider: Provider) -> tuple[str, Properties]:
        if not (provider.is_configured and provider.supports_preview):
            return "", new.inputs
        _, outputs = await provider.create(new, new.inputs, 0, True)
        return "", add_secret_outputs(without_nulls(outputs), new.additional_secret_outputs)

    async def _preview_update(self, old: ResourceState, new: ResourceState, provider: Provider) -> Properties:
        if not (provider.is_configured and provider.supports_preview):
            return new.inputs
        outputs = await provider.update(old, new, 0, True)
        return add_secret_outputs(without_nulls(outputs), new.additional_secret_outputs)

    @staticmethod
    def _timeout(state: ResourceState, operation: str) -> float:
        """Seconds the provider may take; 0 leaves it to the provider."""
        return (state.custom_timeouts or {}).get(operation, 0)


def _may_have_happened(exc: ResourceError) -> bool:
    """Whether the plugin died during the call: then the pending operation stays, as after a death of our own."""
    return isinstance(exc.__cause__, ProviderFailed) and exc.__cause__.code == "UNAVAILABLE"
