"""The front door: help with an example everywhere, one-line errors, exit codes."""

import json
import subprocess
import sys

import pytest
import yaml

from infra.cli.__main__ import COMMANDS, main, run
from infra.cli.home import ROOT


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("CACHED_AUTH_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    return tmp_path / "home"


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_explains_itself_with_an_example(name, capsys):
    assert run([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "Example:" in shown
    assert f"./cached-auth {name}" in shown


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["nosuch"], 2, "No such command"),
        (["up", "nosuch"], 2, "stack 'nosuch'"),
        (["up", "--frobnicate"], 2, "No such option"),
        (["loadtest", "dev", "--duration-s", "0"], 2, "not in the range"),
        (["outputs", "dev"], 2, "stack 'dev' has not been deployed from here"),
        (["cloud", "status"], 1, "the local cloud is not running"),
    ],
)
def test_a_mistake_is_one_line_and_the_next_command(arguments, code, expected, capsys):
    assert run(arguments) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert expected in shown.err
    assert "next:" in shown.err
    assert "Traceback" not in shown.err


def test_no_cloud_is_started_for_a_stack_that_there_is_not(capsys, home):
    """It would go on running behind the error."""
    assert run(["destroy", "--yes"]) == 2
    shown = capsys.readouterr().err
    assert "stack 'dev' has not been deployed from here" in shown
    assert "starting" not in shown
    assert not (home / "cloud").exists()


def test_a_home_that_cannot_be_made_is_told(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CACHED_AUTH_HOME", str(tmp_path / "file" / "home"))
    assert run(["cloud", "stop"]) == 2
    assert "CACHED_AUTH_HOME: expected a folder" in capsys.readouterr().err


def test_no_colour_where_nobody_asked(monkeypatch, capsys):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    run(["nosuch"])
    assert "\x1b[" not in capsys.readouterr().err


def test_doctor_speaks_json(capsys):
    assert run(["doctor", "--json"]) in (0, 1)
    findings = json.loads(capsys.readouterr().out)
    assert {"python", "engine", "addresses"} <= {finding["subject"] for finding in findings}


def test_help_answers_without_loading_pulumi():
    """A word of help must not cost the half second that the SDK takes to import."""
    code = "import sys; from infra.cli.__main__ import run; run(['--help']); sys.exit('pulumi' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False).returncode == 0


def test_the_top_level_lists_every_command():
    assert main.list_commands(None) == list(COMMANDS)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("cached-auth:colour: blue", "cached-auth:colour: unknown key"),
        ("cached-auth:cacheTtlSeconds: 0", "cached-auth:cacheTtlSeconds: expected"),
        ("cached-auth:cacheKey: plain", "cached-auth:cacheKey: expected a secret, got plain text"),
        ("cached-auth:topology: rings", "cached-auth:topology: expected"),
    ],
)
def test_a_wrong_setting_is_told_before_anything_starts(line, expected, tmp_path, monkeypatch, capsys, home):
    dev = yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text())
    key, value = line.split(": ")
    dev["config"][key] = int(value) if value.isdigit() else value
    (tmp_path / "Pulumi.dev.yaml").write_text(yaml.safe_dump(dev))
    monkeypatch.setattr("infra.cli.project.read_stack_file.__defaults__", (tmp_path,))
    assert run(["preview", "dev"]) == 2
    shown = capsys.readouterr().err
    assert expected in shown
    assert "next:" in shown
    assert not (home / "cloud").exists()
