"""Which resource comes before which. Pure, and without recursion: a chain of thousands is no problem."""

from collections.abc import Collection, Iterable

from infra.engine.model.resource_state import ResourceState


def topological(states: Iterable[ResourceState]) -> list[ResourceState]:
    """Dependencies first; otherwise the order given. A cycle (possible only in damaged state) is cut, not refused."""
    states = list(states)
    by_urn: dict[str, list[ResourceState]] = {}
    for state in states:
        by_urn.setdefault(state.urn, []).append(state)
    done: set[int] = set()
    ordered: list[ResourceState] = []

    def visit(root: ResourceState) -> None:
        stack: list[tuple[ResourceState, bool]] = [(root, False)]
        while stack:
            state, is_expanded = stack.pop()
            if is_expanded:
                ordered.append(state)
            elif id(state) not in done:
                done.add(id(state))
                stack.append((state, True))
                urns = [state.provider.rpartition("::")[0], *sorted(state.needs())]
                stack.extend((s, False) for urn in reversed(urns) for s in reversed(by_urn.get(urn, ())))

    for state in states:
        visit(state)
    return ordered


def dependents(states: Collection[ResourceState]) -> dict[int, set[int]]:
    """id(state) -> ids of the states that need it: as parent, dependency, deletedWith or provider."""
    by_urn: dict[str, list[ResourceState]] = {}
    by_reference: dict[str, list[ResourceState]] = {}
    for state in states:
        by_urn.setdefault(state.urn, []).append(state)
        by_reference.setdefault(state.reference, []).append(state)
    edges: dict[int, set[int]] = {}
    for state in states:
        needed = [s for urn in state.needs() for s in by_urn.get(urn, ())]
        if state.provider:
            needed += by_reference.get(state.provider, ())
        for other in needed:
            # A replaced resource and its replacement share a URN: the old may be deleted while new dependents stay.
            if other is not state and not (other.delete and not state.delete and len(by_urn[other.urn]) > 1):
                edges.setdefault(id(other), set()).add(id(state))
    return edges


def dependents_first(states: Collection[ResourceState], edges: dict[int, set[int]]) -> list[ResourceState]:
    """States ordered so that each comes after all that depend on it; `edges` maps id(state) to ids of its dependents."""
    by_id = {id(state): state for state in states}
    done: set[int] = set()
    ordered: list[ResourceState] = []
    for root in reversed(list(states)):
        stack = [(id(root), False)]
        while stack:
            identity, is_expanded = stack.pop()
            if is_expanded:
                ordered.append(by_id[identity])
            elif identity not in done:
                done.add(identity)
                stack.append((identity, True))
                stack += [(dependent, False) for dependent in edges.get(identity, ()) if dependent in by_id]
    return ordered
