"""Deleting at the end of an update, and destroying: everything that nobody wants any more, dependents first."""

import asyncio

from infra.engine.errors import ResourceError, UsageError
from infra.engine.model.resource_state import ResourceState
from infra.engine.model.urns import is_provider_type
from infra.engine.planning.plan import Op, dependents, dependents_first
from infra.engine.running.deployment import Deployment
from infra.engine.running.execution import Execution


def unwanted(deployment: Deployment) -> list[ResourceState]:
    """Old states the program no longer registers, and replaced ones; for a destroy all. Within the targets."""
    snapshot = deployment.snapshot
    if deployment.options.kind == "destroy":
        left = snapshot.states()
    else:
        left = [s for s in snapshot.olds if not snapshot.is_gone(s) and (s.delete or s.urn not in deployment.seen)]
    if not deployment.options.is_targeted:
        return left
    if deployment.options.excludes:
        kept = _kept(deployment)
        return [s for s in left if s.urn not in kept or (s.delete and s.urn in deployment.replaced_urns)]
    # For deletes nothing is implied: a provider or the stack is deleted when it is named.
    return [s for s in left if deployment.is_named(s.urn) or (s.delete and s.urn in deployment.replaced_urns)]


def _kept(deployment: Deployment) -> set[str]:
    """URNs that the excludes keep: the named ones, their dependents where asked, and all that any of these needs."""
    states = deployment.snapshot.states()
    for state in states:
        deployment.follow(state)
    kept = {s.urn for s in states if not deployment.is_named(s.urn)}
    for state in reversed(states):  # needed ones come first in a snapshot
        if state.urn in kept:
            kept |= {*state.needs(), state.provider.rpartition("::")[0]}
    return kept


def with_dependents(deployment: Deployment, chosen: list[ResourceState]) -> list[ResourceState]:
    """The chosen ones and all that depends on them (--target-dependents); else dependents left out are an error.

    Raises UsageError naming the first dependent that stands in the way.
    """
    states = deployment.snapshot.states()
    edges = dependents(states)
    by_id = {id(s): s for s in states}
    found = {id(s) for s in chosen}
    queue = [id(s) for s in chosen]
    while queue:
        current = queue.pop()
        for dependent in edges.get(current, ()):
            if dependent in found:
                continue
            if not deployment.options.with_dependents:
                raise UsageError(
                    f"Resource '{by_id[dependent].urn}' will be destroyed but was not specified in --target list; it depends on "
                    f"'{by_id[current].urn}'. Either include the resource in --target list or pass --target-dependents to proceed"
                )
            found.add(dependent)
            queue.append(dependent)
    return [s for s in states if id(s) in found]


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
        op = Op.DELETE_REPLACED if state.delete else Op.DELETE
        if state.pending_replacement:
            op = Op.REMOVE_PENDING_REPLACE
        elif state.external:
            op = Op.DISCARD_REPLACED if state.delete else Op.READ_DISCARD
        try:
            await self._execution.delete(state, op, is_called=self._is_called(state))
        except ResourceError:
            return False
        return True

    def _is_called(self, state: ResourceState) -> bool:
        """Whether the provider has anything to do."""
        if not state.custom or is_provider_type(state.type) or state.external or state.pending_replacement:
            return False
        return not state.retain_on_delete and state.deleted_with not in self._doomed_urns

    def _refuse(self, state: ResourceState) -> bool:
        if not self._deployment.options.exclude_protected:
            self._deployment.fail(
                state.urn,
                f"resource {state.urn!r} cannot be deleted because it is protected; set protect=False in the program "
                "and run `up` first, or use --exclude-protected",
            )
        return False
