"""GraphQL operations, kept as .graphql files beside the resource that uses them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_HEAD = re.compile(r"^\s*(query|mutation|subscription)\s+(\w+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation; `name` is what Railway's people see in their traces and our users in errors."""

    name: str
    text: str
    is_query: bool


def load(module_file: str, file_name: str) -> Operation:
    """The operation in `file_name` beside `module_file`; each file holds exactly one."""
    text = (Path(module_file).parent / file_name).read_text(encoding="utf-8")
    heads = _HEAD.findall(text)
    if len(heads) != 1:
        raise ValueError(f"{file_name}: expected one operation, got {len(heads)}")
    kind, name = heads[0]
    return Operation(name, text, kind == "query")
