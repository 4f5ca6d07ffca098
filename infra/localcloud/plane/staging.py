"""A place outside the home that another user can reach, needed only when we are root (see postgres_programs).

One directory per home under /var/tmp, which survives a reboot and is open to pass through. It says whose it is in a file,
so that one whose home was deleted without `destroy` is found and removed by whichever local cloud starts next.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
from pathlib import Path

from infra.localcloud.plane.interface import StartFailed

PARENT = Path("/var/tmp")  # noqa: S108 - each directory in it is checked to be our own before it is used
PREFIX = "cached-auth-"
OWNER_FILE = "home"


def staging_directory(directory: Path) -> Path:
    """The staging directory of the home's cloud `directory`, made on demand; only we write to it."""
    staging = _path_of(directory)
    staging.mkdir(mode=0o711, exist_ok=True)
    if not _is_our_own(staging):
        raise StartFailed(f"{staging}: expected a directory of our own; remove it")
    staging.chmod(0o711)
    (staging / OWNER_FILE).write_text(str(directory), encoding="utf-8")
    return staging


def discard_staging(directory: Path) -> None:
    """Removes it with all it holds; nothing where there is none."""
    staging = _path_of(directory)
    if staging.exists() and _is_our_own(staging):
        shutil.rmtree(staging, ignore_errors=True)


def sweep_stagings() -> list[Path]:
    """Removes those whose home is gone; what was removed."""
    removed = []
    for staging in PARENT.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError, UnicodeError):
            if _is_our_own(staging) and not Path((staging / OWNER_FILE).read_text(encoding="utf-8")).exists():
                shutil.rmtree(staging)
                removed.append(staging)
    return removed


def _path_of(directory: Path) -> Path:
    return PARENT / f"{PREFIX}{hashlib.sha256(str(directory).encode()).hexdigest()[:12]}"


def _is_our_own(path: Path) -> bool:
    found = path.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
