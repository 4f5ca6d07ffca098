"""The daemon as a process: started, found, stopped, killed, refused."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from infra.localcloud.daemon_file import DaemonRecord, living_record, read_record, write_record

TIMEOUT_S = 30


def run(command: str, home: Path, *more: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "infra.localcloud", command, "--home", str(home), *more]
    return subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    home = tmp_path / "home"
    yield home
    run("reset", home)
    assert not (home / "cloud").exists()


def start(home: Path) -> dict[str, Any]:
    done = run("start", home, "--json")
    assert done.returncode == 0, done.stderr
    record: dict[str, Any] = json.loads(done.stdout)
    return record


def is_running(pid: int) -> bool:
    """A zombie is not running: where nobody collects orphans it keeps its pid."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def wait_ended(pid: int) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while is_running(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.story
def test_daemon_starts_is_found_keeps_its_url_and_stops(home: Path):
    first = start(home)
    assert (home.stat().st_mode & 0o777, Path(first["token_file"]).stat().st_mode & 0o777) == (0o700, 0o600)
    assert start(home) == first, "a second start finds the first one"
    status = json.loads(run("status", home, "--json").stdout)
    assert (status["url"], status["replicas"]) == (first["url"], [])
    assert run("stop", home).returncode == 0
    assert not is_running(first["pid"])
    assert not (home / "cloud" / "daemon.json").exists()
    assert run("status", home).returncode == 3
    assert run("stop", home).stdout == "local cloud was not running\n"
    second = start(home)
    assert (second["url"], second["pid"] != first["pid"]) == (first["url"], True)


@pytest.mark.story
def test_killed_daemon_is_recognised_and_replaced(home: Path):
    first = start(home)
    os.kill(first["pid"], 9)
    wait_ended(first["pid"])
    assert (home / "cloud" / "daemon.json").exists()
    assert run("status", home).returncode == 3
    second = start(home)
    assert second["url"] == first["url"]


@pytest.mark.story
def test_taken_port_is_refused_with_the_next_step(home: Path):
    """Silently taking another port would leave every stored URL wrong."""
    host, port = start(home)["url"].removeprefix("http://").split(":")
    assert run("stop", home).returncode == 0
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind((host, int(port)))
        stranger.listen()
        refused = run("start", home)
    assert refused.returncode == 1
    assert f"{host}:{port}" in refused.stderr
    assert "taken by another program" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.story
def test_damaged_world_is_refused_with_the_next_step(home: Path):
    start(home)
    run("stop", home)
    (home / "cloud" / "world.json").write_text('{"projects": {')
    refused = run("start", home)
    assert refused.returncode == 1
    assert "world.json is damaged" in refused.stderr
    assert "reset --home" in refused.stderr
    assert (home / "cloud" / "world.json").read_text() == '{"projects": {'


@pytest.mark.story
def test_second_daemon_of_a_home_is_refused(home: Path):
    start(home)
    refused = run("serve", home)
    assert refused.returncode == 4
    assert "runs already" in refused.stderr


def record(pid: int, process_started: float) -> DaemonRecord:
    return DaemonRecord(pid, "2026-11-24T00:00:00.000Z", "http://127.64.0.1:1", "http://127.64.0.1:1", "/t", "1", process_started)


def test_record_of_a_living_daemon_is_believed(tmp_path: Path):
    mine = record(os.getpid(), psutil.Process().create_time())
    write_record(tmp_path, mine)
    assert living_record(tmp_path) == mine


def test_pid_that_another_program_got_is_not_the_daemon(tmp_path: Path):
    """Otherwise `stop` would end somebody else's program."""
    write_record(tmp_path, record(os.getpid(), psutil.Process().create_time() - 100))
    assert living_record(tmp_path) is None


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"pid": "x"}', "\x00"])
def test_damaged_record_is_no_record(tmp_path: Path, content: str):
    (tmp_path / "daemon.json").write_text(content)
    assert read_record(tmp_path) is None


def test_record_of_a_pid_that_is_gone_is_dead(tmp_path: Path):
    done = subprocess.Popen([sys.executable, "-c", "pass"])
    done.wait(TIMEOUT_S)
    write_record(tmp_path, record(done.pid, 1.0))
    assert living_record(tmp_path) is None
