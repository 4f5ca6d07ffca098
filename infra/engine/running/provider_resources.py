"""Provider resources: explicit ones the program registers, and the default one of each package and version."""

import asyncio
from collections.abc import Callable

from infra.engine.errors import ResourceError
from infra.engine.model.resource_state import ResourceState
from infra.engine.model.urns import PROVIDER_PREFIX, make_urn, package_of
from infra.engine.model.values import has_unknown
from infra.engine.planning.goals import Goal
from infra.engine.planning.plan import Difference, Op, Wishes, complete, decide
from infra.engine.plugins.remote import Provider, RemoteProvider
from infra.engine.running.deployment import Deployment
from infra.engine.running.execution import Execution
from infra.engine.running.registry import Providers, default_inputs, new_provider_id


class ProviderResources:
    """Registers providers: CheckConfig, DiffConfig and Configure in the place of Check, Diff and Create."""

    def __init__(
        self,
        deployment: Deployment,
        providers: Providers,
        execution: Execution,
        find_old: Callable[[str, list[str]], ResourceState | None],
    ) -> None:
        self._deployment = deployment
        self._providers = providers
        self._execution = execution
        self._find_old = find_old
        self._defaults: dict[tuple[str, str], asyncio.Task[str]] = {}

    async def default(self, package: str, version: str) -> str:
        """Reference of the default provider, registered on first use."""
        key = (package, version)
        if key not in self._defaults:
            self._defaults[key] = asyncio.ensure_future(self._register_default(package, version))
        return await asyncio.shield(self._defaults[key])

    async def _register_default(self, package: str, version: str) -> str:
        # The name Pulumi gives: `default`, or `default_5_2_0` where the SDK asks for a version.
        name = "default_" + version.replace(".", "_").replace("-", "_").replace("+", "_") if version else "default"
        goal = Goal(type=PROVIDER_PREFIX + package, name=name, custom=True, version=version)
        goal.properties = default_inputs(self._deployment, package, version)
        stack = self._deployment.name
        state = await self.register(goal, make_urn(stack.stack, stack.project, "", goal.type, name))
        return state.reference

    async def register(self, goal: Goal, urn: str) -> ResourceState:
        deployment, execution = self._deployment, self._execution
        old = self._find_old(urn, [])
        new = ResourceState(
            urn=urn,
            type=goal.type,
            custom=True,
            parent=goal.parent,
            dependencies=goal.dependencies,
            property_dependencies=goal.property_dependencies or None,
            protect=bool(goal.protect),
            source_position=goal.source_position,
            stack_trace=goal.stack_trace,
        )
        wanted = dict(goal.properties)
        if goal.version:
            wanted.setdefault("version", goal.version)
        provider = await execution.guarded(urn, "", lambda: self._providers.load(package_of(goal.type), goal.version))
        new.inputs = wanted
        if isinstance(provider, RemoteProvider):
            checked = await execution.guarded(
                urn, "checking failed", lambda: provider.check_config(urn, goal.type, old.inputs if old else {}, wanted)
            )
            for name, reason in checked.failures:
                deployment.fail(urn, f"property {name}: {reason}" if name else reason)
            if checked.failures:
                raise ResourceError(urn)
            new.inputs = checked.inputs
        new.outputs = new.inputs
        await self._carry_out(goal, old, new, provider)
        await execution.guarded(urn, "configuring failed", lambda: self._providers.configure(provider, new, new.inputs))
        self._providers.put(new, provider)
        return new

    async def _carry_out(self, goal: Goal, old: ResourceState | None, new: ResourceState, provider: Provider) -> None:
        deployment, execution = self._deployment, self._execution
        if old is None:
            new.id = new_provider_id(deployment.is_preview)
            await execution.create(new, provider)
            return
        difference = await self._difference(old, new, provider)
        decision = decide(old, difference, Wishes(is_replace_asked=deployment.targets.ask_replacement(new.urn)))
        if decision.op is Op.SAME:
            outputs = new.outputs
            execution.same(old, new)
            new.outputs = outputs if old.inputs != new.inputs else old.outputs
        elif decision.op is Op.UPDATE:
            await execution.update(old, new, provider, difference)
        else:
            new.id = new_provider_id(deployment.is_preview)
            execution.announce_replacement(old, new, difference)
            await execution.create(new, provider, op=Op.CREATE_REPLACEMENT, condemns=old)
            deployment.replaced_urns.add(new.urn)

    async def _difference(self, old: ResourceState, new: ResourceState, provider: Provider) -> Difference:
        answer = Difference()
        if isinstance(provider, RemoteProvider) and not has_unknown(new.inputs) and old.inputs != new.inputs:
            answer = await self._execution.guarded(new.urn, "diffing failed", lambda: provider.diff_config(old, new.inputs))
        return complete(answer, old.inputs, new.inputs, Wishes())

    async def is_other_world(self, before: ResourceState, after: ResourceState) -> bool:
        """Whether resources of one provider cannot be taken over by the other."""
        provider = await self._providers.get(after.reference)
        if not isinstance(provider, RemoteProvider):
            return False
        answer = await self._execution.guarded(after.urn, "diffing failed", lambda: provider.diff_config(before, after.inputs))
        return answer.is_replace
