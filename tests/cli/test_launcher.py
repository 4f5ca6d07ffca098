"""The launcher sets up this clone's .venv, whole, and nobody else's."""

import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_a_linked_environment_is_refused_before_it_is_touched(tmp_path: Path) -> None:
    """Setting up empties .venv first: where it is a link, that would be another clone's."""
    clone, others = tmp_path / "clone", tmp_path / "others"
    clone.mkdir()
    others.mkdir()
    (others / "requirements.stamp").write_text("another clone's")
    shutil.copy(ROOT / "cached-auth", clone)
    shutil.copy(ROOT / "requirements.lock", clone)
    (clone / ".venv").symlink_to(others)
    done = subprocess.run([sys.executable, clone / "cached-auth", "up"], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"cached-auth: .venv: expected a folder of this clone, got a link to {others}, which setting up would empty; "
        "next: rm .venv and start again\n"
    )
    assert (others / "requirements.stamp").read_text() == "another clone's"


def test_every_line_of_the_lock_is_installed() -> None:
    """The lock is dealt out among several pips: what fell between them would be missing at some import."""
    entries = runpy.run_path(str(ROOT / "cached-auth"))["requirements"]()
    assert "".join(entries) == (ROOT / "requirements.lock").read_text()
    assert len([entry for entry in entries if entry.startswith("pip==")]) == 1


def test_a_command_that_fails_is_told_and_ends_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    run = runpy.run_path(str(ROOT / "cached-auth"))["run"]
    endless = [sys.executable, "-c", "import threading; threading.Event().wait()"]
    broken = [sys.executable, "-c", "import sys; print('no such index'); sys.exit(3)"]
    with pytest.raises(SystemExit, match="1"):
        run("installing", broken, endless)
    assert "installing failed:\nno such index\nnext: " in capsys.readouterr().err
