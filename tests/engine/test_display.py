"""What a person sees: the live tree, details with secrets masked, the line of the program that went wrong."""

import os
import pty
import subprocess
import sys
from typing import Any

from infra.engine.display.live import Tree
from tests.engine.world import TIMEOUT_S, World

URN = "urn:pulumi:dev::shop::"
STACK = URN + "pulumi:pulumi:Stack::shop-dev"


def event(kind: str, op: str, name: str, parent: str = STACK, **more: Any) -> dict[str, Any]:
    urn = STACK if name == "shop-dev" else f"{URN}thing:index:Thing::{name}"
    state = {"parent": "" if urn == STACK else parent}
    return {kind: {"metadata": {"urn": urn, "op": op, "new": state, "old": None, **more}}}


def test_tree_has_status_durations_and_parents() -> None:
    """A row changes in place from doing to done; what stays the same takes no row."""
    tree = Tree(is_preview=False)
    tree.on_event(event("resourcePreEvent", "same", "shop-dev"), 0)
    tree.on_event(event("resOutputsEvent", "same", "shop-dev"), 0)
    tree.on_event(event("resourcePreEvent", "create", "a"), 1)
    tree.on_event(event("resourcePreEvent", "update", "b", parent=f"{URN}thing:index:Thing::a"), 2)
    tree.on_event(event("resOutputsEvent", "same", "quiet"), 2)
    assert tree.lines(5.4, 10, 200) == [
        "    pulumi:pulumi:Stack shop-dev unchanged",
        " +     thing:index:Thing a creating... (4s)",
        " ~        thing:index:Thing b updating... (3s)",
    ]
    tree.on_event(event("resOutputsEvent", "create", "a"), 6)
    tree.on_event({"diagnosticEvent": {"urn": f"{URN}thing:index:Thing::b", "severity": "error"}}, 6)
    tree.on_event(event("resOpFailedEvent", "update", "b"), 7)
    assert tree.lines(9, 10, 200)[1:] == [
        " +     thing:index:Thing a created (5s)",
        " ~        thing:index:Thing b **updating failed** (5s); 1 error",
    ]
    assert [len(line) for line in tree.lines(9, 10, 20)] == [20, 20, 20]


def test_tree_fits_the_terminal() -> None:
    """What is at work is shown, the rest counted."""
    tree = Tree(is_preview=True)
    for number in range(50):
        tree.on_event(event("resourcePreEvent", "create", f"t{number}"), 0)
        if number >= 2:
            tree.on_event(event("resOutputsEvent", "create", f"t{number}"), 0)
    lines = tree.lines(0, 10, 80)
    assert len(lines) == 3
    assert lines[-1] == "    ... and 48 more"


def on_terminal(world: World, *arguments: str) -> str:
    """What the command writes to a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "infra.engine", *arguments],
        cwd=world.folder / "program",
        env={**world.environment, "TERM": "xterm", "COLUMNS": "120", "LINES": "30"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    text = b""
    try:
        while chunk := _read(ours):
            text += chunk
        process.wait(timeout=TIMEOUT_S)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    return text.decode()


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:
        return b""  # Linux says EIO when the last writer has closed a terminal


def test_a_terminal_gets_the_tree_and_a_pipe_gets_lines(world: World) -> None:
    """Control sequences in a log file help nobody."""
    world.program("Thing('t')\nraise ValueError('mine')\n")
    text = on_terminal(world, "up", "--yes", "--skip-preview", "-s", "dev")
    assert "\x1b[J" in text
    assert "ValueError: mine" in text
    assert text.rindex("thing:index:Thing t created") < text.index("ValueError: mine")
    assert "\x1b" not in on_terminal(world, "preview", "-s", "dev", "--non-interactive")
    assert "\x1b" not in world.run("preview", "-s", "dev", code=1)


def test_details_mask_secrets(world: World) -> None:
    """Old and new value, at every depth; also in what is created."""
    world.program(
        "Thing('t', o={'p': pulumi.Output.secret('canary' + os.environ.get('V', '1')), 'n': os.environ.get('V', '1')})\n"
    )
    created = world.run("preview", "--diff", "-s", "dev")
    world.up()
    changed = world.run("preview", "--diff", "-s", "dev", V="2")
    assert "[secret]" in created
    assert "[secret]" in changed
    assert "canary" not in created + changed


def test_failed_resource_names_the_line_that_asks_for_it(world: World) -> None:
    """A program of a thousand resources is not searched by name."""
    world.program("Thing('good')\nThing('bad', fail='create')\n")
    text = world.up(code=1)
    assert "at __main__.py:6: Thing('bad', fail='create')" in text
    good = world.resources()["good"]
    assert good["sourcePosition"] == "project:///__main__.py#5"
    assert good["stackTrace"][0] == {"sourcePosition": "project:///__main__.py#5"}
    assert str(world.folder) not in world.state_file.read_text()
