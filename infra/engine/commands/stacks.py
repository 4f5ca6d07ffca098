"""stack init, select, ls, rm, rename, output, export, import, history, tag; cancel."""

import json
import shlex
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.engine.commands.arguments import Arguments
from infra.engine.commands.stack_choice import open_session, select, selected, stack_name, workspace_of
from infra.engine.errors import NoSuchStack, StackExists, StateError, UsageError
from infra.engine.model.resource_state import ResourceState, now_text
from infra.engine.model.stack_name import StackName
from infra.engine.model.urns import STACK_TYPE
from infra.engine.model.values import SECRET_SIGNATURE, SIGNATURE_KEY, Secret, mask, reveal
from infra.engine.state.backend import write_atomically
from infra.engine.state.checkpoint import decode_resource, encode_resource, encode_value, parse_document
from infra.engine.state.locks import StackLock, break_locks, is_locked
from infra.engine.workspace import config as stack_config
from infra.engine.workspace.session import Session


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
            row["lastUpdate"] = _time(history[0]["endTime"])
        row["updateInProgress"] = is_locked(backend.lock_folder(name))
        row["resourceCount"] = len(latest.get("resources") or [])
        rows.append(row)
    if arguments.has("--json"):
        print(json.dumps(rows, indent=2))
        return
    print(f"{'NAME':<24}{'LAST UPDATE':<28}RESOURCE COUNT")
    for row in rows:
        print(f"{row['name'] + ('*' if row['current'] else ''):<24}{row.get('lastUpdate', 'n/a'):<28}{row['resourceCount']}")


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


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


def _shown_outputs(session: Session, document: dict[str, Any], with_secrets: bool) -> dict[str, Any]:
    if with_secrets:
        opened = next((s for s in session.states(document) if s.type == STACK_TYPE), None)
        return dict(reveal(opened.outputs)) if opened else {}
    resources = (document["checkpoint"].get("latest") or {}).get("resources") or []
    stack = next((r for r in resources if r["type"] == STACK_TYPE), None)
    return dict(mask(decode_resource(stack, _Blind()).outputs)) if stack else {}


class _Blind:
    """Opens no secret, and so needs no passphrase."""

    def encrypt(self, text: str) -> str:
        raise AssertionError("nothing is sealed blindly")

    def decrypt(self, ciphertext: str) -> str:
        return '"[secret]"'


def _outputs(arguments: Arguments) -> None:
    session = open_session(workspace_of(arguments), arguments)
    document = session.document()
    shown = _shown_outputs(session, document, arguments.has("--show-secrets"))
    if arguments.positional:
        key = arguments.one("an output's name")
        if key not in shown:
            raise UsageError(f"current stack does not have output property '{key}'")
        value = shown[key]
        if arguments.has("--shell"):
            print(_shell_line(key, value))
            return
        print(json.dumps(value, sort_keys=True) if arguments.has("--json") or not isinstance(value, str) else value)
    elif arguments.has("--json"):
        print(json.dumps(shown, indent=2, sort_keys=True))
    elif arguments.has("--shell"):
        for key, value in sorted(shown.items()):
            print(_shell_line(key, value))
    else:
        for key, value in sorted(shown.items()):
            print(f"{key}\t{value if isinstance(value, str) else json.dumps(value, sort_keys=True)}")


def _shell_line(key: str, value: Any) -> str:
    return f"{key}={shlex.quote(value if isinstance(value, str) else json.dumps(value, sort_keys=True))}"


def _export(arguments: Arguments) -> None:
    session = open_session(workspace_of(arguments), arguments)
    document = session.document()
    latest = document["checkpoint"].get("latest") or {}
    if arguments.has("--show-secrets"):
        states = session.states(document)
        latest["resources"] = [_in_the_clear(state, session) for state in states]
    text = json.dumps({"version": document["version"], **_features(document), "deployment": latest}, indent=4)
    if path := arguments.value("--file"):
        write_atomically(Path(path), text + "\n")
    else:
        print(text)


def _features(document: dict[str, Any]) -> dict[str, Any]:
    return {"features": document["features"]} if document.get("features") else {}


def _in_the_clear(state: ResourceState, session: Session) -> dict[str, Any]:
    encoded = encode_resource(state, session.crypter())
    for key in ("inputs", "outputs"):
        if key in encoded:
            encoded[key] = _plain(getattr(state, key))
    return encoded


def _plain(value: Any) -> Any:
    if isinstance(value, Secret):
        return {SIGNATURE_KEY: SECRET_SIGNATURE, "plaintext": json.dumps(encode_value(value.value, str))}
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list) else value


def _import(arguments: Arguments) -> None:
    session = open_session(workspace_of(arguments), arguments)
    try:
        text = Path(arguments.value("--file")).read_text() if arguments.value("--file") else sys.stdin.read()
        given = json.loads(text)
        latest = given["deployment"] or {}
        version = given.get("version", 3)
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise UsageError(f"stack import: cannot read a deployment from {arguments.value('--file') or 'stdin'}: {exc}") from exc
    document = {"version": version, **_features(given), "checkpoint": {"stack": session.name.full, "latest": latest}}
    parse_document(json.dumps(document), "stack import")
    if not arguments.has("--force"):
        foreign = [
            r["urn"] for r in latest.get("resources") or [] if not r["urn"].startswith(f"urn:pulumi:{session.name.stack}::")
        ]
        if foreign:
            raise UsageError(
                f"stack import: resource '{foreign[0]}' belongs to another stack; use --force to import it all the same"
            )
    with StackLock(session.backend.lock_folder(session.name)):
        crypter = session.crypter(latest)
        states = session.states(document)
        latest["secrets_providers"] = {"type": "passphrase", "state": {"salt": crypter.state}}
        latest["resources"] = [encode_resource(state, crypter) for state in states]
        session.backend.back_up(session.name)
        session.backend.write(session.name, json.dumps(document) + "\n")
    print("Import complete.")


def _history(arguments: Arguments) -> None:
    session = open_session(workspace_of(arguments), arguments)
    entries = session.backend.history(session.name)
    count = len(entries)
    size, page = arguments.number("--page-size", 0), arguments.number("--page", 1)
    numbered = [(count - index, entry) for index, entry in enumerate(entries)]
    if size:
        numbered = numbered[(page - 1) * size : page * size]
    rows = [_history_row(number, entry, session, arguments.has("--show-secrets")) for number, entry in numbered]
    if arguments.has("--json"):
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        print(f"Version: {row['version']}\nUpdateKind: {row['kind']}\nStatus: {row['result']}\nMessage: {row['message']}")
        print(f"Ended: {row['endTime']}\nResource Changes: {json.dumps(row['resourceChanges'])}\n")


def _history_row(number: int, entry: dict[str, Any], session: Session, with_secrets: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for key, value in (entry.get("config") or {}).items():
        full = stack_config.full_key(key, session.project.name)
        if stack_config.is_secret_value(value) and not with_secrets:
            shown[full] = {"secret": True}
        else:
            try:
                item = stack_config.item_of(value, session.crypter())
            except StateError:
                shown[full] = {"secret": True}  # made with a passphrase of before
                continue
            shown[full] = {"value": item.text, "secret": item.is_secret}
    row = {**entry, "config": shown, "version": number}
    row["startTime"], row["endTime"] = _time(entry["startTime"]), _time(entry["endTime"])
    return row


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


def _show(arguments: Arguments) -> None:
    session = open_session(workspace_of(arguments), arguments)
    if arguments.has("--show-name"):
        print(session.name.stack)
        return
    document = session.document()
    latest = document["checkpoint"].get("latest") or {}
    resources = latest.get("resources") or []
    print(f"Current stack is {session.name.stack}:\n    Backend: {session.backend.root}")
    print(f"    Last updated: {(latest.get('manifest') or {}).get('time') or 'never'}")
    print(f"Current stack resources ({len(resources)}):")
    for line in resource_tree(resources, arguments.has("--show-urns"), arguments.has("--show-ids")):
        print(f"    {line}")
    outputs = _shown_outputs(session, document, arguments.has("--show-secrets"))
    print(f"Current stack outputs ({len(outputs)}):")
    for key, value in sorted(outputs.items()):
        print(f"    {key}\t{value if isinstance(value, str) else json.dumps(value, sort_keys=True)}")


def resource_tree(resources: list[dict[str, Any]], with_urns: bool, with_ids: bool) -> list[str]:
    """Children below their parents, in the order of the state."""
    known = {r["urn"] for r in resources}
    children: dict[str, list[dict[str, Any]]] = {}
    for resource in resources:
        children.setdefault(resource["parent"] if resource.get("parent") in known else "", []).append(resource)
    lines: list[str] = []
    waiting = [(r, 0) for r in reversed(children.get("", []))]
    while waiting:
        resource, depth = waiting.pop()
        lines.append(f"{'   ' * depth}{resource['type']}  {resource['urn'].split('::')[-1]}")
        lines += [f"{'   ' * depth}   URN: {resource['urn']}"] if with_urns else []
        lines += [f"{'   ' * depth}   ID: {resource['id']}"] if with_ids and resource.get("id") else []
        # The second life of a URN that is being replaced has no children of its own.
        inner = [] if resource.get("delete") else children.get(resource["urn"], [])
        waiting += [(r, depth + 1) for r in reversed(inner)]
    return lines


def _cancel(arguments: Arguments) -> None:
    session = open_session(workspace_of(arguments), arguments, arguments.positional[0] if arguments.positional else "")
    if not arguments.has("--yes"):
        raise UsageError("cancel: --yes must be passed in to proceed")
    break_locks(session.backend.lock_folder(session.name))
    print(f"The currently running update for '{session.name.stack}' has been canceled!")


_COMMANDS: dict[str, Callable[[Arguments], None]] = {
    "stack": _show,
    "stack init": _init,
    "stack select": _select,
    "stack unselect": _unselect,
    "stack ls": _list,
    "stack rm": _remove,
    "stack rename": _rename,
    "stack output": _outputs,
    "stack export": _export,
    "stack import": _import,
    "stack history": _history,
    "stack tag get": _tags,
    "stack tag set": _tags,
    "stack tag rm": _tags,
    "stack tag ls": _tags,
    "cancel": _cancel,
}
