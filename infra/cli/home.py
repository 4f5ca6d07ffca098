"""Where state, logs and reports live: `.cached-auth/` beside this clone, or CACHED_AUTH_HOME."""

from __future__ import annotations

import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from infra.cli.errors import UsageError
from infra.release import home_folder

ROOT = Path(__file__).resolve().parents[2]
SLO_FILE = ROOT / "loadtests" / "slo.yaml"
FREE_BYTES_MIN = 500 * 1024 * 1024  # a deploy writes two database clusters (40 MB each), bundles and logs


@dataclass(frozen=True, slots=True)
class Home:
    """Paths under one home; two homes never share a process, port or file."""

    path: Path

    @property
    def cloud(self) -> Path:
        return self.path / "cloud"

    @property
    def state(self) -> Path:
        return self.path / "state"

    @property
    def releases(self) -> Path:
        return self.path / "releases"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def rollouts(self) -> Path:
        return self.path / "rollouts"

    @property
    def passphrase(self) -> Path:
        return self.path / "passphrase"

    def workspace(self, stack: str) -> Path:
        return self.path / "workspaces" / stack

    def reports(self, stack: str) -> Path:
        return self.path / "reports" / stack


def open_home() -> Home:
    """The home, made private to the user where it did not exist. UsageError where it cannot be written."""
    path = home_folder()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in ("state", "releases", "logs", "reports", "workspaces"):
            (path / folder).mkdir(mode=0o700, exist_ok=True)
        free = shutil.disk_usage(path).free
    except OSError as error:
        raise UsageError(
            f"CACHED_AUTH_HOME: expected a folder that can be written, got {path} ({error.strerror})",
            "CACHED_AUTH_HOME=/another/folder ./cached-auth up",
        ) from error
    if free < FREE_BYTES_MIN:
        raise UsageError(
            f"{path}: expected at least {FREE_BYTES_MIN // 2**20} MB free on its disk, got {free // 2**20} MB",
            "free some space, or set CACHED_AUTH_HOME to a folder on another disk",
        )
    return Home(path)


def ensure_passphrase(home: Home) -> Path:
    """The file with the passphrase that encrypts local stacks' secrets; made once, readable by its owner alone."""
    try:
        descriptor = os.open(home.passphrase, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return home.passphrase
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(32))
        file.flush()
        os.fsync(file.fileno())
    return home.passphrase
