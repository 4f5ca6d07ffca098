"""How large a query may be, decided on its syntax tree before anything is resolved."""

from __future__ import annotations

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    SelectionSetNode,
)

BODY_BYTES_MAX = 2 * 1024 * 1024
TOKENS_MAX = 4000
DEPTH_MAX = 20
FIELDS_MAX = 1000


def check_size(document: DocumentNode) -> None:
    """GraphQLError where fields nest deeper than DEPTH_MAX or add up, fragments unfolded, to more than FIELDS_MAX.

    The document is valid already, so fragments exist and form no cycle.
    """
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    known: dict[str, tuple[int, int]] = {}
    for definition in document.definitions:
        selection = getattr(definition, "selection_set", None)
        if selection is None or isinstance(definition, FragmentDefinitionNode):
            continue
        depth, fields = _measure(selection, fragments, known)
        if depth > DEPTH_MAX:
            raise GraphQLError(f"Query is too deep: expected at most {DEPTH_MAX} levels, got {depth}")
        if fields > FIELDS_MAX:
            raise GraphQLError(f"Query is too complex: expected at most {FIELDS_MAX} fields, got {fields}")


def _measure(
    selection: SelectionSetNode, fragments: dict[str, FragmentDefinitionNode], known: dict[str, tuple[int, int]]
) -> tuple[int, int]:
    """(depth, number of fields); each fragment is measured once, however often it is spread."""
    depth, fields = 0, 0
    for node in selection.selections:
        if isinstance(node, FieldNode):
            below = _measure(node.selection_set, fragments, known) if node.selection_set else (0, 0)
            below = (below[0] + 1, below[1] + 1)
        elif isinstance(node, InlineFragmentNode):
            below = _measure(node.selection_set, fragments, known)
        else:
            assert isinstance(node, FragmentSpreadNode)
            name = node.name.value
            if name not in known:
                known[name] = _measure(fragments[name].selection_set, fragments, known)
            below = known[name]
        depth, fields = max(depth, below[0]), fields + below[1]
    return depth, fields
