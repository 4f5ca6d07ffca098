"""What programs read: --json of every command, and values given on stdin."""

import json

from tests.engine.world import World


def test_updates_stream_events_as_lines(world: World) -> None:
    """up, refresh and destroy print what --event-log writes, and nothing else; secrets are masked."""
    world.program("Thing('t', password=pulumi.Output.secret('canary'))\n")
    for command, op in (("up", "create"), ("refresh", "same"), ("destroy", "delete")):
        text = world.run(command, "--yes", "--skip-preview", "--json", "-s", "dev")
        events = [json.loads(line) for line in text.splitlines()]
        assert "preludeEvent" in events[0]
        assert "cancelEvent" in events[-1]
        steps = [e["resOutputsEvent"]["metadata"] for e in events if "resOutputsEvent" in e]
        assert op in [s["op"] for s in steps if s["urn"].endswith("::t")]
        assert "canary" not in text


def test_previews_print_one_document(world: World) -> None:
    """Also those of refresh and destroy."""
    world.program("Thing('t')\n")
    world.up()
    for command in ("preview", "refresh", "destroy"):
        more = () if command == "preview" else ("--preview-only",)
        document = json.loads(world.run(command, "--json", "-s", "dev", *more))
        assert set(document["changeSummary"]) <= {"same", "delete"}
        assert document["steps"]
    assert set(world.resources()) == {"shop-dev", "default", "t"}
    assert world.calls() == [["create", "t"], ["read", "t"]]


def test_about_tells_of_project_and_stack(world: World) -> None:
    """Where something is missing the rest is told all the same."""
    world.program("Thing('t')\n")
    world.up()
    about = json.loads(world.run("about", "--json", "-s", "dev"))
    assert about["currentStack"]["fullyQualifiedName"] == "organization/shop/dev"
    assert [p["name"] for p in about["plugins"]] == ["thing"]
    assert about["errors"] == []
    assert "no stack named" in json.loads(world.run("about", "--json", "-s", "nope"))["errors"][0]


def test_secret_configuration_comes_by_stdin(world: World) -> None:
    """On the command line it would be in the shell's history and in the list of processes."""
    world.run("config", "set", "--secret", "token", "-s", "dev", stdin="can\nary\n")
    assert world.run("config", "get", "token", "-s", "dev") == "can\nary\n"
    assert "shop:token:\n    secure: v1:" in (world.folder / "program/Pulumi.dev.yaml").read_text()
    assert "[secret]" in world.run("config", "-s", "dev")
    world.run("config", "set", "plain", "-s", "dev", stdin="value\n")
    assert world.run("config", "get", "plain", "-s", "dev") == "value\n"


def test_config_refresh_takes_over_the_last_updates(world: World) -> None:
    """What someone else deployed with; local changes are overwritten only with --force."""
    world.run("config", "set", "color", "red", "-s", "dev")
    world.program("")
    world.up()
    world.run("config", "set", "color", "blue", "-s", "dev")
    assert "use --force" in world.run("config", "refresh", "-s", "dev", code=2)
    world.run("config", "refresh", "--force", "-s", "dev")
    assert world.run("config", "get", "color", "-s", "dev") == "red\n"
