"""Every operation we send is one that Railway's real schema accepts."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest
from graphql import GraphQLSchema, build_client_schema, parse, validate

import infra.railway
from tests.shared import SHARED, needs_shared

SCHEMA = "railway/schema.introspection.json"
OPERATIONS = sorted(Path(infra.railway.__file__).parent.glob("*/*.graphql"))


@cache
def real_schema() -> GraphQLSchema:
    # assume_valid: Railway's own schema breaks a rule on deprecated interface fields; it is not ours to mend.
    return build_client_schema(json.loads((SHARED / SCHEMA).read_text())["data"], assume_valid=True)


@needs_shared(SCHEMA)
@pytest.mark.parametrize("path", OPERATIONS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_operation_is_valid_against_railways_schema(path: Path) -> None:
    """A typo in a field name would otherwise show at the first deploy."""
    assert [error.message for error in validate(real_schema(), parse(path.read_text()))] == []


def test_operations_were_found() -> None:
    assert len(OPERATIONS) > 20
