"""stack init, select, unselect, ls, rm, rename, tag; cancel. What a stack holds is shown by stack_contents."""

import json
from collections.abc import Callable
from typing import Any

from infra.engine.commands import stack_contents
from infra.engine.commands.arguments import Arguments
from infra.engine.commands.stack_choice import open_session, select, selected, stack_name, workspace_of
from infra.engine.errors import NoSuchStack, StackExists, UsageError
from infra.engine.model.resource_state import now_text
from infra.engine.model.stack_name import StackName
from infra.engine.model.urns import STACK_TYPE
from infra.engine.state.backend import write_atomically
from infra.engine.state.checkpoint import parse_document
from infra.engine.state.locks import StackLock, break_locks, is_locked
from infra.engine.workspace import config as stack_config


def run_stack(arguments: Arguments) -> int:
    _COMMANDS[arguments.command](arguments)
    return 0


def _init(arguments: Arguments) -> None:
    workspace = workspace_of(arguments)
    if arguments.value("--secrets-provider", "passphrase") not in ("passphrase", "default"):
        raise UsageError(
            f"stack init: --secrets-provider: this engine has only `passphrase`, got {arguments.value('--secrets-provider')!r}"
        )
    name = arguments.positional[0] if arguments.positional else arguments.value("--stack")
    if not name:
        raise UsageError("stack init: expected a name")
    session = open_session(workspace, arguments, name, must_exist=False)
    if session.backend.exists(session.name):
        raise StackExists(session.name.full)
    crypter = session.crypter()
    if source := arguments.value("--copy-config-from"):
        other = open_session(workspace, arguments, source)
        for key, value in other.settings.config.items():
            if stack_config.is_secret_value(value):
                raise UsageError("stack init: --copy-config-from: a configuration with secrets cannot be copied; set them anew")
            session.settings.config[key] = value
        session.settings.save()
    latest = {
        "manifest": {"time": now_text(), "magic": "", "version": ""},
        "secrets_providers": {"type": "passphrase", "state": {"salt": crypter.state}},
        "metadata": {},
    }
    document = {"version": 3, "checkpoint": {"stack": session.name.full, "latest": latest}}
    session.backend.create(session.name, json.dumps(document) + "\n")
    if not arguments.has("--no-select"):
        select(workspace, session.project, session.name)
    print(f"Created stack '{session.name.stack}'")


def _select(arguments: Arguments) -> None:
    workspace = workspace_of(arguments)
    given = arguments.positional[0] if arguments.positional else arguments.value("--stack")
    if not given:
        raise UsageError("stack select: expected a name")
    session = open_session(workspace, arguments, given, must_exist=False)
    if not session.backend.exists(session.name):
        if not arguments.has("--create"):
            raise NoSuchStack(session.name.stack)
        _init(Arguments("stack init", [given], {k: v for k, v in arguments.flags.items() if k != "--stack"}))
    select(workspace, session.project, session.name)


def _unselect(arguments: Arguments) -> None:
    workspace = workspace_of(arguments)
    select(workspace, workspace.project(), None)


def _list(arguments: Arguments) -> None:
    workspace = workspace_of(arguments)
    project = workspace.project_or_none()
    wanted = arguments.value("--project") or (project.name if project and not arguments.has("--all") else None)
    current = selected(workspace, project) if project else ""
    backend = workspace.backend(project)
    rows: list[dict[str, Any]] = []
    for name in backend.stacks(wanted):
        document = parse_document(backend.read(name), str(backend.stack_file(name)))
        latest = document["checkpoint"].get("latest") or {}
        row: dict[str, Any] = {"name": name.stack if project and name.project == project.name else name.full}
        row["current"] = bool(current) and project is not None and StackName.parse(current, project.name) == name
        history = backend.history(name)
        if history:
            row["lastUpdate"] = stack_contents.time_text(history[0]["endTime"])
        row["updateInProgress"] = is_locked(backend.lock_folder(name))
        row["resourceCount"] = len(latest.get("resources") or [])
        rows.append(row)
    if arguments.has("--json"):
        print(json.dumps(rows, indent=2))
        return
    print(f"{'NAME':<24}{'LAST UPDATE':<28}RESOURCE COUNT")
    for row in rows:
        print(f"{row['name'] + ('*' if row['current'] else ''):<24}{row.get('lastUpdate', 'n/a'):<28}{row['resourceCount']}")


def _remove(arguments: Arguments) -> None:
    workspace = workspace_of(arguments)
    session = open_session(workspace, arguments, arguments.positional[0] if arguments.positional else "")
    if not arguments.has("--yes"):
        raise UsageError("stack rm: --yes must be passed in to proceed")
    with StackLock(session.backend.lock_folder(session.name)):
        count = len((session.document()["checkpoint"].get("latest") or {}).get("resources") or [])
        if count and not arguments.has("--force"):
            raise UsageError(
                f"'{session.name.stack}' still has resources; removal rejected; run `destroy` first, "
                f"or use --force to forget {count}"
            )
        session.backend.remove(session.name)
    if not arguments.has("--preserve-config"):
        session.settings.path.unlink(missing_ok=True)
    current = selected(workspace, session.project)
    if current and StackName.parse(current, session.project.name) == session.name:
        select(workspace, session.project, None)
    print(f"Stack '{session.name.stack}' has been removed!")


def _rename(arguments: Arguments) -> None:
    workspace = workspace_of(arguments)
    session = open_session(workspace, arguments)
    new = stack_name(workspace, session.project, arguments, arguments.one("the new name"))
    if session.backend.exists(new):
        raise StackExists(new.full)
    old = session.name
    with StackLock(session.backend.lock_folder(old)):
        # Stack and project are in every URN and in the stack resource's own name, as whole parts between colons.
        text = session.backend.read(old).replace(f"urn:pulumi:{old.stack}::", f"urn:pulumi:{new.stack}::")
        text = text.replace(f"urn:pulumi:{new.stack}::{old.project}::", f"urn:pulumi:{new.stack}::{new.project}::")
        text = text.replace(f'{STACK_TYPE}::{old.project}-{old.stack}"', f'{STACK_TYPE}::{new.project}-{new.stack}"')
        text = text.replace(json.dumps(old.full), json.dumps(new.full))
        parse_document(text, str(session.backend.stack_file(new)))
        session.backend.write(new, text)  # first: a crash here leaves the stack twice, never lost
        session.backend.rename(old, new)
    if session.settings.path.exists():
        session.settings.path.rename(session.project.stack_file(new.stack))
    select(workspace, session.project, new)
    print(f"Renamed {old.full} to {new.full}")
    if new.project != old.project:
        print(f"Set `name: {new.project}` in Pulumi.yaml before the next update, so that the names match")


def _tags(arguments: Arguments) -> None:
    session = open_session(workspace_of(arguments), arguments)
    path = session.backend.tag_file(session.name)
    tags: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    match arguments.command.rsplit(" ", 1)[-1], arguments.positional:
        case "ls", []:
            print(
                json.dumps(tags, indent=2) if arguments.has("--json") else "\n".join(f"{k}\t{v}" for k, v in sorted(tags.items()))
            )
        case "get", [key]:
            if key not in tags:
                raise UsageError(f"stack tag '{key}' not found for stack '{session.name.stack}'")
            print(tags[key])
        case "set", [key, value]:
            write_atomically(path, json.dumps({**tags, key: value}))
        case "rm", [key]:
            tags.pop(key, None)
            write_atomically(path, json.dumps(tags))
        case action, _:
            raise UsageError(f"stack tag {action}: wrong number of arguments")


def _cancel(arguments: Arguments) -> None:
    session = open_session(workspace_of(arguments), arguments, arguments.positional[0] if arguments.positional else "")
    if not arguments.has("--yes"):
        raise UsageError("cancel: --yes must be passed in to proceed")
    break_locks(session.backend.lock_folder(session.name))
    print(f"The currently running update for '{session.name.stack}' has been canceled!")


_COMMANDS: dict[str, Callable[[Arguments], None]] = {
    "stack": stack_contents.show,
    "stack init": _init,
    "stack select": _select,
    "stack unselect": _unselect,
    "stack ls": _list,
    "stack rm": _remove,
    "stack rename": _rename,
    "stack output": stack_contents.show_outputs,
    "stack export": stack_contents.export,
    "stack import": stack_contents.import_,
    "stack history": stack_contents.show_history,
    "stack tag get": _tags,
    "stack tag set": _tags,
    "stack tag rm": _tags,
    "stack tag ls": _tags,
    "cancel": _cancel,
}
