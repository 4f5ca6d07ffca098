"""state delete, rename, protect, unprotect, taint, untaint, move; stack change-secrets-provider."""

import getpass
import json
import sys
from collections.abc import Callable
from typing import Any

from infra.engine.commands.arguments import Arguments
from infra.engine.commands.stack_choice import open_session, workspace_of
from infra.engine.errors import NoSuchStack, UsageError
from infra.engine.model.values import SECRET_SIGNATURE, SIGNATURE_KEY
from infra.engine.state import edits as state_edits
from infra.engine.state.crypter import Passphrase, PassphraseCrypter
from infra.engine.state.edits import Resource
from infra.engine.state.locks import StackLock
from infra.engine.workspace import config
from infra.engine.workspace.session import Session, checkpoint_salt


def run_state(arguments: Arguments) -> int:
    match arguments.command:
        case "state move":
            _move(arguments)
        case "stack change-secrets-provider":
            _change_secrets_provider(arguments)
        case _:
            _edit(arguments)
    return 0


def _edit(arguments: Arguments) -> None:
    session = open_session(workspace_of(arguments), arguments)
    with StackLock(session.backend.lock_folder(session.name)):
        document, resources = _resources(session)
        edited, message = _edited(arguments, resources)
        _write(session, document, edited)
    print(message)


def _edited(arguments: Arguments, resources: list[Resource]) -> tuple[list[Resource], str]:
    if arguments.command == "state rename":
        if len(arguments.positional) != 2:
            raise UsageError("state rename: expected a URN and the new name")
        urn, name = arguments.positional
        state_edits.require_known(resources, {urn}, arguments.command)
        return state_edits.rename(resources, urn, name), "Resource renamed"
    if arguments.has("--all") and arguments.positional:
        raise UsageError(f"{arguments.command}: expected URNs or --all, not both")
    urns = {r["urn"] for r in resources} if arguments.has("--all") else set(arguments.positional)
    if not arguments.has("--all"):
        state_edits.require_known(resources, urns, arguments.command)
    match arguments.command:
        case "state delete":
            is_forced, with_dependents = arguments.has("--force"), arguments.has("--target-dependents")
            left = state_edits.delete(resources, urns, is_forced=is_forced, with_dependents=with_dependents)
            count = len(resources) - len(left)
            return left, "Resource deleted" if count == 1 else f"{count} resources deleted"
        case "state protect" | "state unprotect":
            is_set = arguments.command == "state protect"
            return state_edits.marked(resources, urns, "protect", is_set), f"Resources {'' if is_set else 'un'}protected"
        case _:
            is_set = arguments.command == "state taint"
            return state_edits.marked(resources, urns, "taint", is_set), f"Resources {'' if is_set else 'un'}tainted"


def _resources(session: Session) -> tuple[dict[str, Any], list[Resource]]:
    document = session.document()
    latest = document["checkpoint"].get("latest") or {}
    document["checkpoint"]["latest"] = latest
    return document, latest.get("resources") or []


def _write(session: Session, document: dict[str, Any], resources: list[Resource]) -> None:
    document["checkpoint"]["latest"]["resources"] = resources
    if any(r.get("taint") for r in resources):
        document["version"] = 4
        document["features"] = sorted({*document.get("features", ()), "taint"})
    session.backend.back_up(session.name)
    session.backend.write(session.name, json.dumps(document) + "\n")


def _move(arguments: Arguments) -> None:
    """Both stacks are locked, the target is written first: an interruption leaves a resource twice, never lost."""
    workspace = workspace_of(arguments)
    source = open_session(workspace, arguments, arguments.value("--source"))
    if not arguments.value("--dest"):
        raise UsageError("state move: expected --dest STACK")
    target = open_session(workspace, arguments, arguments.value("--dest"), must_exist=False)
    if not target.backend.exists(target.name):
        raise NoSuchStack(target.name.stack)
    if source.name == target.name:
        raise UsageError("state move: source and destination are the same stack")
    locks = sorted((source, target), key=lambda s: s.name.full)  # one order for all: two moves cannot wait for each other
    with StackLock(locks[0].backend.lock_folder(locks[0].name)), StackLock(locks[1].backend.lock_folder(locks[1].name)):
        from_document, from_resources = _resources(source)
        to_document, to_resources = _resources(target)
        state_edits.require_known(from_resources, set(arguments.positional), arguments.command)
        move = state_edits.Move(from_resources, to_resources, set(arguments.positional), arguments.has("--include-parents"))
        staying, arrived = move.run(target.name.stack, target.name.project)
        known = {r["urn"] for r in to_resources}
        change = _resealer(source, from_document, target, to_document)
        arrived = [r if r["urn"] in known else _resealed(r, change) for r in arrived]
        _write(target, to_document, arrived)
        _write(source, from_document, staying)
    for line in move.broken:
        sys.stderr.write(f"warning: the dependency {line} was dropped: its ends are in different stacks now\n")
    print(f"Successfully moved {len(from_resources) - len(staying)} resources from {source.name.full} to {target.name.full}")


def _resealer(
    source: Session, from_document: dict[str, Any], target: Session, to_document: dict[str, Any]
) -> Callable[[str], str]:
    """Ciphertext of one stack -> of the other; makes keys only when a secret is met."""
    opened: list[tuple[PassphraseCrypter, PassphraseCrypter]] = []

    def change(ciphertext: str) -> str:
        if not opened:
            latest = to_document["checkpoint"]["latest"]
            # Pulumi.STACK.yaml of another project lies in another folder; its checkpoint says how it is sealed.
            is_here = target.name.project == target.project.name
            sealing = target.crypter(latest) if is_here else target.crypter_of(latest)
            latest["secrets_providers"] = {"type": "passphrase", "state": {"salt": sealing.state}}
            opened.append((_opening(source, from_document), sealing))
        opening, sealing = opened[0]
        return sealing.encrypt(opening.decrypt(ciphertext))

    return change


def _opening(session: Session, document: dict[str, Any]) -> PassphraseCrypter:
    """The crypter that made the checkpoint's ciphertexts."""
    latest = document["checkpoint"].get("latest") or {}
    salt = checkpoint_salt(latest)
    return PassphraseCrypter(salt, session.passphrase) if salt else session.crypter(latest)


def _resealed(value: Any, change: Callable[[str], str]) -> Any:
    return state_edits.resealed(value, change, (SIGNATURE_KEY, SECRET_SIGNATURE))


def _change_secrets_provider(arguments: Arguments) -> None:
    """A new passphrase and salt; every secret of settings and state is encrypted anew."""
    provider = arguments.one("the new provider, `passphrase`")
    if provider != "passphrase":
        raise UsageError(f"stack change-secrets-provider: this engine has only `passphrase`, got {provider!r}")
    session = open_session(workspace_of(arguments), arguments)
    with StackLock(session.backend.lock_folder(session.name)):
        document, resources = _resources(session)
        latest = document["checkpoint"]["latest"]
        opening, of_settings = _opening(session, document), session.crypter(latest)
        of_settings.decrypt(of_settings.encrypt(""))  # a wrong old passphrase is told before the new one is asked for
        sealing = PassphraseCrypter.fresh(Passphrase(_new_passphrase(arguments)))
        pending = latest.get("pending_operations")
        edited = _resealed(resources, lambda text: sealing.encrypt(opening.decrypt(text)))
        if pending:
            latest["pending_operations"] = _resealed(pending, lambda text: sealing.encrypt(opening.decrypt(text)))
        latest["secrets_providers"] = {"type": "passphrase", "state": {"salt": sealing.state}}
        session.settings.config = config.resealed(session.settings.config, lambda t: sealing.encrypt(of_settings.decrypt(t)))
        session.settings.secrets_provider, session.settings.encryption_salt = "", sealing.state
        # State first: it says itself which salt it was sealed with, so an interruption here leaves both readable with
        # their own passphrase, the settings with the old one.
        _write(session, document, edited)
        session.settings.save()
    print(f"The secrets of stack {session.name.stack} are encrypted anew; use the new passphrase from now on")


def _new_passphrase(arguments: Arguments) -> str:
    """Typed twice on a terminal, else the first line of stdin, as Pulumi's CLI reads it."""
    if not sys.stdin.isatty() or arguments.has("--non-interactive"):
        line = sys.stdin.readline()
        if not line:
            raise UsageError("stack change-secrets-provider: expected the new passphrase on stdin")
        return line.strip()
    first = getpass.getpass("Enter your new passphrase to protect config/secrets: ")
    if first != getpass.getpass("Re-enter your new passphrase to confirm: "):
        raise UsageError("stack change-secrets-provider: the passphrases do not match")
    return first
