"""`import`: one resource, a file of them, and the Automation API's import_resources."""

import json

import pytest
from pulumi import automation as auto

from infra.engine.automation import EmbeddedPulumiCommand
from infra.engine.errors import UsageError
from infra.engine.planning.import_file import parse_import_file
from tests.engine.world import World

URN = "urn:pulumi:dev::shop::thing:index:Thing::"
FLAGS = ("--yes", "--skip-preview", "-s", "dev", "--generate-code=false")


def there_is(world: World, identity: str, **inputs: str) -> None:
    (world.folder / "store" / f"{identity}.json").write_text(json.dumps(inputs))


def test_imported_resource_needs_no_change_once_the_program_describes_it(world: World) -> None:
    """Read by its id, protected, and taken over as it is."""
    there_is(world, "known", v="1")
    text = world.run("import", "thing:index:Thing", "t", "known", *FLAGS)
    assert "=  thing:index:Thing t imported" in text
    thing = world.resources()["t"]
    assert (thing["id"], thing["importID"], thing["protect"], thing["inputs"]) == ("known", "known", True, {"v": "1"})
    assert thing["parent"] == world.resources()["shop-dev"]["urn"]
    assert world.calls() == [["read", "t"]]
    world.run("import", "thing:index:Thing", "t", "known", *FLAGS)
    assert "already exists" in world.run("import", "thing:index:Thing", "t", "other", *FLAGS, code=1)
    world.program("Thing('t', v='1', opts=RO(protect=True))\n")
    world.up()
    assert world.calls() == []
    assert world.resources()["t"]["id"] == "known"


def test_missing_resource_is_not_imported(world: World) -> None:
    """And a preview writes nothing."""
    there_is(world, "known")
    assert "resource 'unknown' does not exist" in world.run("import", "thing:index:Thing", "t", "unknown", *FLAGS, code=1)
    assert "t" not in world.resources()
    text = world.run("import", "thing:index:Thing", "t", "known", "--preview-only", "-s", "dev", "--generate-code=false")
    assert "= 1 to import" in text
    assert "t" not in world.resources()
    assert "generating code is not supported" in world.run("import", "a:b:C", "t", "known", "--yes", "-s", "dev", code=2)


@pytest.mark.story
def test_automation_api_imports_many(world: World) -> None:
    """Under a parent, with an explicit provider, without protection."""
    world.program("pulumi.ProviderResource('thing', 'own', {})\nGroup('g')\n")
    world.up()
    there_is(world, "one", v="1")
    there_is(world, "two", v="2", w="3")
    environment = {k: v for k, v in world.environment.items() if k.startswith(("PULUMI_", "THING_", "PYTHONPATH"))}
    folder = str(world.folder / "program")
    options = auto.LocalWorkspaceOptions(work_dir=folder, env_vars=environment, pulumi_command=EmbeddedPulumiCommand())
    stack = auto.select_stack("dev", work_dir=folder, opts=options)
    known = world.resources()
    result = stack.import_resources(
        resources=[
            {"type": "thing:index:Thing", "name": "a", "id": "one", "parent": "group", "provider": "mine"},
            {"type": "thing:index:Thing", "name": "b", "id": "two", "properties": ["v"]},
        ],
        name_table={"group": known["g"]["urn"], "mine": known["own"]["urn"]},
        protect=False,
        generate_code=False,
    )
    assert result.summary.resource_changes == {"import": 2, "same": 3}
    things = world.resources()
    assert things["a"]["urn"] == "urn:pulumi:dev::shop::thing:index:Group$thing:index:Thing::a"
    assert things["a"]["provider"] == f"{known['own']['urn']}::{known['own']['id']}"
    assert (things["b"]["inputs"], "protect" in things["b"]) == ({"v": "2"}, False)


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ([], "nothing to import"),
        ([{"name": "a", "id": "1"}], "has no type"),
        ([{"type": "t:i:T", "id": "1"}], "has no name"),
        ([{"type": "t:i:T", "name": "a"}], "has no ID"),
        ([{"type": "t:i:T", "name": "a", "id": "1", "component": True}], "marked as a component"),
        ([{"type": "t:i:T", "name": "a", "id": "1", "parent": "x"}], "parent 'x' has no entry"),
        ([{"type": "t:i:T", "name": "a", "id": "1", "provider": "x"}], "provider 'x' has no entry"),
        ([{"type": "t:i:T", "name": "a", "id": "1"}] * 2, "is named twice"),
        ([{"type": "pulumi:providers:t", "name": "a", "id": "1"}], "providers and remote components"),
        ([{"type": "t:i:T", "name": "a", "id": "1", "outputs": {}}], "outputs is not supported"),
    ],
)
def test_bad_import_files_are_named(resources: list[dict[str, object]], message: str) -> None:
    """Before anything is read."""
    with pytest.raises(UsageError, match=message):
        parse_import_file({"resources": resources}, "dev", "shop", "urn:pulumi:dev::shop::pulumi:pulumi:Stack::shop-dev")


def test_parents_within_a_file_come_first() -> None:
    """In whatever order they are written."""
    resources = [
        {"type": "t:i:T", "name": "child", "id": "1", "parent": "box"},
        {"type": "t:i:Box", "name": "box", "component": True},
    ]
    specs = parse_import_file({"resources": resources}, "dev", "shop", "urn:pulumi:dev::shop::pulumi:pulumi:Stack::shop-dev")
    assert [spec.urn.split("::", 2)[2] for spec in specs] == ["t:i:Box::box", "t:i:Box$t:i:T::child"]
