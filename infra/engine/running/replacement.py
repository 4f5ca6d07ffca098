"""Replacing, importing and reading: the steps where one URN has two lives."""

from infra.engine.errors import ResourceError
from infra.engine.model.order import topological
from infra.engine.model.resource_state import ResourceState, now_text
from infra.engine.model.urns import is_provider_type
from infra.engine.model.values import UNKNOWN, add_secret_outputs, without_nulls
from infra.engine.planning.goals import Goal
from infra.engine.planning.plan import Decision, Difference, Op, Wishes, complete
from infra.engine.plugins.remote import InitFailed, Provider, ProviderFailed, ReadBack
from infra.engine.running.deployment import Deployment
from infra.engine.running.execution import Execution
from infra.engine.running.registry import Providers


class Replacement:
    """Create-before-delete, delete-before-replace with its dependents, import and read."""

    def __init__(self, deployment: Deployment, providers: Providers, execution: Execution) -> None:
        self._deployment = deployment
        self._providers = providers
        self._execution = execution

    async def replace(self, old: ResourceState, new: ResourceState, provider: Provider, decision: Decision) -> None:
        deployment = self._deployment
        if old.protect:
            deployment.fail(
                new.urn,
                f"unable to replace protected resource {new.urn!r}: set protect=False in the program, run `up`, then try again",
            )
            raise ResourceError(new.urn)
        deployment.replaced_urns.add(new.urn)
        if decision.delete_first:
            deployment.require_planned(Op.REPLACE, old, new)  # before the first delete, not after it
            await self._delete_first(old)
            self._execution.announce_replacement(old, new, decision.difference)
            await self._execution.create(new, provider, op=Op.CREATE_REPLACEMENT, replaces=old)
            return
        self._execution.announce_replacement(old, new, decision.difference)
        await self._execution.create(new, provider, op=Op.CREATE_REPLACEMENT, condemns=old)

    def _condemn(self, old: ResourceState) -> None:
        """Marks the old one for deletion at the end, in the state too: an interrupted run goes on from there."""
        old.delete = True
        self._deployment.snapshot.touched(old)

    async def _delete_first(self, old: ResourceState) -> None:
        """Deletes what depends on the resource and must be replaced with it, then the resource, leaving marked states."""
        doomed = [*await self._dependent_replacements(old), old]
        for state in doomed:
            if state.protect:
                self._deployment.fail(state.urn, f"resource {state.urn!r} cannot be deleted because it is protected")
                raise ResourceError(state.urn)
        for state in doomed:
            if not self._deployment.snapshot.is_gone(state) and not state.pending_replacement:
                is_called = state.custom and not state.external and not state.retain_on_delete
                await self._execution.delete(state, Op.DELETE_REPLACED, is_called=is_called, stays=True)

    async def _dependent_replacements(self, root: ResourceState) -> list[ResourceState]:
        """Old states that must be replaced together with `root`, dependents first.

        Each dependent is asked what it would do if the properties it takes from replaced resources were unknown
        (pkg/resource/deploy step_generator calculateDependentReplacements).
        """
        deployment = self._deployment
        olds = [s for s in deployment.snapshot.olds if not s.delete and not deployment.snapshot.is_gone(s)]
        replaced, doomed = {root.urn}, []
        for state in topological(olds):
            if state is root or not state.custom or is_provider_type(state.type) or state.external:
                continue
            if await self._falls_with(state, replaced):
                replaced.add(state.urn)
                doomed.append(state)
        return doomed[::-1]

    async def _falls_with(self, state: ResourceState, replaced: set[str]) -> bool:
        if state.deleted_with in replaced:
            return True
        names = [name for name, urns in (state.property_dependencies or {}).items() if replaced & set(urns)]
        if not names:
            return False
        provider = await self._execution.guarded(state.urn, "", lambda: self._providers.get(state.provider))
        inputs = {**state.inputs, **dict.fromkeys(names, UNKNOWN)}
        answer = await self._execution.guarded(
            state.urn, "diffing failed", lambda: provider.diff(state, state, inputs, state.ignore_changes)
        )
        wishes = Wishes(state.replace_on_changes, state.ignore_changes)
        return complete(answer, state.inputs, inputs, wishes).is_replace

    async def import_resource(self, goal: Goal, old: ResourceState | None, new: ResourceState, provider: Provider) -> None:
        """Takes over an existing resource; the program's inputs must describe it as it is."""
        execution, deployment = self._execution, self._deployment
        op = Op.IMPORT if old is None else Op.IMPORT_REPLACEMENT
        deployment.require_planned(op, old, new.copy(inputs=goal.properties))
        deployment.events.step_started(deployment.metadata(op, old, new))
        new.id = goal.import_id
        new.created = new.modified = now_text()
        found = await self._read(new.copy(inputs={}, outputs={}), provider, goal.import_id)
        if not found.id or found.outputs is None:
            self._failed(op, old, new, f"importing failed: resource '{goal.import_id}' does not exist")
        remote = new.copy(inputs=without_nulls(found.inputs or {}), outputs=without_nulls(found.outputs or {}))
        checked = await execution.guarded(
            new.urn, "checking failed", lambda: provider.check(new, remote.inputs, goal.properties, b"\0" * 32)
        )
        for name, reason in checked.failures:
            deployment.fail(new.urn, f"property {name} value has a problem: {reason}" if name else reason)
        if checked.failures:
            raise ResourceError(new.urn)
        new.inputs = without_nulls(checked.inputs)
        answer = await execution.guarded(
            new.urn, "diffing failed", lambda: provider.diff(remote, new, new.inputs, goal.ignore_changes)
        )
        difference = complete(answer, remote.inputs, new.inputs, Wishes(ignore_changes=goal.ignore_changes))
        if difference.detailed or difference.is_replace:
            paths = ", ".join(difference.detailed or difference.changed_keys)
            self._failed(
                op, old, new, f"importing failed: inputs to import do not match the existing resource; these differ: {paths}"
            )
        new.outputs = add_secret_outputs(remote.outputs, new.additional_secret_outputs)
        if old is not None:
            self._condemn(old)
        await self._commit(op, old, new, None)

    async def adopt_external(self, goal: Goal, old: ResourceState, new: ResourceState, provider: Provider) -> None:
        """A resource that was only read is now ours to make; the one that was read is nobody's to delete."""
        checked = await self._execution.guarded(
            new.urn, "checking failed", lambda: provider.check(new, {}, goal.properties, b"\0" * 32)
        )
        for name, reason in checked.failures:
            self._deployment.fail(new.urn, f"property {name} value has a problem: {reason}" if name else reason)
        if checked.failures:
            raise ResourceError(new.urn)
        new.inputs = without_nulls(checked.inputs)
        self._execution.announce_replacement(old, new, Difference())
        await self._execution.create(new, provider, op=Op.CREATE_REPLACEMENT, replaces=old)

    async def read_external(self, old: ResourceState | None, new: ResourceState, provider: Provider) -> None:
        """`.get`: reads; a resource that is not there is an error. Absent properties mean "not there" (not an empty id)."""
        deployment = self._deployment
        is_replacing = old is not None and not old.external
        op = Op.READ_REPLACEMENT if is_replacing else Op.READ
        deployment.events.step_started(deployment.metadata(op, old, new))
        if new.id == "" or not provider.is_configured:
            new.outputs = {}
            await self._commit(op, old, new, old)
            return
        found = await self._read(new.copy(inputs={}, outputs=new.inputs), provider, new.id)
        if found.outputs is None:
            self._failed(op, old, new, f"reading failed: resource '{new.id}' does not exist")
        new.outputs = add_secret_outputs(without_nulls(found.outputs or {}), new.additional_secret_outputs)
        new.id = found.id or new.id
        if old is not None:
            new.created, new.modified = old.created, old.modified
            if old.inputs != new.inputs or old.outputs != new.outputs:
                new.modified = now_text()
        if is_replacing:
            assert old is not None
            self._condemn(old)
        await self._commit(op, old, new, None if is_replacing else old)

    async def _read(self, asked: ResourceState, provider: Provider, identity: str) -> ReadBack:
        """`asked` holds what the provider may know beforehand, which for an import is nothing but the id."""
        try:
            async with self._deployment.slots:
                return await provider.read(asked, identity, 0)
        except InitFailed as exc:
            return ReadBack(exc.identity, exc.outputs, exc.inputs)  # there, though not well
        except ProviderFailed as exc:
            self._deployment.fail(asked.urn, f"reading failed: {exc}")
            raise ResourceError(asked.urn) from exc

    def _failed(self, op: Op, old: ResourceState | None, new: ResourceState, message: str) -> None:
        self._deployment.fail(new.urn, message)
        self._deployment.events.step_failed(self._deployment.metadata(op, old, new))
        raise ResourceError(new.urn)

    async def _commit(self, op: Op, old: ResourceState | None, new: ResourceState, supersedes: ResourceState | None) -> None:
        self._deployment.news[new.urn] = new
        self._deployment.snapshot.add_new(new, supersedes)
        await self._deployment.snapshot.save()
        self._deployment.events.step_done(self._deployment.metadata(op, old, new))
