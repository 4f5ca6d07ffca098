"""What is to be deleted at the end of an update, and how. Pure."""

from collections.abc import Collection

from infra.engine.errors import UsageError
from infra.engine.model.order import dependents
from infra.engine.model.resource_state import ResourceState
from infra.engine.model.urns import is_provider_type
from infra.engine.planning.options import Options
from infra.engine.planning.plan import Op
from infra.engine.planning.targets import Targets


def unwanted(
    states: list[ResourceState], left_over: list[ResourceState], replaced_urns: set[str], options: Options, targets: Targets
) -> list[ResourceState]:
    """Of `left_over`, for a destroy of all `states`: those that the user's targets do not spare.

    `left_over` are old states that the program no longer registers, and replaced ones.
    """
    chosen = states if options.kind == "destroy" else left_over
    if not options.is_targeted:
        return list(chosen)
    if options.excludes:
        kept = _kept(states, targets)
        return [s for s in chosen if s.urn not in kept or (s.delete and s.urn in replaced_urns)]
    # For deletes nothing is implied: a provider or the stack is deleted when it is named.
    return [s for s in chosen if targets.name(s.urn) or (s.delete and s.urn in replaced_urns)]


def _kept(states: list[ResourceState], targets: Targets) -> set[str]:
    """URNs that the excludes keep: the named ones, their dependents where asked, and all that any of these needs."""
    for state in states:
        targets.follow(state)
    kept = {s.urn for s in states if not targets.name(s.urn)}
    for state in reversed(states):  # needed ones come first in a snapshot
        if state.urn in kept:
            kept |= {*state.needs(), state.provider.rpartition("::")[0]}
    return kept


def with_dependents(states: list[ResourceState], chosen: list[ResourceState], options: Options) -> list[ResourceState]:
    """The chosen ones and all that depends on them (--target-dependents); else dependents left out are an error.

    Raises UsageError naming the first dependent that stands in the way.
    """
    edges = dependents(states)
    by_id = {id(s): s for s in states}
    found = {id(s) for s in chosen}
    queue = [id(s) for s in chosen]
    while queue:
        current = queue.pop()
        for dependent in edges.get(current, set()) - found:
            if not options.with_dependents:
                raise UsageError(
                    f"Resource '{by_id[dependent].urn}' will be destroyed but was not specified in --target list; it depends on "
                    f"'{by_id[current].urn}'. Either include the resource in --target list or pass --target-dependents to proceed"
                )
            found.add(dependent)
            queue.append(dependent)
    return [s for s in states if id(s) in found]


def delete_step(state: ResourceState) -> Op:
    """By what name the user is told of it."""
    if state.pending_replacement:
        return Op.REMOVE_PENDING_REPLACE
    if state.external:
        return Op.DISCARD_REPLACED if state.delete else Op.READ_DISCARD
    return Op.DELETE_REPLACED if state.delete else Op.DELETE


def needs_provider(state: ResourceState, doomed_urns: Collection[str]) -> bool:
    """Whether the provider has anything to do: not for what is only read, is gone already, stays, or goes with another."""
    if not state.custom or is_provider_type(state.type) or state.external or state.pending_replacement:
        return False
    return not state.retain_on_delete and state.deleted_with not in doomed_urns
