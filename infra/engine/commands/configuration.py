"""config, config get, set, set-all, rm, rm-all, refresh."""

import getpass
import json
import sys
from typing import Any

from infra.engine.commands.arguments import Arguments
from infra.engine.commands.stack_choice import open_session, workspace_of
from infra.engine.errors import UsageError
from infra.engine.workspace import config
from infra.engine.workspace.config import ConfigItem
from infra.engine.workspace.session import Session


def run_config(arguments: Arguments) -> int:
    session = open_session(workspace_of(arguments), arguments)
    match arguments.command:
        case "config":
            _list(session, arguments)
        case "config get":
            _get(session, arguments)
        case "config set":
            _set(session, arguments)
        case "config set-all":
            _set_all(session, arguments)
        case "config refresh":
            _refresh(session, arguments)
        case _:
            for key in arguments.positional if arguments.command == "config rm-all" else [arguments.one("a key")]:
                config.remove_value(session.settings, key, arguments.has("--path"), session.project.name)
            session.settings.save()
    return 0


def _crypter(session: Session) -> Any:
    """The stack's crypter; the checkpoint's salt serves where the settings have none."""
    if session.settings.encryption_salt:
        return session.crypter()
    return session.crypter(session.document()["checkpoint"].get("latest"))


def _sealed(session: Session, text: str) -> dict[str, str]:
    return {"secure": _crypter(session).encrypt(text)}


def _list(session: Session, arguments: Arguments) -> None:
    with_secrets = arguments.has("--show-secrets")
    shown: dict[str, dict[str, Any]] = {}
    for key, value in sorted(session.settings.config.items()):
        full = config.full_key(key, session.project.name)
        if config.is_secret_value(value) and not with_secrets:
            shown[full] = {"secret": True}
        else:
            shown[full] = _document(config.item_of(value, _LazyCrypter(session)))
    if arguments.has("--json"):
        print(json.dumps(shown, indent=2))
        return
    width = max([len(key) for key in shown] + [3]) + 2
    print(f"{'KEY':<{width}}VALUE")
    for key, entry in shown.items():
        short = key.removeprefix(f"{session.project.name}:")
        print(f"{short:<{width}}{entry.get('value', '[secret]')}")


class _LazyCrypter:
    """Asks for the passphrase only when a secret is met."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def encrypt(self, text: str) -> str:
        return str(_crypter(self._session).encrypt(text))

    def decrypt(self, ciphertext: str) -> str:
        return str(_crypter(self._session).decrypt(ciphertext))


def _document(item: ConfigItem) -> dict[str, Any]:
    document: dict[str, Any] = {"value": item.text, "secret": item.is_secret}
    if item.object_value is not None:
        document["objectValue"] = item.object_value
    return document


def _get(session: Session, arguments: Arguments) -> None:
    key = arguments.one("a key")
    try:
        value = config.get_value(session.settings, key, arguments.has("--path"), session.project.name)
    except KeyError:
        raise UsageError(f"configuration key '{key}' not found for stack '{session.name.stack}'") from None
    item = config.item_of(value, _LazyCrypter(session))
    print(json.dumps(_document(item), indent=2) if arguments.has("--json") else item.text)


def _set(session: Session, arguments: Arguments) -> None:
    if len(arguments.positional) == 1:
        key, value = arguments.positional[0], _asked(arguments)
    elif len(arguments.positional) == 2:
        key, value = arguments.positional
    else:
        raise UsageError("config set: expected KEY and VALUE; without VALUE it is read from stdin")
    typed = _typed(value, arguments.value("--type", "string"))
    config.set_value(
        session.settings,
        key,
        _sealed(session, value) if arguments.has("--secret") else typed,
        arguments.has("--path"),
        session.project.name,
    )
    session.settings.save()


def _asked(arguments: Arguments) -> str:
    """The value from a person at a terminal (a secret without echo), else all of stdin."""
    if not sys.stdin.isatty() or arguments.has("--non-interactive"):
        return sys.stdin.read().rstrip("\n")
    return getpass.getpass("value: ") if arguments.has("--secret") else input("value: ")


def _typed(value: str, kind: str) -> Any:
    try:
        match kind:
            case "string":
                return value
            case "int":
                return int(value)
            case "bool":
                return {"true": True, "false": False}[value]
            case "json":
                return json.loads(value)
    except (ValueError, KeyError) as exc:
        raise UsageError(f"config set: --type {kind}: cannot read {value!r}") from exc
    raise UsageError(f"config set: --type: expected string, int, bool or json, got {kind!r}")


def _set_all(session: Session, arguments: Arguments) -> None:
    is_path, project = arguments.has("--path"), session.project.name
    for flag in ("--plaintext", "--secret"):
        for pair in arguments.values(flag):
            key, equals, value = pair.partition("=")
            if not equals:
                raise UsageError(f"config set-all: {flag}: expected KEY=VALUE, got no `=`")
            config.set_value(session.settings, key, _sealed(session, value) if flag == "--secret" else value, is_path, project)
    if text := arguments.value("--json"):
        try:
            entries = json.loads(text)
            for key, entry in entries.items():
                value = entry.get("objectValue", entry.get("value"))
                plain = value if isinstance(value, str) else json.dumps(value)
                config.set_value(session.settings, key, _sealed(session, plain) if entry.get("secret") else value, False, project)
        except (ValueError, AttributeError) as exc:
            raise UsageError("config set-all: --json: expected the output of `config --json`") from exc
    session.settings.save()


def _refresh(session: Session, arguments: Arguments) -> None:
    """Takes over the configuration of the last update."""
    history = session.backend.history(session.name)
    if not history:
        raise UsageError(f"stack '{session.name.stack}' has no update yet, so no configuration to take over")
    if session.settings.config != history[0]["config"] and session.settings.config and not arguments.has("--force"):
        raise UsageError("the configuration differs from the last update's; use --force to overwrite it")
    session.settings.config = history[0]["config"]
    session.settings.save()
