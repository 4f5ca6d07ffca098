"""about, whoami, login, logout, install, plugin ls."""

import getpass
import json
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.engine.commands.arguments import Arguments
from infra.engine.commands.stack_choice import open_session, workspace_of
from infra.engine.errors import EngineError, UsageError
from infra.engine.workspace.project import Project, interpreter
from infra.engine.workspace.session import Workspace
from infra.engine.workspace.versions import VERSION


def run_information(arguments: Arguments) -> int:
    workspace = workspace_of(arguments)
    project = workspace.project_or_none()
    match arguments.command:
        case "whoami":
            user, url = getpass.getuser(), f"file://{workspace.backend(project).root.parent}"
            if arguments.has("--json"):
                print(json.dumps({"user": user, "organizations": [], "url": url}, indent=2))
            else:
                print(f"User: {user}\nOrganizations: -\nBackend URL: {url}" if arguments.has("--verbose") else user)
        case "about":
            _about(workspace, arguments)
        case "plugin ls":
            _list_plugins(arguments)
        case "login" | "logout":
            if arguments.positional and not arguments.positional[0].startswith("file://"):
                raise UsageError(f"login: this engine keeps state in files only, got {arguments.positional[0]!r}")
            print("Nothing to do: the backend is a folder; choose it with PULUMI_BACKEND_URL=file://PATH")
        case "install":
            print("Nothing to install: program and plugins run from their own virtualenv")
    return 0


def _about(workspace: Workspace, arguments: Arguments) -> None:
    """In the form of Pulumi's CLI (pkg/cmd/pulumi/about); what cannot be told is null and named in `errors`."""
    errors: list[str] = []
    about: dict[str, Any] = {
        "plugins": None,
        "host": {"os": platform.system().lower(), "version": platform.release(), "arch": platform.machine()},
        "backend": None,
        "currentStack": None,
        "cliAbout": {"version": VERSION, "goVersion": "", "goCompiler": "", "engine": "embedded"},
        "runtime": {"language": "python", "executable": sys.executable, "version": platform.python_version()},
        "dependencies": [],
        "errors": errors,
    }
    try:
        project = workspace.project()
        about["plugins"] = [{"name": name, "version": None, "kind": "resource"} for name in sorted(project.plugin_paths)]
        about["dependencies"] = _dependencies(project, arguments.has("--transitive"))
        backend = workspace.backend(project)
        url = f"file://{backend.root.parent}"
        about["backend"] = {"name": platform.node(), "url": url, "user": getpass.getuser(), "organizations": []}
        about["currentStack"] = _current_stack(workspace, arguments)
    except EngineError as exc:
        errors.append(str(exc))
    if arguments.has("--json"):
        print(json.dumps(about, indent=4))
        return
    for key, value in about.items():
        if isinstance(value, dict):
            print(f"{key}:")
            print("\n".join(f"    {name}: {text}" for name, text in value.items() if not isinstance(text, dict | list)))
    for error in errors:
        sys.stderr.write(f"warning: {error}\n")


_LIST_DEPENDENCIES = """
import importlib.metadata, json, re
found, needed = {}, set()
name_of = lambda text: re.sub(r"[-_.]+", "-", re.match(r"[A-Za-z0-9._-]+", text).group()).lower()
for one in importlib.metadata.distributions():
    found[name_of(one.metadata["Name"])] = {"name": one.metadata["Name"], "version": one.version}
    needed.update(name_of(text) for text in one.requires or [])
print(json.dumps([[found[key], key in needed] for key in sorted(found)]))
"""


def _dependencies(project: Project, with_needed: bool) -> list[dict[str, str]]:
    """The packages of the program's interpreter; without `--transitive` those that no other package needs."""
    python = interpreter(project.virtualenv, project.folder, sys.executable)
    done = subprocess.run([python, "-c", _LIST_DEPENDENCIES], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise UsageError(f"about: {python} cannot list its packages: {done.stderr.strip().splitlines()[-1]}")
    return [package for package, is_needed in json.loads(done.stdout) if with_needed or not is_needed]


def _current_stack(workspace: Workspace, arguments: Arguments) -> dict[str, Any]:
    session = open_session(workspace, arguments)
    latest = session.document()["checkpoint"].get("latest") or {}
    resources = [
        {"type": r["type"], "urn": r["urn"], **({"id": r["id"]} if r.get("id") else {})} for r in latest.get("resources") or []
    ]
    pending = [{"type": op["type"], "urn": op["resource"]["urn"]} for op in latest.get("pending_operations") or []]
    return {
        "name": session.name.stack,
        "fullyQualifiedName": session.name.full,
        "resources": resources,
        "pendingOps": pending,
    }


def _list_plugins(arguments: Arguments) -> None:
    workspace = workspace_of(arguments)
    if arguments.has("--project"):
        rows = [_plugin_row(name, "resource", "", folder) for name, folder in sorted(workspace.project().plugin_paths.items())]
    else:
        rows = [_plugin(folder) for folder in sorted((workspace.home / "plugins").glob("*-v*")) if folder.is_dir()]
    if arguments.has("--json"):
        print(json.dumps(rows, indent=2))
        return
    print(f"{'NAME':<20}{'KIND':<12}VERSION")
    for row in rows:
        print(f"{row['name']:<20}{row['kind']:<12}{row['version'] or 'n/a'}")


def _plugin(folder: Path) -> dict[str, Any]:
    kind, _, rest = folder.name.partition("-")
    name, _, version = rest.rpartition("-v")
    return _plugin_row(name, kind, version, folder)


def _plugin_row(name: str, kind: str, version: str, folder: Path) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name, "kind": kind, "version": version, "size": 0}
    if folder.is_dir():
        row["size"] = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
        moment = datetime.fromtimestamp(folder.stat().st_mtime, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        row |= {"installTime": moment, "lastUsedTime": moment}
    return row
