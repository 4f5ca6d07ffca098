"""Values to the wire and back: nothing loses its mark."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.provider.comparison import Kind, child, compare
from infra.provider.fields import Field
from infra.provider.properties import (
    UNKNOWN,
    Secret,
    from_struct,
    has_secret,
    has_unknown,
    mark_like,
    plain,
    secret_texts,
    to_struct,
)
from infra.provider.rules import Anything


def marked_once(value: Any) -> Any:
    return value if isinstance(value, Secret) else Secret(value)


LEAVES = st.one_of(st.booleans(), st.integers(-(2**53), 2**53), st.text(max_size=8), st.just(UNKNOWN))
KEYS = st.text(min_size=1, max_size=6)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3), inner.map(marked_once)),
    max_leaves=12,
)
BAGS = st.dictionaries(KEYS, VALUES, max_size=4)


@given(BAGS)
def test_wire_round_trip(bag: dict[str, Any]) -> None:
    assert from_struct(to_struct(bag)) == bag


@given(BAGS)
def test_plain_values_carry_no_marks(bag: dict[str, Any]) -> None:
    assert not has_secret(plain(bag))
    assert has_unknown(bag) == has_unknown(plain(bag))


@given(BAGS)
def test_marks_can_be_put_back(bag: dict[str, Any]) -> None:
    """What Railway reads back without marks is stored with the marks it had."""
    marked = mark_like(bag, plain(bag))
    assert plain(marked) == plain(bag)
    assert secret_texts(bag) <= secret_texts(marked)


@given(BAGS)
def test_difference_of_a_thing_and_itself_is_empty(bag: dict[str, Any]) -> None:
    fields = [Field(name, Anything()) for name in bag]
    changes = compare(fields, bag, bag)
    assert bool(changes) == has_unknown(bag), "an unknown is never known to be the same"


@given(BAGS, BAGS)
def test_difference_is_found_in_both_directions(old: dict[str, Any], new: dict[str, Any]) -> None:
    fields = [Field(name, Anything()) for name in old.keys() | new.keys()]
    if not has_unknown(old) and not has_unknown(new):
        there, back = compare(fields, old, new), compare(fields, new, old)
        assert {each.path for each in there} == {each.path for each in back}
        mirrored = {Kind.ADD: Kind.DELETE, Kind.DELETE: Kind.ADD, Kind.UPDATE: Kind.UPDATE}
        assert {(each.path, mirrored[each.kind]) for each in there} == {(each.path, each.kind) for each in back}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"v": {"A": "1"}}, {"v": {"A": Secret("1")}}, {}),
        ({"v": {"A": Secret("1")}}, {"v": {"A": Secret("2")}}, {"v.A": Kind.UPDATE}),
        ({"v": Secret({"A": "1", "B": "2"})}, {"v": Secret({"A": "1"})}, {"v.B": Kind.DELETE}),
        ({"v": ["a", "b"]}, {"v": ["a", "c"]}, {"v[1]": Kind.UPDATE}),
        ({"v": ["a"]}, {"v": ["a", "c"]}, {"v": Kind.UPDATE}),
        ({}, {"v": 1}, {"v": Kind.ADD}),
        ({"v": 1}, {}, {"v": Kind.DELETE}),
        ({"v": "x"}, {"v": UNKNOWN}, {"v": Kind.UPDATE}),
        ({"v": {"a.b": "1"}}, {"v": {"a.b": "2"}}, {'v["a.b"]': Kind.UPDATE}),
    ],
)
def test_differences(old: dict[str, Any], new: dict[str, Any], expected: dict[str, Kind]) -> None:
    assert {each.path: each.kind for each in compare([Field("v", Anything())], old, new)} == expected


def test_odd_keys_are_quoted() -> None:
    assert child("v", "us-west2") == "v.us-west2"
    assert child("v", 'a"b]') == 'v["a\\"b]"]'


def test_secrets_do_not_print() -> None:
    assert "hush" not in repr({"a": Secret({"b": "hush"})})


def test_a_stranger_among_secrets_is_secret() -> None:
    assert mark_like({"A": Secret("1")}, {"A": "1", "B": "2"}) == {"A": Secret("1"), "B": Secret("2")}
    assert mark_like({"A": "1"}, {"A": "1", "B": "2"}) == {"A": "1", "B": "2"}
