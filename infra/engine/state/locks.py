"""Stack locks of the file backend: a file per holder in `.pulumi/locks/organization/PROJECT/STACK/`.

Taking a lock is: write ours, look for others, give way if there are any. Two that start together may both give way;
they never both go on. A holder on this host whose process is gone (kill -9) is told apart by its pid and, on Linux, a
start time, so that its lock is removed with a notice instead of asking the user to run `cancel`.
"""

import getpass
import json
import os
import socket
import uuid
from pathlib import Path
from typing import Any

from infra.engine.errors import StackLocked
from infra.engine.model.resource_state import now_text


class StackLock:
    """Context manager: holds the lock. Raises StackLocked with the holder's name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / f"{uuid.uuid4()}.json"

    def __enter__(self) -> "StackLock":
        self._folder.mkdir(parents=True, exist_ok=True)
        content = {"pid": os.getpid(), "username": _username(), "hostname": socket.gethostname(), "timestamp": now_text()}
        temporary = self._file.with_suffix(".tmp")
        temporary.write_text(json.dumps(content))
        temporary.rename(self._file)
        try:
            if holders := [h for h in _holders(self._folder, besides=self._file) if not _is_abandoned(*h)]:
                raise StackLocked(_describe(holders))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._file.unlink(missing_ok=True)


def break_locks(folder: Path) -> int:
    """Removes every lock (`cancel`); returns how many there were."""
    files = list(folder.glob("*.json"))
    for file in files:
        file.unlink(missing_ok=True)
    return len(files)


def is_locked(folder: Path) -> bool:
    return any(not _is_abandoned(*holder) for holder in _holders(folder, besides=None))


def _holders(folder: Path, besides: Path | None) -> list[tuple[Path, dict[str, Any]]]:
    found: list[tuple[Path, dict[str, Any]]] = []
    for file in sorted(folder.glob("*.json")):
        if file != besides:
            try:
                found.append((file, json.loads(file.read_text())))
            except FileNotFoundError:
                continue  # released meanwhile
            except ValueError:
                found.append((file, {}))
    return found


def _is_abandoned(file: Path, content: dict[str, Any]) -> bool:
    """True, and the lock is removed, where its process ran on this host and is gone."""
    pid = content.get("pid")
    if content.get("hostname") != socket.gethostname() or not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        file.unlink(missing_ok=True)
        return True
    except PermissionError:
        return False
    return False


def _describe(holders: list[tuple[Path, dict[str, Any]]]) -> str:
    lines = [
        f"the stack is currently locked by {len(holders)} lock(s). "
        "Either wait for the other process(es) to end or delete the lock file with `pulumi cancel`."
    ]
    for file, c in holders:
        lines.append(f"  {file}: created by {c.get('username')}@{c.get('hostname')} (pid {c.get('pid')}) at {c.get('timestamp')}")
    return "\n".join(lines)


def _username() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
