"""The pure rooms, `planning` and `model`, branch by branch, and their laws.

docs/engine.md says how their coverage is measured.
"""

import copy
import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.engine.errors import StateError, UsageError
from infra.engine.model import property_paths, values
from infra.engine.model.order import dependents, dependents_first, topological
from infra.engine.model.resource_state import ResourceState, now_text
from infra.engine.model.stack_name import StackName, stack_urn
from infra.engine.model.urns import is_default_provider, package_of, split_reference
from infra.engine.model.values import UNKNOWN, Output, Secret
from infra.engine.planning import update_plan
from infra.engine.planning.deletion import delete_step, needs_provider, unwanted, with_dependents
from infra.engine.planning.diff import Kind, difference, without_ignored
from infra.engine.planning.goals import AliasSpec, Goal, alias_urns, duration_s
from infra.engine.planning.import_file import parse_import_file, single_import
from infra.engine.planning.options import Options
from infra.engine.planning.plan import Changes, Difference, Op, Wishes, complete, decide
from infra.engine.planning.targets import Targets
from infra.engine.planning.update_plan import Guard, Recorder, state_digest

ROOT = "urn:pulumi:dev::shop::"
STACK = f"{ROOT}pulumi:pulumi:Stack::shop-dev"
PROVIDER = f"{ROOT}pulumi:providers:t::mine"


class Reversing:
    def encrypt(self, text: str) -> str:
        return text[::-1]

    def decrypt(self, ciphertext: str) -> str:
        return ciphertext[::-1]


def urn(name: str) -> str:
    return f"{ROOT}t:i:T::{name}"


def state(name: str, **fields: Any) -> ResourceState:
    return ResourceState(urn=urn(name), **{"type": "t:i:T", "custom": True, "id": name, **fields})


# --- order


def test_a_chain_of_thousands_has_an_order() -> None:
    """Python's own stack would end at one thousand."""
    chain = [state("0"), *(state(str(n), dependencies=[urn(str(n - 1))]) for n in range(1, 3000))]
    assert [s.id for s in topological(chain[::-1])] == [s.id for s in chain]
    assert [s.id for s in dependents_first(chain, dependents(chain))] == [s.id for s in chain[::-1]]


def test_dependents_are_found_by_every_kind_of_need() -> None:
    """Parent, dependency, property, deletedWith, replaceWith, provider; a replaced life holds nobody but its own kind."""
    provider = ResourceState(PROVIDER, "pulumi:providers:t", custom=True, id="p")
    a = state("a")
    users = [
        state("b", parent=a.urn),
        state("c", dependencies=[a.urn]),
        state("d", property_dependencies={"x": [a.urn]}),
        state("e", deleted_with=a.urn),
        state("f", replace_with=[a.urn]),
        state("g", provider=provider.reference),
    ]
    edges = dependents([provider, a, *users])
    assert edges[id(a)] == {id(user) for user in users[:5]}
    assert edges[id(provider)] == {id(users[5])}
    alone = state("a", delete=True)
    assert dependents([alone, users[0]]) == {id(alone): {id(users[0])}}  # with no other life of the URN it is the one needed


GRAPHS = st.lists(st.lists(st.integers(0, 11), max_size=3), max_size=12)


@settings(max_examples=80, deadline=None)
@given(graph=GRAPHS, shuffle=st.randoms(use_true_random=False))
def test_orders_respect_every_edge_and_lose_nobody(graph: list[list[int]], shuffle: Any) -> None:
    """Of any graph without circles; with one, all are still there once."""
    states = [state(str(n), dependencies=[urn(str(m)) for m in needs if m < n]) for n, needs in enumerate(graph)]
    mixed = list(states)
    shuffle.shuffle(mixed)
    place = {s.urn: n for n, s in enumerate(topological(mixed))}
    assert len(place) == len(states)
    assert all(place[need] < place[s.urn] for s in states for need in s.dependencies)
    place = {s.urn: n for n, s in enumerate(dependents_first(mixed, dependents(mixed)))}
    assert all(place[need] > place[s.urn] for s in states for need in s.dependencies)
    circle = [state(str(n), dependencies=[urn(str(m)) for m in needs]) for n, needs in enumerate(graph)]
    assert sorted(s.id for s in topological(circle)) == sorted(s.id for s in circle)


# --- targets and deletion


def targets(**options: Any) -> Targets:
    return Targets(Options(**options), STACK)


def test_targets_name_what_they_match_and_imply_providers_for_updates_only() -> None:
    """`*` stays within one part of a URN, `**` does not."""
    chosen = targets(targets=(f"{ROOT}t:i:*::a", "**::b"))
    assert [chosen.allow(u) for u in (urn("a"), urn("b"), urn("c"), PROVIDER, STACK)] == [True, True, False, True, True]
    assert [chosen.name(u) for u in (PROVIDER, STACK)] == [False, False]
    assert targets().allow(urn("a"))
    assert not targets(targets=("urn:*",)).name(urn("a"))
    excluded = targets(excludes=(urn("a"),))
    assert [excluded.allow(urn(n)) for n in "ab"] == [False, True]
    assert targets(replaces=(urn("a"),)).ask_replacement(urn("a"))
    chosen.check({urn("a"), urn("b")})
    with pytest.raises(UsageError, match="no resource named"):
        chosen.check({urn("a")})


def test_dependents_follow_a_target_or_an_exclude() -> None:
    """Where the user asked for it; in the order in which they are met."""
    a, b, c, d = state("a"), state("b", dependencies=[urn("a")]), state("c", provider=f"{urn('b')}::b"), state("d")
    for options, followed in (
        ({"targets": (urn("a"),), "with_dependents": True}, [True, True, True, False]),
        ({"targets": (urn("a"),)}, [True, False, False, False]),
        ({"excludes": (urn("a"),), "with_dependents": True}, [False, False, False, True]),
    ):
        chosen = targets(**options)
        for one in (a, b, c, d):
            chosen.follow(one)
        assert [chosen.name(one.urn) for one in (a, b, c, d)] == followed


def names(states: list[ResourceState]) -> list[str]:
    return [s.id for s in states]


def test_what_is_unwanted_depends_on_the_command_and_the_targets() -> None:
    """An exclude keeps what the excluded needs; a replaced life goes with its replacement."""
    a, b, c = state("a"), state("b", dependencies=[urn("a")]), state("c")
    old = state("r", delete=True)
    everything = [a, b, c, old]

    def chosen(left: list[ResourceState], **options: Any) -> list[str]:
        return names(unwanted(everything, left, {urn("r")}, Options(**options), targets(**options)))

    assert chosen([c]) == ["c"]
    assert chosen([], kind="destroy") == ["a", "b", "c", "r"]
    assert chosen([], kind="destroy", excludes=(urn("b"),)) == ["c", "r"]
    assert chosen([], kind="destroy", excludes=(urn("a"),), with_dependents=True) == ["c", "r"]
    assert chosen([a, c, old], targets=(urn("a"),)) == ["a", "r"]


def test_dependents_of_a_target_stand_in_the_way_or_go_along() -> None:
    """A resource is never deleted from under those that need it."""
    a, b, c, d = state("a"), state("b", dependencies=[urn("a")]), state("c", dependencies=[urn("b"), urn("a")]), state("d")
    everything = [a, b, c, d]
    with pytest.raises(UsageError, match="was not specified in --target list; it depends on"):
        with_dependents(everything, [a], Options())
    assert names(with_dependents(everything, [a], Options(with_dependents=True))) == ["a", "b", "c"]
    assert names(with_dependents(everything, [a, b, c], Options())) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("fields", "op", "is_called"),
    [
        ({}, Op.DELETE, True),
        ({"delete": True}, Op.DELETE_REPLACED, True),
        ({"pending_replacement": True}, Op.REMOVE_PENDING_REPLACE, False),
        ({"external": True}, Op.READ_DISCARD, False),
        ({"external": True, "delete": True}, Op.DISCARD_REPLACED, False),
        ({"retain_on_delete": True}, Op.DELETE, False),
        ({"deleted_with": urn("a")}, Op.DELETE, False),
        ({"deleted_with": urn("z")}, Op.DELETE, True),
        ({"custom": False}, Op.DELETE, False),
        ({"type": "pulumi:providers:t"}, Op.DELETE, False),
    ],
)
def test_how_a_state_is_deleted(fields: dict[str, Any], op: Op, is_called: bool) -> None:
    one = state("x", **fields)
    assert (delete_step(one), needs_provider(one, {urn("a")})) == (op, is_called)


# --- differences and decisions


def test_a_provider_that_names_keys_without_details_gets_ours() -> None:
    """For those keys; its own details stay as they are."""
    old, new = {"a": 1, "b": {"c": [1]}}, {"a": 2, "b": {"c": [2]}}
    some = Difference(Changes.SOME, changed_keys=("b",))
    assert complete(some, old, new, Wishes()).detailed == {"b.c[0]": Kind.UPDATE}
    everything = complete(Difference(Changes.SOME), old, new, Wishes())
    assert (set(everything.detailed), everything.changed_keys) == ({"a", "b.c[0]"}, ("a", "b"))
    told = Difference(Changes.SOME, ("a",), ("a",), {"a": Kind.UPDATE, "b": Kind.UPDATE})
    assert complete(told, old, new, Wishes()).detailed == {"a": Kind.UPDATE_REPLACE, "b": Kind.UPDATE}
    same = complete(Difference(Changes.NONE), old, new, Wishes(replace_on_changes=["a"]))
    assert (same.changes, same.replace_keys) == (Changes.NONE, ())
    twice = Difference(Changes.SOME, ("a",), ("a",), {"a": Kind.UPDATE_REPLACE})
    assert complete(twice, old, new, Wishes(replace_on_changes=["a"])).replace_keys == ("a",)


def test_a_replacement_asked_for_keeps_the_reason_and_the_difference() -> None:
    """--replace, taint, trigger: the user sees which; one that the provider wants anyway needs no other reason."""
    asked = Wishes(is_replace_asked=True, replace_reason="replacementTrigger")
    decision = decide(state("a"), Difference(Changes.SOME, (), ("v",), {"v": Kind.UPDATE}), asked)
    assert (decision.op, decision.difference.replace_keys) == (Op.REPLACE, ("replacementTrigger",))
    assert decide(state("a"), Difference(Changes.SOME, ("v",)), asked).difference.replace_keys == ("v",)


VALUES = st.recursive(
    st.one_of(st.integers(-3, 3), st.booleans(), st.text("ab.", max_size=2), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.text("ab.", max_size=2), inner, max_size=2)),
    max_leaves=5,
)
PROPERTIES = st.dictionaries(st.sampled_from(["x", "y", "a.b"]), VALUES, max_size=3)


@settings(max_examples=100, deadline=None)
@given(old=PROPERTIES, new=PROPERTIES)
def test_laws_of_differences(old: dict[str, Any], new: dict[str, Any]) -> None:
    """None with itself, swapped kinds the other way round, none left when everything is ignored, secrets are no difference."""
    assert difference(old, old) == {}
    there, back = difference(old, new), difference(new, old)
    assert set(there) == set(back)
    swapped = {Kind.ADD: Kind.DELETE, Kind.DELETE: Kind.ADD, Kind.UPDATE: Kind.UPDATE}
    assert all(swapped[kind] is back[path] for path, kind in there.items())
    assert without_ignored(there, ["*"]) == {}
    assert difference(old, {k: Secret(v) for k, v in new.items()}) == there
    decided = decide(state("a"), complete(Difference(), old, new, Wishes()), Wishes())
    assert decided.op is (Op.UPDATE if there else Op.SAME)


@settings(max_examples=100, deadline=None)
@given(old=PROPERTIES, new=PROPERTIES)
def test_what_is_ignored_becomes_as_it_was(old: dict[str, Any], new: dict[str, Any]) -> None:
    """ignoreChanges of everything is the old value; of nothing the new; the arguments are not changed."""
    before = copy.deepcopy((old, new))
    everything = property_paths.reset(new, old, ["*"])
    assert everything == old
    assert property_paths.reset(new, old, []) == new
    assert (old, new) == before


@pytest.mark.parametrize(
    ("new", "old", "path", "wanted"),
    [
        ({"l": [1, 2, 3]}, {"l": [9, 8]}, "l[*]", {"l": [9, 8, 3]}),
        ({"l": [1, 2]}, {"l": [9, 8]}, "l[1]", {"l": [1, 8]}),
        ({"l": [1, 2]}, {"l": [9]}, "l[1]", {"l": [1, 2]}),
        ({"s": Secret({"a": 1})}, {"s": Secret({"a": 2})}, "s.a", {"s": Secret({"a": 2})}),
        ({"s": Secret({"a": 1})}, {"s": {"a": 2}}, "s.a", {"s": Secret({"a": 2})}),
        ({"s": {"a": 1}}, {"s": Secret({"a": 2})}, "s.a", {"s": {"a": 2}}),
        ({"a": {"b": 1}}, {}, "a.b", {"a": {"b": 1}}),
        ({"a": 1}, {}, "a", {}),
        ({"a": 1}, {"a": 2}, "a.b", {"a": 1}),
        ({}, {"a": {"b": 1}}, "a.b", {}),
    ],
)
def test_reset_reaches_into_values(new: dict[str, Any], old: dict[str, Any], path: str, wanted: dict[str, Any]) -> None:
    assert property_paths.reset(new, old, [path]) == wanted


def test_paths_that_cannot_be_read_are_named() -> None:
    for text in ("", "a[", 'a["b', "a[x]"):
        with pytest.raises(UsageError, match="invalid property path"):
            property_paths.parse(text)
    assert property_paths.parse('a["b\\"c"][0].*') == ("a", 'b"c', 0, "*")


# --- values


def test_values_are_walked_masked_and_compared_by_meaning() -> None:
    value = {"s": Secret([Output("x", ("u",)), 1]), "o": Output(Secret("y")), "u": UNKNOWN}
    assert values.flatten_outputs(value) == {"s": Secret(["x", 1]), "o": Secret("y"), "u": UNKNOWN}
    assert values.mask(value) == {"s": "[secret]", "o": "[secret]", "u": "04da6b54-80e4-46f7-96ec-b56ff0331ba9"}
    assert values.mask([Output(1)]) == [1]
    assert values.reveal([Output(Secret(1))]) == [1]
    assert sorted(values.secret_strings(value)) == ["x", "y"]
    assert (values.has_unknown(value), values.has_secret(value), values.has_secret([1])) == (True, True, False)
    assert values.same_value({"a": Secret(1)}, {"a": 1})
    assert not values.same_value(UNKNOWN, UNKNOWN)
    assert values.without_nulls({"a": None, "b": [None]}) == {"b": [None]}
    assert values.add_secret_outputs({"a": 1, "b": Secret(2), "c": 3}, ["a", "b"]) == {"a": Secret(1), "b": Secret(2), "c": 3}
    assert values.keep_secret({"a": Secret(1), "b": [1], "c": [1]}, {"b": [1, 2], "c": 5}) == {"a": Secret(1), "b": [1], "c": [1]}
    assert (repr(UNKNOWN), copy.deepcopy(UNKNOWN) is UNKNOWN) == ("UNKNOWN", True)


def test_names() -> None:
    with pytest.raises(UsageError, match="organization of a file backend"):
        StackName.parse("acme/shop/dev", "shop")
    assert state("a").reference == f"{urn('a')}::a"
    assert state("a").copy(id="b").id == "b"
    assert StackName("shop", "dev").full == "organization/shop/dev"
    assert now_text().endswith("Z")
    assert stack_urn(StackName("shop", "dev")) == STACK
    assert [package_of(token) for token in ("pulumi:providers:t", "t:i:T")] == ["t", "t"]
    assert [is_default_provider(u) for u in (f"{ROOT}pulumi:providers:t::default_1_2", PROVIDER, urn("default"))] == [
        True,
        False,
        False,
    ]
    assert split_reference(f"{PROVIDER}::id") == (PROVIDER, "id")


# --- goals


def test_aliases_of_every_kind() -> None:
    """By URN, by parts, with and without a parent; a child follows its parent's former names."""
    goal = Goal("t:i:T", "par-kid", custom=True, parent=f"{ROOT}t:i:Group::par")
    goal.aliases = [
        AliasSpec(urn=urn("x")),
        AliasSpec(name="old"),
        AliasSpec(type="t:i:Old", parent=""),
        AliasSpec(stack="other", project="mall", parent=f"{ROOT}t:i:Group::was"),
    ]
    found = alias_urns(goal, "dev", "shop", [f"{ROOT}t:i:Group::before"])
    assert found[:4] == [
        urn("x"),
        f"{ROOT}t:i:Group$t:i:T::old",
        f"{ROOT}t:i:Old::par-kid",
        "urn:pulumi:other::mall::t:i:Group$t:i:T::par-kid",
    ]
    assert f"{ROOT}t:i:Group$t:i:T::before-kid" in found
    assert len(found) == len(set(found))
    goal.aliases = [AliasSpec(urn="urn:x")]
    with pytest.raises(UsageError, match="alias of 'par-kid': expected a URN, got 'urn:x'"):
        alias_urns(goal, "dev", "shop", [])
    with pytest.raises(UsageError, match="expected a duration"):
        duration_s("5 minutes")


# --- update plans


def recorded(*steps: tuple[Op, ResourceState | None, ResourceState | None]) -> dict[str, Any]:
    recorder = Recorder()
    for step in steps:
        assert recorder.step(*step) == ""
    assert recorder.deletes([]) == ""
    return recorder.document("sha256:1", {"k": "v"}, "3.0.0", Reversing())


def test_plan_holds_an_update_to_its_steps_inputs_and_deletes() -> None:
    """Less than planned is fine, more or other is not; what was unknown may become anything."""
    old = state("a", inputs={"keep": 1, "change": "x", "drop": 1, "secret": Secret("s")})
    new = state("a", inputs={"keep": 1, "change": "y", "secret": Secret("t"), "later": UNKNOWN}, parent=STACK)
    document = recorded(
        (Op.UPDATE, old, new),
        (Op.CREATE, None, state("b")),
        (Op.DELETE, state("d"), None),
        (Op.READ, None, state("r")),
    )
    goal = document["plan"]["resourcePlans"][urn("a")]["goal"]
    assert goal["inputDiff"]["deletes"] == ["drop"]
    assert set(goal["inputDiff"]["updates"]) == {"change", "secret"}
    assert goal["parent"] == STACK

    def guard() -> Guard:
        return Guard(document, "plan.json", Reversing())

    done = state("a", inputs={**new.inputs, "later": {"now": [1]}})
    assert guard().step(Op.UPDATE, old, done) == ""
    assert guard().step(Op.SAME, None, done) != ""  # its inputs are not those that the plan starts from
    assert "property change is not as planned" in guard().step(Op.UPDATE, old, state("a", inputs={**done.inputs, "change": "z"}))
    assert "not in it" in guard().step(Op.CREATE, None, state("c"))
    assert "it has update" in guard().step(Op.REPLACE, old, done)
    assert guard().step(Op.DELETE, state("d"), None) == ""
    assert "deleting" in guard().deletes([state("x")])
    assert "which the program no longer registers" in guard().deletes([state("d")])
    both = guard()
    both.step(Op.UPDATE, old, done)
    both.step(Op.CREATE, None, state("b"))
    assert both.deletes([state("d")]) == ""
    guard().require_state("sha256:1")
    with pytest.raises(StateError, match="has changed"):
        guard().require_state("sha256:2")
    document["plan"]["stateDigest"] = ""
    with pytest.raises(StateError, match="does not name the state"):
        guard().require_state("sha256:1")


@pytest.mark.parametrize(
    "document", [[], {}, {"plan": {}, "version": 2}, {"version": 1, "plan": {"resourcePlans": {"u": {"steps": ["fly"]}}}}]
)
def test_what_is_no_plan_is_refused(document: Any) -> None:
    with pytest.raises(StateError, match="no update plan of version 1"):
        Guard(document, "plan.json", Reversing())


def test_a_plan_without_goals_binds_steps_alone() -> None:
    document = {"version": 1, "plan": {"resourcePlans": {urn("a"): {"steps": ["update"]}, urn("b"): {}}}}
    guard = Guard(document, "plan.json", Reversing())
    assert guard.step(Op.UPDATE, state("a"), state("a", inputs={"x": 1})) == ""
    assert "no steps" in guard.step(Op.CREATE, None, state("b"))


def test_digest_is_of_the_resources_alone() -> None:
    """Not of the time of the last write."""
    base: dict[str, Any] = {"checkpoint": {"latest": {"resources": [{"urn": "a"}], "manifest": {"time": "1"}}}}
    later = copy.deepcopy(base)
    later["checkpoint"]["latest"]["manifest"]["time"] = "2"
    other = copy.deepcopy(base)
    other["checkpoint"]["latest"]["resources"].append({"urn": "b"})
    assert state_digest(base) == state_digest(later) != state_digest(other)
    assert state_digest({"checkpoint": {}}) == state_digest({"checkpoint": {"latest": {}}})


@pytest.mark.parametrize(
    ("expected", "actual", "fits"),
    [
        (UNKNOWN, [1], True),
        ({"a": UNKNOWN}, {"a": 1}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ([1, 2], [1], False),
        ([Secret(1)], [Output(1)], True),
        (1, True, False),
        (1, Secret(1), True),
        ("a", "b", False),
    ],
)
def test_what_fits_a_plan(expected: Any, actual: Any, fits: bool) -> None:
    assert update_plan._fits(expected, actual) is fits


# --- import files


def parsed(*resources: Any, **table: str) -> list[Any]:
    return parse_import_file({"nameTable": table, "resources": list(resources)}, "dev", "shop", STACK)


THING = {"type": "t:i:T", "name": "a", "id": "1"}


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ([], "nothing to import"),
        (["x"], "resource 0: expected an object"),
        ([{"name": "a"}], "resource 'a' has no type"),
        ([{"type": "t"}], "resource 0 has no name"),
        ([{**THING, "colour": 1}], "colour is not supported"),
        ([{**THING, "type": "pulumi:providers:t"}], "providers and remote components"),
        ([{**THING, "remote": True}], "providers and remote components"),
        ([{"type": "t", "name": "a"}], "has no ID"),
        ([{**THING, "component": True}], "has an ID, but is marked as a component"),
        ([{**THING, "parent": "nobody"}], "parent 'nobody' has no entry in the name table"),
        ([{**THING, "provider": "nobody"}], "provider 'nobody' has no entry in the name table"),
        ([THING, THING], "is named twice"),
    ],
)
def test_import_files_are_checked(resources: list[Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parsed(*resources)


def test_import_files_are_read_parents_first() -> None:
    kid = {
        **THING,
        "name": "kid",
        "parent": "a",
        "logicalName": "other",
        "provider": "mine",
        "properties": ["p"],
        "version": "1.0",
    }
    parent, child = parsed(kid, {"type": "t:i:G", "name": "a", "component": True, "id": None}, mine=PROVIDER)
    assert (parent.name, parent.parent, parent.is_component, child.name) == ("a", STACK, True, "other")
    assert (child.parent, child.provider, child.properties, child.version) == (parent.urn, PROVIDER, ("p",), "1.0")
    same_names = parsed({**THING, "logicalName": "x"}, {**THING, "logicalName": "y"})
    assert [spec.name for spec in same_names] == ["x", "y"]
    for bad in ([], {"resources": "x"}):
        with pytest.raises(UsageError, match="expected"):
            parse_import_file(bad, "dev", "shop", STACK)


def test_one_import_from_the_command_line() -> None:
    document = single_import("t:i:T", "a", "1", urn("p"), f"mine={PROVIDER}", ("x",))
    assert document["nameTable"] == {"parent": urn("p"), "mine": PROVIDER}
    assert parse_import_file(document, "dev", "shop", STACK)[0].provider == PROVIDER
    assert single_import("t", "a", "1", "", "", ())["nameTable"] == {}
    with pytest.raises(UsageError, match="--parent: expected a URN or NAME=URN"):
        single_import("t", "a", "1", "p", "", ())


def test_which_run_asks_the_program() -> None:
    """For refresh and, with --refresh, for up and preview; a destroy reads first and asks then."""
    told = {
        (kind, refresh): (options.is_destroy_by_program, options.is_refresh_by_program)
        for kind, refresh in itertools.product(("up", "refresh", "destroy"), (False, True))
        for options in (Options(kind=kind, is_refresh=refresh, with_program=True),)
    }
    assert told == {
        ("up", False): (False, False),
        ("up", True): (False, True),
        ("refresh", False): (False, False),
        ("refresh", True): (False, True),
        ("destroy", False): (True, False),
        ("destroy", True): (True, False),
    }
    assert not Options(targets=()).is_targeted
    assert Options(excludes=("x",)).is_targeted
