"""Which stack a command means, and remembering the selected one."""

import getpass
import json
import os
import sys
from pathlib import Path

from infra.engine.commands.arguments import Arguments
from infra.engine.errors import NoSuchStack, UsageError
from infra.engine.model.stack_name import StackName
from infra.engine.state.backend import write_atomically
from infra.engine.workspace.project import Project
from infra.engine.workspace.session import Session, Workspace


def workspace_of(arguments: Arguments) -> Workspace:
    """Here and now; a person is asked only at a terminal and without --non-interactive."""
    is_alone = arguments.has("--non-interactive") or not sys.stdin.isatty()
    return Workspace(os.environ, Path.cwd(), None if is_alone else getpass.getpass)


def selected(workspace: Workspace, project: Project) -> str:
    """The selected stack's name: PULUMI_STACK, else as `stack select` left it, else ""."""
    if name := workspace.environment.get("PULUMI_STACK"):
        return name
    try:
        content = json.loads(workspace.selection_file(project).read_text())
    except (OSError, ValueError):
        return ""
    return str(content.get("stack") or "")


def select(workspace: Workspace, project: Project, name: StackName | None) -> None:
    write_atomically(workspace.selection_file(project), json.dumps({"stack": name.full} if name else {}))


def stack_name(workspace: Workspace, project: Project, arguments: Arguments, given: str = "") -> StackName:
    text = given or arguments.value("--stack") or selected(workspace, project)
    if not text:
        raise UsageError("no stack selected; use --stack NAME, or `stack select NAME`, or create one with `stack init NAME`")
    return StackName.parse(text, project.name)


def open_session(workspace: Workspace, arguments: Arguments, given: str = "", *, must_exist: bool = True) -> Session:
    """The stack the command means. Raises NoSuchStack, UsageError."""
    project = workspace.project()
    backend = workspace.backend(project)
    name = stack_name(workspace, project, arguments, given)
    if must_exist and not backend.exists(name):
        raise NoSuchStack(name.stack)
    config_file = arguments.value("--config-file")
    return Session(workspace, project, backend, name, Path(config_file) if config_file else None)
