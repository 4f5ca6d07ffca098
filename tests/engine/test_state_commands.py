"""Editing the state by hand, moving resources between stacks, changing the passphrase."""

import json
from pathlib import Path

import pytest

from infra.engine.errors import UsageError
from infra.engine.state import edits as state_edits
from tests.engine.world import World

URN = "urn:pulumi:dev::shop::thing:index:Thing::"
PROGRAM = """
a = Thing('a', v=cfg.get_secret('token'), opts=RO(protect='SAFE' in os.environ))
Thing('b', v=a.serial)
g = Group('g')
Thing('c', opts=RO(parent=g))
"""


@pytest.fixture(scope="module")
def made_stack(made_world: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """What `stack` is a copy of."""
    world = made_world.copy(tmp_path_factory.mktemp("stack"))
    world.run("config", "set", "--secret", "token", "canary", "-s", "dev")
    world.program(PROGRAM)
    world.up()
    world.calls()
    return world


@pytest.fixture
def stack(made_stack: World, tmp_path: Path) -> World:
    """The program is up, with a secret in its configuration and its state."""
    return made_stack.copy(tmp_path)


def run_on_dev(world: World, *arguments: str, code: int = 0) -> str:
    return world.run(*arguments, "-s", "dev", "--non-interactive", code=code)


def test_delete_keeps_what_is_needed(world: World) -> None:
    """Nothing may be left pointing at a resource that is gone; a protected one needs --force."""
    world.program(PROGRAM)
    world.up(SAFE="1")
    assert "'" + URN + "b' depends on it" in run_on_dev(world, "state", "delete", URN + "a", "--force", code=2)
    assert "it is protected" in run_on_dev(world, "state", "delete", URN + "a", "--target-dependents", code=2)
    assert "expected a URN" in run_on_dev(world, "state", "delete", code=2)
    run_on_dev(world, "state", "unprotect", "--all")
    assert "2 resources deleted" in run_on_dev(world, "state", "delete", URN + "a", "--target-dependents", "--yes")
    assert not {"a", "b"} & set(world.resources())
    run_on_dev(world, "state", "delete", "--all", "--yes")
    assert world.state()["resources"] == []


def test_rename_follows_every_reference(stack: World) -> None:
    """After the program was renamed too, the next up changes nothing: neither the resource nor its dependents."""
    run_on_dev(stack, "state", "rename", URN + "a", "first", "--yes")
    assert stack.resources()["b"]["dependencies"] == [URN + "first"]
    provider = "urn:pulumi:dev::shop::pulumi:providers:thing::default"
    run_on_dev(stack, "state", "rename", provider, "other")
    assert stack.resources()["b"]["provider"].startswith("urn:pulumi:dev::shop::pulumi:providers:thing::other::")
    run_on_dev(stack, "state", "rename", provider.replace("default", "other"), "default")
    assert "the new name is taken" in run_on_dev(stack, "state", "rename", URN + "first", "b", code=2)
    stack.program(PROGRAM.replace("'a'", "'first'"))
    stack.up("--expect-no-changes")


def test_taint_makes_the_next_up_replace(stack: World) -> None:
    """Once; the mark is gone afterwards."""
    run_on_dev(stack, "state", "taint", URN + "b")
    assert json.loads(stack.state_file.read_text())["features"] == ["taint"]
    stack.up()
    assert stack.calls() == [["create", "b"], ["delete", "b"]]
    stack.up("--expect-no-changes")


def test_move_takes_children_and_reseals(stack: World) -> None:
    """A resource with its secret goes over to a stack with another key; what pointed across is told and dropped."""
    stack.run("stack", "init", "other")
    group = "urn:pulumi:dev::shop::thing:index:Group::g"
    text = stack.run("state", "move", "--source", "dev", "--dest", "other", URN + "a", group, "--yes")
    assert f"{URN}b -> {URN}a was dropped" in text
    assert "moved 3 resources" in text
    assert set(stack.resources()) == {"shop-dev", "default", "b"}
    moved = json.loads(stack.run("stack", "export", "-s", "other", "--show-secrets"))["deployment"]["resources"]
    assert {r["urn"].split("::", 2)[2] for r in moved} == {
        "pulumi:pulumi:Stack::shop-other",
        "pulumi:providers:thing::default",
        "thing:index:Thing::a",
        "thing:index:Group::g",
        "thing:index:Group$thing:index:Thing::c",
    }
    assert "canary" in json.dumps(moved)
    stack.run("config", "set", "--secret", "token", "canary", "-s", "other")
    stack.program(PROGRAM.replace("Thing('b', v=a.serial)", ""))
    stack.run("up", "--yes", "--skip-preview", "--expect-no-changes", "-s", "other")


def test_new_passphrase_reseals_settings_and_state(stack: World) -> None:
    """The old one opens nothing any more, the new one everything."""
    stack.run("config", "set", "--path", "list[0].key", "deep", "--secret", "-s", "dev")
    before = stack.state_file.read_text()
    stack.run("stack", "change-secrets-provider", "passphrase", "-s", "dev", stdin="battery staple\n")
    assert "incorrect passphrase" in run_on_dev(stack, "config", "get", "token", code=1)
    fresh = {"PULUMI_CONFIG_PASSPHRASE": "battery staple"}
    assert stack.run("config", "get", "token", "-s", "dev", **fresh) == "canary\n"
    assert stack.run("config", "get", "--path", "list[0].key", "-s", "dev", **fresh) == "deep\n"
    stack.up("--expect-no-changes", **fresh)
    assert "canary" not in before + stack.state_file.read_text()
    assert "has only `passphrase`" in run_on_dev(stack, "stack", "change-secrets-provider", "awskms://x", code=2)


def test_an_edit_changes_nothing_else() -> None:
    """Fields we do not know survive, and the input is left as it was."""
    resources = [{"urn": "a", "type": "t", "future": 1}, {"urn": "b", "type": "t", "parent": "a", "dependencies": ["a"]}]
    copy = json.loads(json.dumps(resources))
    assert state_edits.marked(resources, {"a"}, "protect", True)[0] == {"urn": "a", "type": "t", "future": 1, "protect": True}
    assert resources == copy
    with pytest.raises(UsageError, match="no such resource 'c'"):
        state_edits.require_known(resources, {"c"}, "state delete")
