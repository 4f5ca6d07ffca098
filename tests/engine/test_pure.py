"""Decisions and conversions, without processes."""

import json

import pytest

from infra.engine.commands import arguments
from infra.engine.display.detail import detail_lines
from infra.engine.errors import UsageError
from infra.engine.model import property_paths
from infra.engine.model.order import dependents, dependents_first, topological
from infra.engine.model.resource_state import ResourceState
from infra.engine.model.stack_name import StackName
from infra.engine.model.urns import is_default_provider, make_urn, package_of
from infra.engine.model.values import UNKNOWN, Output, Secret, keep_secret, mask, reveal
from infra.engine.planning.diff import Kind, difference, with_replacements, without_ignored
from infra.engine.planning.goals import AliasSpec, Goal, alias_urns, duration_s
from infra.engine.planning.plan import Changes, Difference, Op, Wishes, complete, decide
from infra.engine.plugins.wire import from_struct, to_struct
from infra.engine.state.checkpoint import decode_resource, encode_resource
from infra.engine.state.crypter import Crypter
from infra.engine.state.snapshot import Snapshot
from infra.engine.workspace import config, versions
from infra.engine.workspace.config import StackSettings

ROOT = "urn:pulumi:dev::shop::"


class Reversing:
    """Seals by reversing: enough to see what is sealed."""

    def encrypt(self, text: str) -> str:
        return text[::-1]

    def decrypt(self, ciphertext: str) -> str:
        return ciphertext[::-1]


CRYPTER: Crypter = Reversing()


def state(name: str, **fields: object) -> ResourceState:
    return ResourceState(urn=f"{ROOT}t:i:T::{name}", type="t:i:T", custom=True, id=name, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "value",
    [
        {"a": 1, "b": 1.5, "c": True, "d": None, "e": "text", "f": [], "g": {}, "h": [{"i": [1, None]}]},
        {"s": Secret({"x": [1]}), "u": UNKNOWN, "nested": [Secret(UNKNOWN), Secret(None)]},
        {"o": Output("x", ("urn:a",)), "so": Output(Secret("x"), ("urn:a", "urn:b")), "uo": Output(UNKNOWN, ("urn:a",))},
        {"big": 2**53, "negative": -1, "empty": ""},
    ],
)
def test_wire_round_trip(value: dict[str, object]) -> None:
    """What goes out comes back: numbers, secrets, unknowns, outputs."""
    assert from_struct(to_struct(value, outputs=True)) == value


def test_wire_spares_receivers_what_they_do_not_know() -> None:
    """A provider without secrets gets the bare value; a resource reference becomes an id."""
    reference = {"4dabf18193072939515e22adb298388d": "5cf8f73096256a8f31e491e813e4eb8e", "urn": "urn:x", "id": "i1"}
    assert from_struct(to_struct({"s": Secret("x"), "r": reference}, secrets=False, resources=False)) == {"s": "x", "r": "i1"}


def test_asset_is_hashed_by_its_content() -> None:
    asset = {"4dabf18193072939515e22adb298388d": "c44067f5952c0a294b673a41bacd8c17", "text": "a"}
    found = from_struct(to_struct({"a": asset}))["a"]
    assert found["hash"] == "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"


def test_secrets_return_to_outputs_of_a_provider_that_lost_them() -> None:
    inputs = {"p": Secret("x"), "o": {"k": Secret("y"), "n": 1}, "l": [Secret(1), 2]}
    outputs = {"p": "x", "o": {"k": "y", "n": 1}, "l": [1, 2], "id": "i"}
    assert keep_secret(outputs, inputs) == {**inputs, "id": "i"}
    assert keep_secret({"l": [1]}, inputs) == {"l": Secret([1])}
    assert mask(inputs)["p"] == "[secret]"
    assert repr(Secret("x")) == "[secret]"
    assert reveal(inputs) == {"p": "x", "o": {"k": "y", "n": 1}, "l": [1, 2]}


def test_checkpoint_round_trip_keeps_fields_it_does_not_know() -> None:
    """A newer engine's fields survive a pass through this one."""
    document = {
        "urn": f"{ROOT}t:i:T::a",
        "custom": True,
        "id": "a",
        "type": "t:i:T",
        "inputs": {"n": 1, "s": {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": '"x"'}},
        "protect": True,
        "dependencies": ["urn:b"],
        "propertyDependencies": {"n": ["urn:b"]},
        "futureField": {"x": 1},
    }
    decoded = decode_resource(document, CRYPTER)
    assert decoded.inputs["s"] == Secret("x")
    assert encode_resource(decoded, CRYPTER) == document
    assert json.dumps(decode_resource({**document, "inputs": {"f": 2.0}}, CRYPTER).inputs) == '{"f": 2}'


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({}, {}, {}),
        ({"a": 1}, {"a": 1, "b": 2}, {"b": Kind.ADD}),
        ({"a": 1}, {}, {"a": Kind.DELETE}),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3, 4]}}, {"a.b[1]": Kind.UPDATE, "a.b[2]": Kind.ADD}),
        ({"a": Secret("x")}, {"a": "x"}, {}),
        ({"a": 1}, {"a": UNKNOWN}, {"a": Kind.UPDATE}),
        ({"a": 1}, {"a": True}, {"a": Kind.UPDATE}),
        ({"a": {"x.y": 1}}, {"a": {"x.y": 2}}, {'a["x.y"]': Kind.UPDATE}),
    ],
)
def test_difference(old: dict[str, object], new: dict[str, object], expected: dict[str, Kind]) -> None:
    assert difference(old, new) == expected


def test_ignored_and_replacing_paths() -> None:
    found = {"a.b": Kind.UPDATE, "c[0].d": Kind.ADD, "e": Kind.DELETE}
    assert without_ignored(found, ["a", "c[*].d"]) == {"e": Kind.DELETE}
    assert with_replacements(found, ["a"]) == {**found, "a.b": Kind.UPDATE_REPLACE}
    assert with_replacements(found, ["a.b.deeper"]) == {**found, "a.b": Kind.UPDATE_REPLACE}
    assert property_paths.reset({"t": {"a": 1, "b": 2}, "n": 1}, {"t": {"a": 9}}, ["t.a", "n"]) == {"t": {"a": 9, "b": 2}}


SOME = Difference(Changes.SOME, changed_keys=("a",), detailed={"a": Kind.UPDATE})


@pytest.mark.parametrize(
    ("difference_", "wishes", "init_errors", "op", "delete_first"),
    [
        (Difference(Changes.NONE), Wishes(), [], Op.SAME, False),
        (Difference(Changes.NONE), Wishes(), ["boom"], Op.UPDATE, False),
        (SOME, Wishes(), [], Op.UPDATE, False),
        (Difference(Changes.SOME, ("a",)), Wishes(), [], Op.REPLACE, False),
        (Difference(Changes.SOME, ("a",), delete_before_replace=True), Wishes(), [], Op.REPLACE, True),
        (
            Difference(Changes.SOME, ("a",), delete_before_replace=True),
            Wishes(delete_before_replace=False),
            [],
            Op.REPLACE,
            False,
        ),
        (Difference(Changes.NONE), Wishes(is_replace_asked=True), [], Op.REPLACE, False),
    ],
)
def test_decisions(difference_: Difference, wishes: Wishes, init_errors: list[str], op: Op, delete_first: bool) -> None:
    decision = decide(state("a", init_errors=init_errors), difference_, wishes)
    assert (decision.op, decision.delete_first) == (op, delete_first)


def test_engine_compares_where_the_provider_cannot_say() -> None:
    """DIFF_UNKNOWN; ignoreChanges and replaceOnChanges apply to our own comparison too."""
    old, new = {"a": 1, "b": 1}, {"a": 2, "b": 2}
    assert complete(Difference(), old, new, Wishes()).detailed == {"a": Kind.UPDATE, "b": Kind.UPDATE}
    assert complete(Difference(), old, new, Wishes(ignore_changes=["a", "b"])).changes is Changes.NONE
    assert complete(Difference(), old, new, Wishes(replace_on_changes=["b"])).replace_keys == ("b",)
    assert complete(SOME, old, new, Wishes(replace_on_changes=["*"])).is_replace


def test_order_of_deletion_and_of_the_snapshot() -> None:
    """Dependents go first; the snapshot has dependencies first; both are stable."""
    a, d = state("a"), state("d")
    b = state("b", dependencies=[a.urn])
    c = state("c", parent=b.urn, property_dependencies={"x": [a.urn]})
    assert [s.id for s in topological([c, d, b, a])] == ["a", "b", "c", "d"]
    ordered = [s.id for s in dependents_first([a, b, c, d], dependents([a, b, c, d]))]
    assert ordered.index("c") < ordered.index("b") < ordered.index("a")


def test_replaced_resource_does_not_hold_up_its_own_deletion() -> None:
    """Those who depend on the URN depend on the replacement, not on the one that is going."""
    going, new = state("a", delete=True), state("a")
    user = state("u", dependencies=[new.urn])
    edges = dependents([going, new, user])
    assert id(going) not in edges
    assert edges[id(new)] == {id(user)}


def test_urns() -> None:
    component = make_urn("dev", "shop", f"{ROOT}pulumi:pulumi:Stack::shop-dev", "my:i:Comp", "c")
    assert component == f"{ROOT}my:i:Comp::c"
    assert make_urn("dev", "shop", component, "t:i:T", "x") == f"{ROOT}my:i:Comp$t:i:T::x"
    assert package_of("pulumi:providers:railway") == "railway"
    assert is_default_provider(f"{ROOT}pulumi:providers:aws::default_5_2_0")
    assert not is_default_provider(f"{ROOT}pulumi:providers:aws::mine")


@pytest.mark.parametrize(
    "text", ["..", ".hidden", "organization/../stacks", "../dev", "a b/dev", "shop/de\\v", "shop/", "x/shop/dev"]
)
def test_stack_name_stays_within_its_folder(text: str) -> None:
    """Its parts become folders: with `..` for a project, `stack rm` deleted the folder of all stacks."""
    with pytest.raises(UsageError):
        StackName.parse(text, "shop")
    with pytest.raises(UsageError):
        StackName.parse("dev", "../shop")
    assert StackName.parse("shop-2/dev_1.x", "other") == StackName("shop-2", "dev_1.x")


def test_child_of_a_renamed_component_follows_it() -> None:
    goal = Goal(type="t:i:T", name="new-index", custom=True, parent=f"{ROOT}my:i:Comp::new", aliases=[AliasSpec(name="other")])
    found = alias_urns(goal, "dev", "shop", [f"{ROOT}my:i:Comp::old"])
    assert f"{ROOT}my:i:Comp$t:i:T::other" in found
    assert f"{ROOT}my:i:Comp$t:i:T::old-index" in found


@pytest.mark.parametrize(("text", "seconds"), [("5m", 300), ("1h30m", 5400), ("1.5s", 1.5), ("250ms", 0.25)])
def test_durations(text: str, seconds: float) -> None:
    assert duration_s(text) == pytest.approx(seconds)
    with pytest.raises(UsageError):
        duration_s(text + "x")


def test_arguments_as_the_automation_api_sends_them() -> None:
    argv = ["--non-interactive", "config", "set", "key", "--secret", "--stack", "dev", "--", "--looks-like-a-flag"]
    read = arguments.parse(argv)
    assert (read.command, read.positional, read.value("--stack")) == ("config set", ["key", "--looks-like-a-flag"], "dev")
    read = arguments.parse(
        ["up", "-f", "-y", "--target", "a", "-t", "b", "--parallel=3", "--run-program=false", "-s", "x", "--color", "never"]
    )
    assert read.values("--target") == ("a", "b")
    assert read.has("--skip-preview")
    assert not read.has("--run-program")
    assert read.number("--parallel", 0) == 3
    with pytest.raises(UsageError, match="--bogus"):
        arguments.parse(["stack", "ls", "--bogus"])
    with pytest.raises(UsageError, match="needs a value"):
        arguments.parse(["up", "--stack"])


def test_configuration_paths(tmp_path: object) -> None:
    settings = StackSettings(path=None)  # type: ignore[arg-type]
    config.set_value(settings, "a.b[0]", "1", True, "shop")
    config.set_value(settings, "a.b[1].c", "text", True, "shop")
    config.set_value(settings, "aws:region", "eu", False, "shop")
    assert settings.config == {"shop:a": {"b": [1, {"c": "text"}]}, "aws:region": "eu"}
    assert config.get_value(settings, "a.b[1].c", True, "shop") == "text"
    config.remove_value(settings, "a.b[0]", True, "shop")
    assert settings.config["shop:a"] == {"b": [{"c": "text"}]}
    item = config.item_of({"k": [{"secure": '"terces"'}, True]}, CRYPTER)
    assert item.is_secret
    assert json.loads(item.text) == {"k": ['"secret"', True]}


def test_detail_of_a_property_that_is_not_to_be_shown() -> None:
    """The hideDiffs option: that it changes is told, not how."""
    kind = {"diffKind": "update", "inputDiff": True}
    new = {"inputs": {"a": {"b": "new"}, "c": 2}, "hideDiffs": [["a"]]}
    metadata = {
        "op": "update",
        "old": {"inputs": {"a": {"b": "old"}, "c": 1}},
        "new": new,
        "detailedDiff": {"a.b": kind, "c": kind},
    }
    assert list(detail_lines(metadata)) == ["~ a.b: [hidden]", "~ c: 1 => 2"]


def test_detail_of_a_long_text_is_a_line_diff() -> None:
    change = {"t": {"diffKind": "update", "inputDiff": True}, "n": {"diffKind": "add-replace", "inputDiff": True}}
    metadata = {
        "op": "update",
        "old": {"inputs": {"t": "a\nb\nc\n"}},
        "new": {"inputs": {"t": "a\nB\nc\n", "n": 1}},
        "detailedDiff": change,
    }
    lines = list(detail_lines(metadata))
    assert lines[0] == "+ n: 1 [requires replacement]"
    assert "    -b" in lines
    assert "    +B" in lines


@pytest.mark.parametrize(
    ("wanted", "is_met"),
    [
        ("", True),
        (">=3.0.0", True),
        (">=3.272.0 <3.273.0", True),
        ("!3.272.0", False),
        ("<3.4.0 || >3.8.0", True),
        (">=3.5.0 !3.272.0", False),
        ("3.x", True),
        ("3.272.x", True),
        ("2.x || 4.x", False),
        ("==3.272.0", True),
        ("> 3.272.0", False),
    ],
)
def test_version_ranges(wanted: str, is_met: bool) -> None:
    """The syntax of blang/semver, which Pulumi's engine uses."""
    assert versions.satisfies("3.272.0", wanted) is is_met


@pytest.mark.parametrize("wanted", ["newest", ">=", ">=3.0.0 ||", "3.0.0beta"])
def test_bad_version_ranges_are_named(wanted: str) -> None:
    """A typing mistake must not read as "any version"."""
    with pytest.raises(UsageError, match="parsing CLI version range"):
        versions.satisfies("3.272.0", wanted)


def snapshot_of(states: list[ResourceState]) -> Snapshot:
    return Snapshot({"checkpoint": {"stack": "organization/shop/dev"}}, states, Reversing(), None)


def test_a_save_sorts_only_what_is_out_of_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """An update of n resources saves some n/16 times: what each save does for all of them must stay small."""
    states = [
        ResourceState(f"{ROOT}t::{n}", "t", custom=True, dependencies=[f"{ROOT}t::{n - 1}"] if n else []) for n in range(50)
    ]
    snapshot = snapshot_of(states)
    monkeypatch.setattr("infra.engine.state.snapshot.topological", lambda states: pytest.fail("sorted what was in order"))
    assert snapshot.states() == states
    monkeypatch.undo()
    states[3].dependencies = [f"{ROOT}t::7"]
    snapshot.touched(states[3])
    ordered = snapshot.states()
    assert ordered.index(states[7]) < ordered.index(states[3])


def test_a_state_waits_for_both_lives_of_what_it_needs() -> None:
    """A replaced resource and its replacement share a URN; a dependent comes after the two."""
    needed = f"{ROOT}t::a"
    user = ResourceState(f"{ROOT}t::b", "t", custom=True, dependencies=[needed])
    new, old = ResourceState(needed, "t", custom=True), ResourceState(needed, "t", custom=True, delete=True)
    assert snapshot_of([new, user, old]).states() == [new, old, user]
    assert snapshot_of([new, old, user]).states() == [new, old, user]
