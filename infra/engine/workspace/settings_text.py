"""Changing a YAML file as a person would: only the lines that say something else, so that comments and order stay. Pure.

A library that keeps comments (ruamel.yaml) would cost a dependency and 0.1 s of every command that touches configuration. This
changes whole entries of block mappings, two levels deep (`config:` and its keys), which is what Pulumi.STACK.yaml is; whoever
calls must check that the result means what was wanted, and write the file anew where it does not.
"""

from typing import Any

import yaml

Lines = list[str]


def edited(text: str, wanted: dict[str, Any]) -> str | None:
    """The text changed to mean `wanted`; None where that cannot be done line by line."""
    text = text if text.endswith("\n") else text + "\n"
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if not isinstance(root, yaml.MappingNode) or root.flow_style:
            return None
        lines = text.splitlines(keepends=True)
        result = "".join(_changed(lines, root, yaml.safe_load(text), wanted))
        return result if yaml.safe_load(result) == wanted else None
    except yaml.YAMLError:
        return None


def _changed(lines: Lines, node: yaml.MappingNode, have: dict[str, Any], wanted: dict[str, Any]) -> Lines:
    """Works from the last entry to the first, so that line numbers before it stay true."""
    indent = " " * node.start_mark.column
    last = _end(lines, node)
    added = "".join(_dumped({key: value}, indent) for key, value in wanted.items() if key not in have)
    lines = [*lines[:last], added, *lines[last:]] if added else lines
    for key_node, value_node in reversed(node.value):
        key = yaml.safe_load(yaml.serialize(key_node))
        first, end = key_node.start_mark.line, _end(lines, value_node)
        if key not in wanted:
            lines = [*lines[:first], *lines[end:]]
        elif have[key] != wanted[key]:
            lines = _entry(lines, key_node, value_node, have[key], wanted[key], indent)
    return lines


def _entry(lines: Lines, key_node: Any, value_node: Any, have: Any, wanted: Any, indent: str) -> Lines:
    first, end = key_node.start_mark.line, _end(lines, value_node)
    is_block = isinstance(value_node, yaml.MappingNode) and not value_node.flow_style and value_node.start_mark.line > first
    if is_block and isinstance(wanted, dict) and wanted:
        return _changed(lines, value_node, have, wanted)
    text = _dumped({key_node.value: wanted}, indent)
    start, stop = value_node.start_mark, value_node.end_mark
    if isinstance(value_node, yaml.ScalarNode) and start.line == stop.line == first and text.count("\n") == 1:
        # One line for one line: what follows the value on it, a comment, stays.
        line = lines[first]
        value = text.rstrip("\n").partition(": ")[2]
        return [*lines[:first], line[: start.column] + value + line[stop.column :], *lines[first + 1 :]]
    return [*lines[:first], text, *lines[end:]]


def _end(lines: Lines, node: Any) -> int:
    """The line after the node's last; PyYAML's mark lies after the comments and blank lines that follow."""
    mark = node.end_mark
    end: int = mark.line + 1 if mark.column > 0 else mark.line
    if not isinstance(node, yaml.ScalarNode):
        if mark.column > 0 and mark.line > node.start_mark.line and not node.flow_style:
            end = mark.line
        while end > node.start_mark.line + 1 and _is_quiet(lines[end - 1]):
            end -= 1
    return end


def _is_quiet(line: str) -> bool:
    return not line.strip() or line.lstrip().startswith("#")


def _dumped(entry: dict[str, Any], indent: str) -> str:
    text = yaml.safe_dump(entry, sort_keys=False, width=4096)
    return "".join(f"{indent}{line}" for line in text.splitlines(keepends=True))
