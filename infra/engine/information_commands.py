"""about, whoami, login, logout, install, plugin ls."""

import getpass
import json
import sys
from datetime import UTC, datetime
from typing import Any

from infra.engine.arguments import Arguments
from infra.engine.commands import VERSION
from infra.engine.errors import UsageError
from infra.engine.session import workspace_here


def run_information(arguments: Arguments) -> int:
    workspace = workspace_here()
    project = workspace.project_or_none()
    match arguments.command:
        case "whoami":
            user, url = getpass.getuser(), f"file://{workspace.backend(project).root.parent}"
            print(json.dumps({"user": user, "organizations": [], "url": url}, indent=2) if arguments.has("--json") else user)
        case "about":
            about = {
                "cliAbout": {"version": VERSION, "engine": "embedded"},
                "backend": {"url": str(workspace.backend(project).root)},
            }
            about["runtime"] = {"language": "python", "executable": sys.executable}
            print(json.dumps(about, indent=2) if arguments.has("--json") else "\n".join(f"{k}: {v}" for k, v in about.items()))
        case "plugin ls":
            _list_plugins(arguments)
        case "login" | "logout":
            if arguments.positional and not arguments.positional[0].startswith("file://"):
                raise UsageError(f"login: this engine keeps state in files only, got {arguments.positional[0]!r}")
            print("Nothing to do: the backend is a folder; choose it with PULUMI_BACKEND_URL=file://PATH")
        case "install":
            print("Nothing to install: program and plugins run from their own virtualenv")
    return 0


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
