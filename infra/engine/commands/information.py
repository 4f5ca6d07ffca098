"""about, whoami, login, logout, install, plugin ls."""

import getpass
import json
import platform
import sys
from datetime import UTC, datetime
from typing import Any

from infra.engine.commands.arguments import Arguments
from infra.engine.commands.stack_choice import open_session
from infra.engine.errors import EngineError, UsageError
from infra.engine.workspace.session import Workspace, workspace_here
from infra.engine.workspace.versions import VERSION


def run_information(arguments: Arguments) -> int:
    workspace = workspace_here()
    project = workspace.project_or_none()
    match arguments.command:
        case "whoami":
            user, url = getpass.getuser(), f"file://{workspace.backend(project).root.parent}"
            print(json.dumps({"user": user, "organizations": [], "url": url}, indent=2) if arguments.has("--json") else user)
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


def _current_stack(workspace: Workspace, arguments: Arguments) -> dict[str, Any]:
    session = open_session(workspace, arguments)
    latest = session.document()["checkpoint"].get("latest") or {}
    resources = [
        {"type": r["type"], "urn": r["urn"], **({"id": r["id"]} if r.get("id") else {})} for r in latest.get("resources") or []
    ]
    return {"name": session.name.stack, "fullyQualifiedName": session.name.full, "resources": resources}


def _list_plugins(arguments: Arguments) -> None:
    workspace = workspace_here()
    rows: list[dict[str, Any]] = []
    for folder in sorted((workspace.home / "plugins").glob("*-v*")):
        kind, _, rest = folder.name.partition("-")
        name, _, version = rest.rpartition("-v")
        size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
        moment = datetime.fromtimestamp(folder.stat().st_mtime, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        rows.append({"name": name, "kind": kind, "version": version, "size": size, "installTime": moment, "lastUsedTime": moment})
    if arguments.has("--json"):
        print(json.dumps(rows, indent=2))
        return
    print(f"{'NAME':<20}{'KIND':<12}VERSION")
    for row in rows:
        print(f"{row['name']:<20}{row['kind']:<12}{row['version']}")
