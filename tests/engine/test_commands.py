"""Commands and flags that people use and the Automation API does not."""

import json
import subprocess
from datetime import UTC, datetime

import pytest

from infra.engine.commands.arguments import parse
from infra.engine.commands.logs import since_when
from infra.engine.commands.stack_contents import resource_tree
from infra.engine.commands.updating import adopt_pending
from infra.engine.display.import_document import import_document
from infra.engine.errors import UsageError
from tests.engine.world import World

URN = "urn:pulumi:dev::shop::thing:index:Thing::"
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def test_what_people_look_at(world: World) -> None:
    """stack, stack output --shell, about, plugin ls, logs, whoami; preview with every --show flag and an import file."""
    world.run("config", "set", "size", "3", "-s", "dev")
    world.program(
        "cfg.require('size')\nt = Thing('t', opts=RO(parent=Group('g')))\nThing.get = None\n"
        "pulumi.export('words', 'it is')\npulumi.export('hidden', pulumi.Output.secret('canary'))\n"
    )
    file = world.folder / "import.json"
    text = world.run("preview", "-s", "dev", "--show-config", "--urns", "--debug", "--import-file", str(file))
    assert "debug: " in text
    assert "    shop:size: 3" in text
    assert f" +  {URN.replace('Thing::', 'Group$thing:index:Thing::')}t to create" in text
    group = {"type": "thing:index:Group", "name": "g", "component": True}
    thing = {"type": "thing:index:Thing", "name": "t", "id": "<PLACEHOLDER>", "parent": "g"}
    assert json.loads(file.read_text()) == {"nameTable": {}, "resources": [group, thing]}
    world.up()
    assert "thing:index:Thing t unchanged" in world.run("preview", "-s", "dev", "--show-sames")
    text = world.run("stack", "-s", "dev", "-i", PULUMI_CONFIG_PASSPHRASE="another")
    assert f"      thing:index:Thing  t\n          {'   '}ID: {world.resources()['t']['id']}" in text
    assert "hidden\t[secret]" in text
    assert "canary" in world.run("stack", "-s", "dev", "--show-secrets")
    shell = world.run("stack", "output", "--shell", "-s", "dev")
    assert subprocess.run(["sh", "-c", f"{shell}echo $words"], capture_output=True, text=True, check=True).stdout == "it is\n"
    about = json.loads(world.run("about", "--json", "--transitive", "-s", "dev"))
    assert about["currentStack"]["name"] == "dev"
    assert "pulumi" in {package["name"] for package in about["dependencies"]}
    (plugin,) = json.loads(world.run("plugin", "ls", "-p", "--json"))
    assert (plugin["name"], plugin["size"] > 0) == ("thing", True)
    assert "Collecting logs for stack dev since " in world.run("logs", "-s", "dev", "--since", "2h", "-r", "t")


def test_stack_moves_to_another_project_with_its_history(world: World) -> None:
    """As the CLI does it; tags, history and configuration go along."""
    world.program("Thing('t', v=cfg.get_secret('token'))\n")
    world.run("config", "set", "--secret", "token", "canary", "-s", "dev")
    world.up()
    world.run("stack", "tag", "set", "owner", "us", "-s", "dev")
    text = world.run("stack", "rename", "organization/mall/live", "-s", "dev")
    assert "Set `name: mall` in Pulumi.yaml" in text
    project = world.folder / "program/Pulumi.yaml"
    project.write_text(project.read_text().replace("name: shop", "name: mall"))
    settings = world.folder / "program/Pulumi.live.yaml"
    settings.write_text(settings.read_text().replace("shop:token", "mall:token"))
    world.calls()
    world.run("up", "--yes", "--skip-preview", "--expect-no-changes", "-s", "live")
    assert world.calls() == []
    assert len(json.loads(world.run("stack", "history", "--json", "-s", "live"))) == 2
    assert world.run("stack", "tag", "get", "owner", "-s", "live") == "us\n"
    assert [row["name"] for row in json.loads(world.run("stack", "ls", "--json"))] == ["live"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("90s", "2026-05-01T11:58:30"),
        ("1h30m", "2026-05-01T10:30:00"),
        ("2026-04-30T08:00:00Z", "2026-04-30T08:00:00"),
        ("2026-04-30T08:00:00+02:00", "2026-04-30T06:00:00"),
        ("1777593600", "2026-05-01T00:00:00"),
    ],
)
def test_since_is_a_duration_or_a_time(text: str, wanted: str) -> None:
    """As `logs` of the CLI reads it."""
    assert since_when(text, NOW).isoformat() == f"{wanted}+00:00"


@pytest.mark.parametrize("text", ["soon", "-1h", "1w", "2026-13-01", "9" * 30])
def test_since_refuses_what_it_cannot_read(text: str) -> None:
    with pytest.raises(UsageError, match="--since"):
        since_when(text, NOW)


def test_pending_creation_is_taken_over_under_its_id() -> None:
    """Only one that an update was interrupted at; what is left stays pending."""

    def document() -> dict[str, object]:
        operations = [{"type": "creating", "resource": {"urn": URN + name, "type": "t"}} for name in "ab"]
        return {"checkpoint": {"latest": {"pending_operations": operations}}}

    changed = document()
    adopt_pending(changed, (URN + "a", "id-1"))
    latest = changed["checkpoint"]["latest"]  # type: ignore[index]
    assert latest["resources"] == [{"urn": URN + "a", "type": "t", "id": "id-1"}]
    assert [op["resource"]["urn"] for op in latest["pending_operations"]] == [URN + "b"]
    for pairs, message in (((URN + "a",), "odd number"), ((URN + "c", "1"), "no update was interrupted")):
        with pytest.raises(UsageError, match=message):
            adopt_pending(document(), pairs)


def test_short_flags_mean_what_they_mean_to_each_command() -> None:
    """`-f` is four things."""
    for line, flag in (
        ("up -f", "--skip-preview"),
        ("stack rm -f", "--force"),
        ("stack import -f", "--force"),
        ("stack export -f x", "--file"),
        ("import -f x", "--file"),
        ("logs -f", "--follow"),
        ("preview -x a", "--exclude"),
        ("stack ls -a", "--all"),
    ):
        assert set(parse(line.split()).flags) == {flag}


@pytest.mark.parametrize(
    "line",
    [
        "up --clear-pending-creates",
        "up --remove",
        "preview --yes",
        "refresh --replace a",
        "destroy --expect-no-changes",
        "import --target a",
    ],
)
def test_flags_of_other_commands_are_refused(line: str) -> None:
    """As the CLI does: a script that works here works there."""
    with pytest.raises(UsageError, match="unknown or unsupported flag"):
        parse(line.split())


def test_tree_has_children_below_parents_and_both_lives_of_a_urn() -> None:
    """A replaced resource that waits for its deletion is a line of its own, without the children."""
    stack, group, thing = "s::p::pulumi:pulumi:Stack::p-s", "s::p::g::g", "s::p::t::t"
    resources = [
        {"urn": stack, "type": "pulumi:pulumi:Stack"},
        {"urn": group, "type": "g", "parent": stack, "id": "1"},
        {"urn": thing, "type": "t", "parent": group, "id": "2"},
        {"urn": group, "type": "g", "parent": stack, "id": "0", "delete": True},
    ]
    lines = resource_tree(resources, False, False)
    assert lines == ["pulumi:pulumi:Stack  p-s", "   g  g", "      t  t", "   g  g"]
    assert resource_tree(resources[1:2], True, True) == ["g  g", f"   URN: {group}", "   ID: 1"]


def test_import_file_names_are_unique_and_parents_known() -> None:
    """A parent or provider that exists already is in the name table; a name taken twice gets its type behind it."""

    def step(urn: str, op: str = "create", **state: object) -> dict[str, object]:
        kind = urn.split("::")[2].split("$")[-1]
        return {"resourcePreEvent": {"metadata": {"urn": urn, "type": kind, "op": op, "new": {"urn": urn, **state}}}}

    base = "urn:pulumi:s::p::"
    group, provider = f"{base}a:b:Group::g", f"{base}pulumi:providers:a::mine"
    events = [
        step(f"{base}pulumi:pulumi:Stack::p-s"),
        {"summaryEvent": {}},
        step(group, "same", custom=False),
        step(provider, "same", custom=True, inputs={"version": "1.2.3"}),
        *(
            step(f"{base}a:b:{kind}::x", custom=True, parent=group, provider=f"{provider}::id")
            for kind in ("Disk", "disk", "Net")
        ),
    ]
    document = import_document(events)
    assert document["nameTable"] == {"g": group, "mine": provider}
    assert [r["name"] for r in document["resources"]] == ["x", "xDisk", "xNet"]
    assert document["resources"][1] == {
        "type": "a:b:disk",
        "name": "xDisk",
        "id": "<PLACEHOLDER>",
        "logicalName": "x",
        "version": "1.2.3",
        "parent": "g",
        "provider": "mine",
    }
    again = import_document([*events, step(f"{base}a:c:Disk::x", custom=True)])
    assert again["resources"][-1]["name"] == "xDisk2"
