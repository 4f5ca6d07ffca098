"""Pulumi.yaml: what the project is and how its program and plugins start."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from infra.engine.errors import UsageError

PROJECT_FILES = ("Pulumi.yaml", "Pulumi.yml", "Pulumi.json")


@dataclass(frozen=True, slots=True)
class Project:
    """A project, as far as the engine uses it."""

    folder: Path
    name: str
    main: str = ""
    virtualenv: str = ""
    plugin_paths: dict[str, Path] = field(default_factory=dict)
    config_schema: dict[str, Any] = field(default_factory=dict)
    backend_url: str = ""
    stack_config_folder: str = ""
    required_version: str = ""

    @property
    def program(self) -> Path:
        """The file or folder to run; relative `main` counts from the project folder."""
        return (self.folder / self.main) if self.main else self.folder

    def stack_file(self, stack: str) -> Path:
        return self.folder / self.stack_config_folder / f"Pulumi.{stack}.yaml"


def load_yaml(path: Path) -> Any:
    """Parsed YAML. Raises UsageError with the line where it breaks."""
    # The C loader is about ten times faster, which shows in cold starts; wheels of PyYAML carry it.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return yaml.load(path.read_text(), Loader=loader)  # noqa: S506 - both are safe loaders
    except yaml.YAMLError as exc:
        raise UsageError(f"{path}: cannot be read as YAML: {' '.join(str(exc).split())}") from exc


def find_project(start: Path) -> Project:
    """The project of this folder or the nearest above it. Raises UsageError where there is none."""
    for folder in (start, *start.parents):
        for name in PROJECT_FILES:
            if (folder / name).is_file():
                return parse_project(load_yaml(folder / name), folder)
    raise UsageError("no Pulumi.yaml project file found (searching upwards from the current directory)")


def parse_project(document: Any, folder: Path) -> Project:
    """Checks and reads the document. Raises UsageError naming the field."""
    if not isinstance(document, dict) or not isinstance(document.get("name"), str):
        raise UsageError(f"{folder}/Pulumi.yaml: name: expected a string")
    runtime = document.get("runtime")
    runtime_name = runtime.get("name") if isinstance(runtime, dict) else runtime
    if runtime_name != "python":
        raise UsageError(f"{folder}/Pulumi.yaml: runtime: this engine runs python programs only, got {runtime_name!r}")
    options = runtime.get("options") or {} if isinstance(runtime, dict) else {}
    backend = document.get("backend") or {}
    return Project(
        folder=folder,
        name=document["name"],
        main=document.get("main") or "",
        virtualenv=options.get("virtualenv") or "",
        plugin_paths=_plugin_paths(document.get("plugins") or {}, folder),
        config_schema=document.get("config") or {},
        backend_url=backend.get("url") or "",
        stack_config_folder=document.get("stackConfigDir") or "",
        required_version=document.get("requiredPulumiVersion") or "",
    )


def _plugin_paths(plugins: Any, folder: Path) -> dict[str, Path]:
    try:
        return {entry["name"]: (folder / entry["path"]) for entry in plugins.get("providers") or []}
    except (KeyError, TypeError, AttributeError) as exc:
        raise UsageError(f"{folder}/Pulumi.yaml: plugins.providers: expected a list of {{name, path}}") from exc


def interpreter(virtualenv: str, folder: Path, own: str) -> str:
    """The Python to run a program or plugin with: of its virtualenv where one is named, else `own`.

    The environment's link is used, not what it points to: a virtualenv is recognised by the path it is started with.
    """
    if not virtualenv:
        return own
    venv = Path(os.path.normpath(folder / virtualenv))
    for candidate in (venv / "bin" / "python", venv / "Scripts" / "python.exe"):
        if candidate.exists():
            return str(candidate)
    raise UsageError(f"{folder}: options.virtualenv: {venv} has no Python; create it with `python -m venv {venv}`")
