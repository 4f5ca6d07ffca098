"""The Pulumi workspace of a stack: the folder with the Pulumi.yaml and Pulumi.<stack>.yaml that the engine reads.

A stack on a real cloud is worked on in the clone itself: its secrets, pins and encryption belong in its committed file,
where they are reviewed. A local stack's secrets and pins are this machine's alone, so it gets an effective copy in
`<home>/workspaces/<stack>/`: the committed values, plus what this machine owns. The committed file always wins for the
keys that it sets; edits to it take effect at the next command.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from infra.cli.home import ROOT, Home, ensure_passphrase
from infra.cli.project import StackFile, read_yaml_mapping

LOCAL_SECRETS = ("cached-auth:cachePassword", "cached-auth:databasePassword", "cached-auth:cacheKey")
MAIL_URL = "cached-auth:smtpUrl"
MACHINE_OWNED = (*LOCAL_SECRETS, MAIL_URL, "cached-auth:release", "cached-auth:releases")


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where the engine works for one stack, and which variables it needs to unlock secrets there."""

    stack: str
    folder: Path
    environment: Mapping[str, str]

    @property
    def stack_file(self) -> Path:
        return self.folder / f"Pulumi.{self.stack}.yaml"


def effective_document(committed: Mapping[str, Any], machine: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """The committed stack file with this machine's own values beneath it (pure).

    `machine` is the effective file as it was left, `before` the committed one that it was made of: what stands in both alike
    came from the committed file, and goes when it is taken out there.
    """
    earlier = before.get("config") or {}
    left = (machine.get("config") or {}).items()
    owned = {key: value for key, value in left if key in MACHINE_OWNED and (key not in earlier or earlier[key] != value)}
    kept = {key: machine[key] for key in ("encryptionsalt", "secretsprovider") if key in machine}
    return {**committed, **kept, "config": {**owned, **(committed.get("config") or {})}}


def effective_project(document: Mapping[str, Any], root: Path) -> dict[str, Any]:
    """Pulumi.yaml with its relative paths made absolute, so that it works from another folder (pure)."""
    project = dict(document)
    project["main"] = str(root / project.get("main", "."))
    providers = [{**entry, "path": str(root / entry["path"])} for entry in (project.get("plugins") or {}).get("providers", [])]
    if providers:
        project["plugins"] = {**project["plugins"], "providers": providers}
    runtime = project.get("runtime")
    if isinstance(runtime, dict) and (options := runtime.get("options")) and "virtualenv" in options:
        project["runtime"] = {**runtime, "options": {**options, "virtualenv": str(root / options["virtualenv"])}}
    return project


def write_private(path: Path, text: str) -> None:
    """Replaces the file at once, readable by its owner alone; unchanged text leaves it untouched."""
    if path.exists() and path.read_text() == text:
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def prepare_workspace(home: Home, stack: StackFile, root: Path = ROOT) -> Workspace:
    """The workspace, its files written where it is this machine's own."""
    if not stack.is_local or stack.has_own_secrets:
        return Workspace(stack.name, root, {})
    folder = home.workspace(stack.name)
    own_file = folder / f"Pulumi.{stack.name}.yaml"
    committed_file = folder / "committed.yaml"
    machine, before = (read_yaml_mapping(path) if path.exists() else {} for path in (own_file, committed_file))
    project = effective_project(read_yaml_mapping(root / "Pulumi.yaml"), root)
    write_private(folder / "Pulumi.yaml", yaml.safe_dump(project, sort_keys=False))
    write_private(own_file, yaml.safe_dump(effective_document(stack.document, machine, before), sort_keys=False))
    write_private(committed_file, yaml.safe_dump(stack.document, sort_keys=False))
    return Workspace(stack.name, folder, passphrase_environment(home))


def passphrase_environment(home: Home) -> dict[str, str]:
    if os.environ.get("PULUMI_CONFIG_PASSPHRASE") is not None or os.environ.get("PULUMI_CONFIG_PASSPHRASE_FILE"):
        return {}
    return {"PULUMI_CONFIG_PASSPHRASE_FILE": str(ensure_passphrase(home))}


def missing_local_secrets(workspace: Workspace, mail: Callable[[], str | None]) -> dict[str, str]:
    """Values for the secrets that a local stack's workspace still lacks; key -> value.

    New random ones, and the local cloud's mail sink (host:port, asked for only where it is missing), so that welcome mails
    have somewhere to go.
    """
    config = read_yaml_mapping(workspace.stack_file).get("config") or {}
    found = {key: secrets.token_urlsafe(32) for key in LOCAL_SECRETS if key not in config}
    if MAIL_URL not in config and (address := mail()):
        found[MAIL_URL] = f"smtp://{address}"
    return found
