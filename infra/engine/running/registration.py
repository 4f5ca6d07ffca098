"""What happens to a resource the program registers: find its old state, check, diff, decide, carry out.

One coroutine per registration; they meet only in the deployment's shared state. Waiting for one another is the
program's business: it registers a resource when what it depends on has answered.
"""

import os
from dataclasses import dataclass

from infra.engine.errors import Bail, ResourceError
from infra.engine.model import property_paths
from infra.engine.model.resource_state import ResourceState
from infra.engine.model.urns import is_default_provider, is_provider_type, make_urn, split_reference
from infra.engine.model.values import Properties, add_secret_outputs, same_value, secret_strings, without_nulls
from infra.engine.planning.goals import Goal, alias_urns
from infra.engine.planning.plan import Difference, Op, Wishes, complete, decide
from infra.engine.plugins.remote import Provider
from infra.engine.running.deployment import Deployment
from infra.engine.running.execution import Execution
from infra.engine.running.provider_resources import ProviderResources
from infra.engine.running.refresh import Refresh
from infra.engine.running.registry import Providers
from infra.engine.running.replacement import Replacement


@dataclass(frozen=True, slots=True)
class Registered:
    """The answer to the program."""

    state: ResourceState
    is_unknown: bool = False  # a targeted update left it uncreated
    is_stable: bool = False


class Registrar:
    """Registers resources of one deployment."""

    def __init__(
        self,
        deployment: Deployment,
        providers: Providers,
        execution: Execution,
        replacement: Replacement,
        refresh: Refresh,
    ) -> None:
        self._deployment = deployment
        self._providers = providers
        self._execution = execution
        self._replacement = replacement
        self._refresh = refresh
        self.provider_resources = ProviderResources(deployment, providers, execution, self.find_old)
        self._started: set[str] = set()
        self.aliases: dict[str, list[str]] = {}
        self._component_providers: dict[str, dict[str, str]] = {}

    def urn_of(self, goal: Goal) -> str:
        name = self._deployment.name
        return make_urn(name.stack, name.project, goal.parent, goal.type, goal.name)

    async def register(self, goal: Goal) -> Registered:
        """Raises ResourceError, reported already, where the resource cannot be made as wanted."""
        urn = self.urn_of(goal)
        self.claim(urn)
        self._deployment.positions[urn] = goal.source_position
        self._component_providers[urn] = {**self._component_providers.get(goal.parent, {}), **goal.providers}
        name = self._deployment.name
        self.aliases[urn] = alias_urns(goal, name.stack, name.project, self.aliases.get(goal.parent, []))
        if self._is_skipped_dependency(urn, goal):
            return self._skip(self.find_old(urn, self.aliases[urn]), new_state(goal, urn))
        if is_provider_type(goal.type):
            return Registered(await self.provider_resources.register(goal, urn))
        old = self.find_old(urn, self.aliases[urn])
        new = new_state(goal, urn)
        if not goal.custom:
            return await self._register_component(old, new)
        new.provider = await self.provider_reference(goal, urn)
        provider = await self._execution.guarded(urn, "", lambda: self._providers.get(new.provider))
        return await self._register_custom(goal, old, new, provider)

    def claim(self, urn: str) -> None:
        if urn in self._started:
            self._deployment.fail(urn, f"Duplicate resource URN '{urn}'; try giving it a unique name")
            raise ResourceError(urn)
        self._started.add(urn)

    def _is_skipped_dependency(self, urn: str, goal: Goal) -> bool:
        """Whether the resource cannot be looked at because one it needs was left uncreated.

        Raises ResourceError where the user's targets are the cause; a refresh or destroy by the program creates nothing."""
        deployment = self._deployment
        needed = {*goal.dependencies, *(u for urns in goal.property_dependencies.values() for u in urns)}
        if needed & deployment.failed_urns:
            raise Bail(urn)
        skipped = sorted((needed | {split_reference(goal.provider)[0]}) & deployment.skipped_creates)
        if not skipped or not deployment.targets.allow(urn):
            return False
        if deployment.options.is_destroy_by_program or deployment.options.kind == "refresh":
            return True
        deployment.fail(urn, f"Resource '{urn}' depends on '{skipped[0]}' which was not specified in --target list.")
        raise ResourceError(urn)

    def find_old(self, urn: str, aliases: list[str]) -> ResourceState | None:
        """The old state, under this URN or an alias; marks it as found, so that it is not deleted."""
        deployment = self._deployment
        for candidate in (urn, *aliases):
            old = deployment.olds.get(candidate)
            if old is not None and candidate not in deployment.seen:
                deployment.seen.add(candidate)
                if candidate != urn:
                    deployment.renamed[candidate] = urn
                return old
        return None

    async def provider_reference(self, goal: Goal, urn: str) -> str:
        """Explicit, from the parent's providers, or the default one of the package."""
        if goal.provider:
            return goal.provider
        package = goal.type.split(":", 1)[0]
        if goal.plugin_url == "" and (inherited := self._component_providers.get(goal.parent, {}).get(package)):
            return inherited
        return await self.provider_resources.default(package, goal.version)

    async def _register_component(self, old: ResourceState | None, new: ResourceState) -> Registered:
        if old is None:
            await self._execution.create(new, None)
            return Registered(new)
        new.outputs = old.outputs
        if same_value(old.inputs, new.inputs):
            self._execution.same(old, new)
        else:
            difference = complete(_unknown_difference(), old.inputs, new.inputs, Wishes())
            await self._execution.update(old, new, None, difference)
        return Registered(new)

    async def _register_custom(self, goal: Goal, old: ResourceState | None, new: ResourceState, provider: Provider) -> Registered:
        deployment = self._deployment
        deployment.targets.follow(new)
        if deployment.options.is_destroy_by_program:
            return self._skip(old, new) if old is None else self._keep(old, new)
        if (
            deployment.options.is_refresh_by_program
            and old is not None
            and deployment.targets.allow(new.urn)
            and provider.is_configured
        ):
            old = await self._refresh.one(old, provider)
            if old is not None and split_reference(old.provider)[0] == split_reference(new.provider)[0]:
                old.provider = new.provider
        if deployment.options.kind == "refresh":
            return self._skip(old, new)
        if not deployment.targets.allow(new.urn):
            return self._leave_untouched(old, new)
        if goal.import_id and (old is None or (old.import_id != goal.import_id and old.id != goal.import_id)):
            await self._replacement.import_resource(goal, old, new, provider)
            return Registered(new)
        if old is not None and old.external:
            await self._replacement.adopt_external(goal, old, new, provider)
            return Registered(new)
        if old is None or old.pending_replacement:
            await self._create(goal, old, new, provider)
            return Registered(new)
        return await self._change(goal, old, new, provider)

    async def _create(self, goal: Goal, old: ResourceState | None, new: ResourceState, provider: Provider) -> None:
        new.inputs = await self.checked(new, provider, {}, goal.properties)
        if old is None:
            await self._execution.create(new, provider)
            return
        self._execution.announce_replacement(old, new, complete(_unknown_difference(), old.inputs, new.inputs, Wishes()))
        await self._execution.create(new, provider, op=Op.CREATE_REPLACEMENT, replaces=old)

    async def _change(self, goal: Goal, old: ResourceState, new: ResourceState, provider: Provider) -> Registered:
        execution = self._execution
        wanted = (
            property_paths.reset(goal.properties, old.inputs, goal.ignore_changes) if goal.ignore_changes else goal.properties
        )
        new.inputs = await self.checked(new, provider, old.inputs, wanted)
        wishes = await self._wishes(goal, old, new)
        difference = _unknown_difference()
        if provider.is_configured:
            difference = await execution.guarded(
                new.urn, "diffing failed", lambda: provider.diff(old, new, new.inputs, goal.ignore_changes)
            )
        decision = decide(old, complete(difference, old.inputs, new.inputs, wishes), wishes)
        if decision.op is Op.SAME:
            execution.same(old, new)
            return Registered(new, is_stable=True)
        if decision.op is Op.UPDATE:
            await execution.update(old, new, provider, decision.difference)
            return Registered(new)
        new.inputs = await self.checked(new, provider, {}, goal.properties)
        await self._replacement.replace(old, new, provider, decision)
        return Registered(new)

    async def _wishes(self, goal: Goal, old: ResourceState, new: ResourceState) -> Wishes:
        deployment = self._deployment
        reason = ""
        if deployment.targets.ask_replacement(new.urn) or old.taint:
            reason = "id"
        elif goal.replacement_trigger is not None and not same_value(old.replacement_trigger, goal.replacement_trigger):
            reason = "replacementTrigger" if old.replacement_trigger is not None else ""
        elif set(goal.replace_with) & deployment.replaced_urns:
            reason = "replaceWith"
        elif await self._needs_other_provider(old, new):
            reason = "provider"
        return Wishes(goal.replace_on_changes, goal.ignore_changes, goal.delete_before_replace, bool(reason), reason)

    async def _needs_other_provider(self, old: ResourceState, new: ResourceState) -> bool:
        """Whether a change of provider means another resource: the new provider's DiffConfig decides, as in Pulumi."""
        if old.provider == new.provider or not old.provider:
            return False
        old_urn, _ = split_reference(old.provider)
        new_urn, _ = split_reference(new.provider)
        if is_default_provider(old_urn) and is_default_provider(new_urn):
            return False
        before = self._deployment.old_by_reference(old.provider) or self._deployment.news.get(old_urn)
        after = self._deployment.news.get(new_urn)
        if before is None or after is None:
            return False
        return await self.provider_resources.is_other_world(before, after)

    def _leave_untouched(self, old: ResourceState | None, new: ResourceState) -> Registered:
        """Outside the targets: as it was, or not there at all."""
        return self._skip(old, new) if old is None else self._keep(old, new)

    def _skip(self, old: ResourceState | None, new: ResourceState) -> Registered:
        """No step: the program gets what the state has, which stays where it is, or unknown values."""
        if old is None:
            self._deployment.skipped_creates.add(new.urn)
            return Registered(new, is_unknown=True)
        self._deployment.news[old.urn] = old
        return Registered(old)

    def _keep(self, old: ResourceState, new: ResourceState) -> Registered:
        kept = old.copy(urn=new.urn, parent=new.parent)
        self._execution.same(old, kept)
        return Registered(kept)

    async def checked(self, new: ResourceState, provider: Provider, olds: Properties, news: Properties) -> Properties:
        """Inputs as the provider completes them. Reports each failure and raises ResourceError."""
        events = self._deployment.events
        events.never_show(secret_strings(news))  # from here on the provider may quote them in its errors
        if not provider.is_configured:
            return news
        seed = os.urandom(32)
        answer = await self._execution.guarded(new.urn, "checking failed", lambda: provider.check(new, olds, news, seed))
        for name, reason in answer.failures:
            where = f"property {name} value has a problem: " if name else ""
            self._deployment.fail(new.urn, f"{where}{reason}")
        if answer.failures:
            raise ResourceError(new.urn)
        events.never_show(secret_strings(answer.inputs))
        return without_nulls(answer.inputs)

    async def read(self, goal: Goal, identity: str) -> Registered:
        """ReadResource: adopts a resource that someone else manages."""
        urn = self.urn_of(goal)
        self.claim(urn)
        self.aliases[urn] = []
        old = self.find_old(urn, [])
        new = new_state(goal, urn)
        new.external, new.id, new.inputs, new.property_dependencies = True, identity, goal.properties, None
        new.provider = await self.provider_reference(goal, urn)
        provider = await self._execution.guarded(urn, "", lambda: self._providers.get(new.provider))
        await self._replacement.read_external(old, new, provider)
        return Registered(new)

    def apply_outputs(self, urn: str, outputs: Properties) -> None:
        """RegisterResourceOutputs: a component's outputs."""
        state = self._deployment.news.get(urn)
        if state is None:
            return
        state.outputs = add_secret_outputs(without_nulls(outputs), state.additional_secret_outputs)
        self._deployment.snapshot.touched(state)


def _unknown_difference() -> Difference:
    return Difference()


def new_state(goal: Goal, urn: str) -> ResourceState:
    """The state a goal leads to, before any provider has spoken."""
    return ResourceState(
        urn=urn,
        type=goal.type,
        custom=goal.custom,
        inputs=goal.properties,
        parent=goal.parent,
        dependencies=goal.dependencies,
        property_dependencies=goal.property_dependencies,
        protect=bool(goal.protect),
        retain_on_delete=bool(goal.retain_on_delete),
        deleted_with=goal.deleted_with,
        replace_with=goal.replace_with,
        additional_secret_outputs=goal.additional_secret_outputs,
        custom_timeouts=goal.custom_timeouts or None,
        import_id=goal.import_id,
        ignore_changes=goal.ignore_changes,
        replace_on_changes=goal.replace_on_changes,
        hide_diffs=goal.hide_diffs,
        replacement_trigger=goal.replacement_trigger,
        resource_hooks=goal.hooks,
        source_position=goal.source_position,
        stack_trace=goal.stack_trace,
    )
