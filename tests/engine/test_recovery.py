"""Interrupted, locked, damaged: nothing is lost and the next step is told."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.engine.world import TIMEOUT_S, World

SLOW = "Thing('quick', n=1)\nThing('slow', delay_s=3, opts=RO(depends_on=[Thing('first', n=2)]))\n"


def wait_for(claim: "object", path: Path) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        if path.exists() and claim in path.read_text():  # type: ignore[operator]
            return
        time.sleep(0.02)
    raise AssertionError(f"{path} never held {claim}")


def children_of(pid: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(status.parent.name))
    return found


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.story
def test_update_killed_midway_resumes_where_it_stopped(world: World) -> None:
    """kill -9 leaves finished resources in the state, a pending operation for the one under way, and no processes."""
    world.program(SLOW)
    process = world.start("up", "--yes", "--skip-preview", "-s", "dev")
    wait_for('["create", "slow"]', world.folder / "store/calls.log")
    children = children_of(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=TIMEOUT_S)
    assert {"quick", "first"} <= set(world.resources())
    pending = world.state()["pending_operations"]
    assert [(p["type"], p["resource"]["urn"].rsplit("::")[-1]) for p in pending] == [("creating", "slow")]
    deadline = time.monotonic() + TIMEOUT_S
    while any(is_running(pid) for pid in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in children if is_running(pid)]
    world.calls()
    text = world.up()
    assert "was interrupted while it created this resource" in text
    assert world.calls() == [["create", "slow"]]
    assert len(world.state()["pending_operations"]) == 1  # kept until someone has looked
    world.run("refresh", "--yes", "--skip-preview", "--clear-pending-creates", "-s", "dev")
    assert "pending_operations" not in world.state()


@pytest.mark.story
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_waits_for_what_is_under_way(world: World, number: signal.Signals) -> None:
    """A graceful stop leaves no pending operation: the slow resource is finished and saved."""
    world.program(SLOW + "Thing('never', opts=RO(depends_on=[Thing('later', delay_s=3, opts=RO(depends_on=[Thing('l0')]))]))\n")
    process = world.start("up", "--yes", "--skip-preview", "-s", "dev")
    wait_for('["create", "slow"]', world.folder / "store/calls.log")
    process.send_signal(number)
    out, err = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 1, out + err
    assert "what was done is saved" in out
    assert "slow" in world.resources()
    assert "never" not in world.resources()
    assert "pending_operations" not in world.state()
    assert not list((world.folder / "state/.pulumi/locks").rglob("*.json"))


@pytest.mark.story
def test_second_signal_cancels_the_providers(world: World) -> None:
    """The operation under way ends in order, as failed: nothing is pending that the provider has answered for."""
    world.program("Thing('slow', delay_s=50)\n")
    process = world.start("up", "--yes", "--skip-preview", "-s", "dev")
    wait_for('["create", "slow"]', world.folder / "store/calls.log")
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    while "cancelling: waiting for operations under way" not in process.stdout.readline():
        pass
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 1, out + err
    assert "gave up as it was told" in out
    assert "pending_operations" not in world.state()
    assert not list((world.folder / "state/.pulumi/locks").rglob("*.json"))


@pytest.mark.story
def test_second_update_is_refused_while_one_runs(world: World) -> None:
    """The text is what the Automation API takes for a ConcurrentUpdateError."""
    world.program(SLOW)
    process = world.start("up", "--yes", "--skip-preview", "-s", "dev")
    try:
        wait_for('["create", "slow"]', world.folder / "store/calls.log")
        text = world.up(code=1)
        assert "the stack is currently locked by 1 lock(s)" in text
        assert f"pid {process.pid}" in text
    finally:
        process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0


def test_lock_of_a_dead_process_does_not_block(world: World) -> None:
    """After kill -9 nobody should have to run `cancel` by hand."""
    import socket
    import subprocess
    import sys

    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    folder = world.folder / "state/.pulumi/locks/organization/shop/dev"
    folder.mkdir(parents=True)
    lock = {"pid": ended.pid, "username": "x", "hostname": socket.gethostname(), "timestamp": "2026-01-01T00:00:00Z"}
    (folder / "a.json").write_text(json.dumps(lock))
    world.up()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"version": 3, "checkp', "the state is damaged"),
        ('{"version": 9, "checkpoint": {"stack": "x", "latest": {}}}', "expected state version up to 4, got 9"),
        (
            '{"version": 4, "features": ["time-travel"], "checkpoint": {"stack": "x"}}',
            "features this engine does not know: time-travel",
        ),
        ("[]", "the state is damaged"),
    ],
)
def test_unreadable_state_is_refused_in_one_line(world: World, text: str, message: str) -> None:
    """Going on with half a state would lose resources."""
    world.state_file.write_text(text)
    answer = world.up(code=1)
    assert message in answer
    assert "Traceback" not in answer
    assert world.state_file.read_text() == text


def test_wrong_passphrase_is_refused(world: World) -> None:
    """Before anything is written with another key."""
    world.run("config", "set", "--secret", "token", "x", "-s", "dev")
    before = world.state_file.read_text()
    assert "incorrect passphrase" in world.up(code=1, PULUMI_CONFIG_PASSPHRASE="wrong")
    assert world.state_file.read_text() == before


@pytest.mark.story
def test_kill_during_replacement_leaves_one_life(world: World) -> None:
    """Killed while the original is deleted: the replacement is live, the original is still known and goes next time."""
    world.program("Thing('t', fixed=os.environ.get('V', '1'))\n")
    world.up()
    world.calls()
    process = world.start("up", "--yes", "--skip-preview", "-s", "dev", V="2", DELETE_S="30")
    wait_for('["delete", "t"]', world.folder / "store/calls.log")
    process.kill()
    process.communicate(timeout=TIMEOUT_S)
    lives = [bool(r.get("delete")) for r in world.state()["resources"] if r["urn"].endswith("::t")]
    assert sorted(lives) == [False, True]
    world.calls()
    world.up(V="2")
    assert world.calls() == [["delete", "t"]]


@pytest.mark.story
def test_kill_between_delete_and_create_makes_it_anew(world: World) -> None:
    """Deleted before its replacement was there: the state says so, and the next update creates."""
    world.program("Thing('t', alone=True, fixed=os.environ.get('V', '1'), delay_s=float(os.environ.get('D', '0')))\n")
    world.up()
    world.calls()
    process = world.start("up", "--yes", "--skip-preview", "-s", "dev", V="2", D="30")
    wait_for('["create", "t"]', world.folder / "store/calls.log")
    process.kill()
    process.communicate(timeout=TIMEOUT_S)
    (thing,) = [r for r in world.state()["resources"] if r["urn"].endswith("::t")]
    assert thing["pendingReplacement"] is True
    world.calls()
    world.up(V="2")
    assert world.calls() == [["create", "t"]]
    assert "pendingReplacement" not in world.resources()["t"]


def test_plugin_that_dies_leaves_a_pending_creation(world: World) -> None:
    """Whether the resource exists nobody knows: it is not forgotten."""
    world.program("Thing('t', fail='die')\n")
    assert "the provider plugin stopped answering" in world.up(code=1)
    assert [p["type"] for p in world.state()["pending_operations"]] == ["creating"]
