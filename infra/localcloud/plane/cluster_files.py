"""A cluster's files beside what PostgreSQL makes of them itself: its name, its settings, and the way into and out of a restore.

While a restore is under way the data of the time before lie beside the cluster as `<name>.before`, and as long as that
directory is there the restore has not ended: whoever finds it goes back. Each step is one rename, so that a daemon that is
killed at any moment leaves either the old data or the new ones, never none.
"""

from __future__ import annotations

import hashlib
import re
import shlex
import shutil
from pathlib import Path

# Until the first backup nobody needs the log; without any command it would pile up.
NO_ARCHIVE = "/bin/true"
HBA = "host all all 127.0.0.0/8 scram-sha-256\nhost replication all 127.0.0.0/8 scram-sha-256\n"


def slot_of(key: str) -> str:
    """A key as a directory and replication slot name: lower case letters, digits, underscores; told apart by a digest."""
    plain = "".join(character if character.isascii() and character.isalnum() else "_" for character in key.lower())[:40]
    return f"{plain}_{hashlib.sha256(key.encode()).hexdigest()[:10]}"


def own_settings(data: Path) -> Path:
    """What the server reads last, and what ALTER SYSTEM writes."""
    return data / "postgresql.auto.conf"


def setting_line(name: str, value: str) -> str:
    """As PostgreSQL reads a text in its files (its manual, section 19.1.1)."""
    escaped = value.replace("\\", "\\\\").replace("'", "''")
    return f"{name} = '{escaped}'\n"


def decide_archiving(data: Path) -> None:
    """On the command line the setting could not be changed while the server runs, so it goes to the server's own file."""
    own = own_settings(data)
    if not re.search(r"^archive_command\s*=", own.read_text(encoding="utf-8"), re.MULTILINE):
        with own.open("a", encoding="utf-8") as file:
            file.write(setting_line("archive_command", NO_ARCHIVE))


def archive_command(archive: Path) -> str:
    """To another name first: a copy cut short by a crash must not look like a whole segment."""
    there = f"{_for_shell(archive)}/%f"
    return f'test ! -f {there} && cp "%p" {there}.part && mv {there}.part {there}'


def restore_command(archive: Path) -> str:
    return f'cp {_for_shell(archive)}/%f "%p"'


def _for_shell(path: Path) -> str:
    """One word of a command that PostgreSQL gives to a shell, after it has put names in where a % stands."""
    return shlex.quote(str(path)).replace("%", "%%")


def before_of(data: Path) -> Path:
    """The data from before a restore that is under way."""
    return data.with_name(f"{data.name}.before")


def begin_restore(data: Path, restored: Path) -> None:
    data.rename(before_of(data))
    restored.rename(data)


def undo_restore(data: Path) -> None:
    """Back to the data from before, if a restore was under way. May be repeated after it was cut short itself."""
    if before_of(data).exists():
        shutil.rmtree(data, ignore_errors=True)
        before_of(data).rename(data)


def end_restore(data: Path) -> None:
    """The restored data are the cluster's now."""
    discarded = data.with_name(f"{data.name}.discarded")
    shutil.rmtree(discarded, ignore_errors=True)
    before_of(data).rename(discarded)
    shutil.rmtree(discarded, ignore_errors=True)
