"""A restore that is killed at any moment leaves the old data or the new ones; any directory is one word to the shell."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from infra.localcloud.plane.cluster_files import (
    archive_command,
    begin_restore,
    end_restore,
    restore_command,
    setting_line,
    undo_restore,
)


class Killed(Exception):
    """The daemon, at this moment."""


def cluster(path: Path, content: str) -> Path:
    path.mkdir()
    (path / "PG_VERSION").write_text(content)
    return path


@pytest.mark.parametrize("renames", range(3))
def test_killed_in_a_restore_the_data_are_the_old_ones_until_it_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames: int
) -> None:
    data, restored = cluster(tmp_path / "data", "old"), cluster(tmp_path / "data.partial", "new")
    left = [None] * renames
    rename = Path.rename

    def renamed(path: Path, target: Path) -> Path:
        if not left:
            raise Killed
        left.pop()
        return rename(path, target)

    def restoring() -> None:
        begin_restore(data, restored)
        end_restore(data)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", renamed)
        with pytest.raises(Killed):
            restoring()
    undo_restore(data)
    assert (data / "PG_VERSION").read_text() == "old"


def test_a_restore_that_has_ended_is_not_undone(tmp_path: Path) -> None:
    data = cluster(tmp_path / "data", "old")
    begin_restore(data, cluster(tmp_path / "data.partial", "new"))
    end_restore(data)
    undo_restore(data)
    assert (data / "PG_VERSION").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def run(command: str, f: str, p: Path) -> None:
    """As PostgreSQL does (its src/common/percentrepl.c): %% is a percent sign."""
    text = command.replace("%%", "\x01").replace("%f", f).replace("%p", str(p)).replace("\x01", "%")
    subprocess.run(["/bin/sh", "-c", text], check=True, timeout=10)


@pytest.mark.parametrize("name", ["plain", "o'brien", 'a "quote"', "$(exit 7)", "100%p"])
def test_commands_take_any_directory_for_what_it_is(tmp_path: Path, name: str) -> None:
    archive = tmp_path / name
    archive.mkdir()
    (tmp_path / "segment").write_text("log")
    run(archive_command(archive), "0001", tmp_path / "segment")
    assert [path.name for path in archive.iterdir()] == ["0001"]
    run(restore_command(archive), "0001", tmp_path / "back")
    assert (tmp_path / "back").read_text() == "log"


def test_a_setting_holds_quotes_and_backslashes() -> None:
    assert setting_line("name", r"cp 'a\b'") == r"name = 'cp ''a\\b'''" + "\n"
