"""What a stack holds: stack, stack output, export, import, history."""

import json
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.engine.commands.arguments import Arguments
from infra.engine.commands.stack_choice import open_session, workspace_of
from infra.engine.errors import StateError, UsageError
from infra.engine.model.resource_state import ResourceState
from infra.engine.model.urns import STACK_TYPE
from infra.engine.model.values import SECRET_SIGNATURE, SIGNATURE_KEY, Secret, mask, reveal
from infra.engine.state.backend import write_atomically
from infra.engine.state.checkpoint import decode_resource, encode_resource, encode_value, parse_document
from infra.engine.state.locks import StackLock
from infra.engine.workspace import config as stack_config
from infra.engine.workspace.session import Session


def time_text(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


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


def show_outputs(arguments: Arguments) -> None:
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


def export(arguments: Arguments) -> None:
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


def import_(arguments: Arguments) -> None:
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


def show_history(arguments: Arguments) -> None:
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
    row["startTime"], row["endTime"] = time_text(entry["startTime"]), time_text(entry["endTime"])
    return row


def show(arguments: Arguments) -> None:
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
