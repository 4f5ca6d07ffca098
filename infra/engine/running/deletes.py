"""Carrying out the deletes at the end of an update or a destroy, dependents first."""

import asyncio

from infra.engine.errors import ResourceError
from infra.engine.model.order import dependents, dependents_first
from infra.engine.model.resource_state import ResourceState
from infra.engine.planning.deletion import delete_step, needs_provider
from infra.engine.running.deployment import Deployment
from infra.engine.running.execution import Execution


class Deletes:
    """Deletes a set of states in parallel, each after everything that depends on it."""

    def __init__(self, deployment: Deployment, execution: Execution) -> None:
        self._deployment = deployment
        self._execution = execution
        self._tasks: dict[int, asyncio.Task[bool]] = {}

    async def run(self, doomed: list[ResourceState]) -> None:
        """Failures are reported; the rest that does not depend on them goes on."""
        self._edges = dependents(self._deployment.snapshot.states())
        self._doomed = {id(s) for s in doomed}
        self._doomed_urns = {s.urn for s in doomed}
        for state in dependents_first(doomed, self._edges):
            self._tasks[id(state)] = asyncio.create_task(self._delete_in_turn(state))
        await asyncio.gather(*self._tasks.values())

    async def _delete_in_turn(self, state: ResourceState) -> bool:
        """True where the state is gone."""
        for dependent in self._edges.get(id(state), ()):
            if dependent not in self._doomed or not await self._tasks[dependent]:
                return False  # something that stays needs it; that has been reported where it is a failure
        deployment = self._deployment
        if deployment.is_cancelled:
            return False
        if state.protect and not state.delete:
            return self._refuse(state)
        try:
            is_called = needs_provider(state, self._doomed_urns)
            await self._execution.delete(state, delete_step(state), is_called=is_called)
        except ResourceError:
            return False
        return True

    def _refuse(self, state: ResourceState) -> bool:
        if not self._deployment.options.exclude_protected:
            self._deployment.fail(
                state.urn,
                f"resource {state.urn!r} cannot be deleted because it is protected; set protect=False in the program "
                "and run `up` first, or use --exclude-protected",
            )
        return False
