"""What the clone says about its stacks: one `Pulumi.<stack>.yaml` each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from infra.cli.errors import UsageError
from infra.cli.home import ROOT

STACK_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
CLOUD_KEY = "cached-auth:cloud"


@dataclass(frozen=True, slots=True)
class StackFile:
    """A stack's committed configuration. `document` is the file as YAML says it."""

    name: str
    path: Path
    document: dict[str, Any]

    @property
    def config(self) -> dict[str, Any]:
        return dict(self.document.get("config") or {})

    @property
    def is_local(self) -> bool:
        return bool(self.config.get(CLOUD_KEY, "local") == "local")

    @property
    def has_own_secrets(self) -> bool:
        """True where the file brings its own encryption; it is then used as it stands, with the user's passphrase."""
        return "encryptionsalt" in self.document or "secretsprovider" in self.document


def stack_names(root: Path = ROOT) -> list[str]:
    return sorted(path.name.split(".")[1] for path in root.glob("Pulumi.*.yaml"))


def read_stack_file(name: str, root: Path = ROOT) -> StackFile:
    """The stack's file. UsageError for a wrong name, a missing file, or a file that is no YAML mapping."""
    if not STACK_NAME.fullmatch(name):
        raise UsageError(f"stack: expected lower-case letters, digits and dashes, got {name!r}", "./cached-auth up dev")
    path = root / f"Pulumi.{name}.yaml"
    if not path.exists():
        known = ", ".join(stack_names(root)) or "none"
        raise UsageError(f"stack {name!r}: expected one of {known} (a file {path.name}), found none", "./cached-auth --help")
    return StackFile(name, path, read_yaml_mapping(path))


def read_yaml_mapping(path: Path) -> dict[str, Any]:
    """A YAML file's mapping. UsageError names the file and, for a syntax error, the line."""
    try:
        document = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise UsageError(f"{path.name}{where}: not YAML: {getattr(error, 'problem', error)}", f"edit {path}") from error
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", f"ls -l {path}") from error
    if document is None:
        return {}
    if not isinstance(document, dict) or not isinstance(document.get("config") or {}, dict):
        raise UsageError(f"{path.name}: expected a mapping with `config:`, got something else", f"edit {path}")
    return document
