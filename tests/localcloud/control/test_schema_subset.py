"""Our SDL says nothing that Railway's real schema does not say: names, arguments, types, nullability, enum values."""

from __future__ import annotations

import json
from typing import Any

import pytest
from graphql import build_schema, introspection_from_schema

from infra.localcloud.railway_api.executable import executable_schema, schema_text
from tests.shared import SHARED, needs_shared

REAL = "railway/schema.introspection.json"
BUILT_IN = {"String", "Int", "Float", "Boolean", "ID"}


def text(reference: dict[str, Any]) -> str:
    if reference["kind"] == "NON_NULL":
        return f"{text(reference['ofType'])}!"
    if reference["kind"] == "LIST":
        return f"[{text(reference['ofType'])}]"
    return str(reference["name"])


def types_of(introspection: dict[str, Any]) -> dict[str, dict[str, Any]]:
    document = introspection.get("data", introspection)
    return {found["name"]: found for found in document["__schema"]["types"] if not found["name"].startswith("__")}


@pytest.fixture(scope="module")
def real() -> dict[str, dict[str, Any]]:
    return types_of(json.loads((SHARED / REAL).read_text()))


OURS = types_of(introspection_from_schema(build_schema(schema_text())))


@needs_shared(REAL)
@pytest.mark.parametrize("name", sorted(OURS.keys() - BUILT_IN))
def test_type_is_a_part_of_railways_own(name: str, real: dict[str, dict[str, Any]]):
    """A client that works here must not find a surprise there."""
    assert differences(OURS[name], real.get(name)) == []


def differences(ours: dict[str, Any], theirs: dict[str, Any] | None) -> list[str]:
    if theirs is None:
        return ["does not exist"]
    found = [] if ours["kind"] == theirs["kind"] else [f"kind {ours['kind']}, is {theirs['kind']}"]
    found += [f"does not implement {one}" for one in names(ours, "interfaces") - names(theirs, "interfaces")]
    found += [f"no enum value {one}" for one in names(ours, "enumValues") - names(theirs, "enumValues")]
    for kind in ("fields", "inputFields"):
        known = {one["name"]: one for one in theirs[kind] or ()}
        for one in ours[kind] or ():
            found += member_differences(one, known.get(one["name"]))
    return found


def names(described: dict[str, Any], kind: str) -> set[str]:
    return {one["name"] for one in described[kind] or ()}


def member_differences(ours: dict[str, Any], theirs: dict[str, Any] | None) -> list[str]:
    name = ours["name"]
    if theirs is None:
        return [f"no member {name}"]
    found = []
    if text(ours["type"]) != text(theirs["type"]):
        found.append(f"{name}: {text(ours['type'])}, is {text(theirs['type'])}")
    if ours.get("defaultValue") != theirs.get("defaultValue"):
        found.append(f"{name}: default {ours.get('defaultValue')}, is {theirs.get('defaultValue')}")
    known = {one["name"]: one for one in theirs.get("args") or ()}
    given = {one["name"] for one in ours.get("args") or ()}
    for one in ours.get("args") or ():
        found += [f"{name}.{each}" for each in member_differences(one, known.get(one["name"]))]
    found += [
        f"{name}: lacks required argument {one}" for one in known if text(known[one]["type"]).endswith("!") and one not in given
    ]
    return found


@needs_shared(REAL)
@pytest.mark.parametrize("name", sorted(name for name, found in OURS.items() if found["kind"] == "INPUT_OBJECT"))
def test_input_takes_every_field_of_railways_own(name: str, real: dict[str, dict[str, Any]]):
    """Clients made from Railway's schema send each of them, null where nothing is set; an unknown one refuses the whole call."""
    assert {one["name"] for one in real[name]["inputFields"]} - {one["name"] for one in OURS[name]["inputFields"]} == set()


@needs_shared(REAL)
@pytest.mark.parametrize("name", sorted(name for name, found in OURS.items() if found["kind"] == "ENUM" and name not in BUILT_IN))
def test_enum_has_every_value_of_railways_own(name: str, real: dict[str, dict[str, Any]]):
    """The CLI asks for all measurements in one query; one that the enum lacks would refuse the rest."""
    assert names(real[name], "enumValues") - names(OURS[name], "enumValues") == set()


def test_the_comparison_notices_every_kind_of_difference():
    """A test that compares nothing passes always."""
    one = types_of(
        introspection_from_schema(build_schema("enum E { A B } input I { a: Int = 1 } type Query { f(x: Int!): E! g: Int }"))
    )
    other = types_of(introspection_from_schema(build_schema("enum E { A } input I { a: Int } type Query { f(y: Int!): E }")))
    assert differences(one["E"], other["E"]) == ["no enum value B"]
    assert differences(one["I"], other["I"]) == ["a: default 1, is None"]
    assert differences(one["Query"], other["Query"]) == [
        "f: E!, is E",
        "f.no member x",
        "f: lacks required argument y",
        "no member g",
    ]
    assert differences(one["I"], None) == ["does not exist"]


def test_every_root_field_has_a_resolver():
    """graphql-core would answer null for a forgotten one."""
    schema = executable_schema()
    for root in (schema.query_type, schema.mutation_type):
        assert root is not None
        assert all(field.resolve is not None for field in root.fields.values())
