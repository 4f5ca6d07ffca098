"""Stack configuration: Pulumi.STACK.yaml, its secrets, paths, and the project's schema."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from infra.engine.errors import UsageError
from infra.engine.model import property_paths
from infra.engine.state.backend import write_atomically
from infra.engine.state.crypter import Crypter
from infra.engine.workspace.project import Project, load_yaml
from infra.engine.workspace.settings_text import edited


@dataclass(slots=True)
class StackSettings:
    """The stack's file. `config` values are plain, `{"secure": ciphertext}`, or objects that hold such."""

    path: Path
    encryption_salt: str = ""
    secrets_provider: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    rest: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> "StackSettings":
        """Reads the file; a missing one is an empty one. Raises UsageError."""
        document = (load_yaml(path) if path.exists() else None) or {}
        if not isinstance(document, dict) or not isinstance(document.get("config") or {}, dict):
            raise UsageError(f"{path}: config: expected a mapping of keys to values")
        rest = {k: v for k, v in document.items() if k not in ("encryptionsalt", "secretsprovider", "config")}
        return cls(
            path, document.get("encryptionsalt") or "", document.get("secretsprovider") or "", document.get("config") or {}, rest
        )

    def save(self) -> None:
        """Writes the file; of one that exists only the lines that change, so that comments stay."""
        document: dict[str, Any] = {}
        if self.secrets_provider:
            document["secretsprovider"] = self.secrets_provider
        if self.encryption_salt:
            document["encryptionsalt"] = self.encryption_salt
        document.update(self.rest)
        if self.config:
            document["config"] = self.config
        text = None
        if document and self.path.exists():
            text = edited(self.path.read_text(), document)
        if text is None:
            text = yaml.safe_dump(document, sort_keys=False, width=4096) if document else ""
        write_atomically(self.path, text, 0o644)  # committed and read by others; its secrets are sealed


@dataclass(frozen=True, slots=True)
class ConfigItem:
    """One value, decrypted. `text` is what the program sees: objects as JSON."""

    text: str
    is_secret: bool
    object_value: Any = None


def full_key(key: str, project: str) -> str:
    """`key` with its namespace; the old form `ns:config:key` is read as `ns:key`."""
    parts = key.split(":")
    if len(parts) == 3 and parts[1] == "config":
        return f"{parts[0]}:{parts[2]}"
    if len(parts) > 2 or not all(parts):
        raise UsageError(f"invalid configuration key {key!r}: expected NAME or NAMESPACE:NAME")
    return key if len(parts) == 2 else f"{project}:{key}"


def is_secure(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {"secure"} and isinstance(value["secure"], str)


def _holds_secret(value: Any) -> bool:
    if is_secure(value):
        return True
    items: Iterator[Any] = iter(value.values() if isinstance(value, dict) else value if isinstance(value, list) else ())
    return any(_holds_secret(item) for item in items)


def _open(value: Any, crypter: Crypter) -> Any:
    if is_secure(value):
        return crypter.decrypt(value["secure"])
    if isinstance(value, dict):
        return {k: _open(v, crypter) for k, v in value.items()}
    if isinstance(value, list):
        return [_open(v, crypter) for v in value]
    return value


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, separators=(",", ":")) if isinstance(value, dict | list) else "" if value is None else str(value)


def item_of(value: Any, crypter: Crypter) -> ConfigItem:
    opened = _open(value, crypter)
    is_object = isinstance(opened, dict | list)
    return ConfigItem(_text(opened), _holds_secret(value), opened if is_object else None)


def effective(settings: StackSettings, project: Project, stack: str, crypter: Crypter) -> dict[str, ConfigItem]:
    """Every configured value, with the schema's defaults, checked against the schema. Raises UsageError."""
    values = {full_key(k, project.name): v for k, v in settings.config.items()}
    for key, rule in project.config_schema.items():
        full = full_key(key, project.name)
        _apply_rule(values, full, rule, project, stack)
    return {key: item_of(value, crypter) for key, value in sorted(values.items())}


def _apply_rule(values: dict[str, Any], key: str, rule: Any, project: Project, stack: str) -> None:
    if not isinstance(rule, dict):  # the short form `key: value`
        values.setdefault(key, rule)
        return
    if key not in values:
        given = rule.get("default", rule.get("value"))
        if given is None:
            if "type" in rule and key.startswith(f"{project.name}:"):
                how = (
                    f"--secret {key}" if rule.get("secret") else f"{key} VALUE"
                )  # a secret is typed or piped in, not an argument
                raise UsageError(f"Stack '{stack}' is missing configuration value '{key}'; set it with `pulumi config set {how}`")
            return
        values[key] = given
    if "type" in rule and not _holds_secret(values[key]) and not _fits(values[key], rule):
        raise UsageError(f"Stack '{stack}' with configuration key '{key}' must be of type '{rule['type']}'")


def _fits(value: Any, rule: dict[str, Any]) -> bool:
    match rule.get("type"):
        case "integer":
            return isinstance(value, int) or (isinstance(value, str) and value.lstrip("-").isdigit())
        case "boolean":
            return isinstance(value, bool) or value in ("true", "false")
        case "array":
            items = rule.get("items")
            return isinstance(value, list) and (not items or all(_fits(v, items) for v in value))
        case "object":
            return isinstance(value, dict)
    return True


def set_value(settings: StackSettings, key: str, value: Any, is_path: bool, project: str) -> None:
    """Sets a plain or `{"secure": ...}` value; with `is_path`, inside the object the key's first step names."""
    if not is_path:
        settings.config[full_key(key, project)] = value
        return
    root, *steps = property_paths.parse(key) if ":" not in key else _parse_with_namespace(key)
    full = full_key(str(root), project)
    if not steps:
        settings.config[full] = value
        return
    settings.config[full] = _put(settings.config.get(full), tuple(steps), _typed(value))


def _parse_with_namespace(key: str) -> property_paths.Path:
    namespace, _, rest = key.partition(":")
    first, *steps = property_paths.parse(rest)
    return (f"{namespace}:{first}", *steps)


def _typed(value: Any) -> Any:
    """Inside objects `true`, `false` and integers are typed, as Pulumi's CLI does for --path."""
    if value in ("true", "false"):
        return value == "true"
    if isinstance(value, str) and value.removeprefix("-").isdigit() and str(int(value)) == value:
        return int(value)
    return value


def _put(container: Any, steps: property_paths.Path, value: Any) -> Any:
    if not steps:
        return value
    step, rest = steps[0], steps[1:]
    if isinstance(step, int):
        items = list(container) if isinstance(container, list) else []
        if step > len(items):
            raise UsageError(f"configuration path: index {step} is past the end of a list of {len(items)}")
        items[step : step + 1] = [_put(items[step] if step < len(items) else None, rest, value)]
        return items
    fields = dict(container) if isinstance(container, dict) and not is_secure(container) else {}
    fields[step] = _put(fields.get(step), rest, value)
    return fields


def get_value(settings: StackSettings, key: str, is_path: bool, project: str) -> Any:
    """The raw value. Raises KeyError where it is not set."""
    if not is_path:
        return settings.config[full_key(key, project)]
    root, *steps = property_paths.parse(key) if ":" not in key else _parse_with_namespace(key)
    value = settings.config[full_key(str(root), project)]
    for step in steps:
        try:
            value = value[step]
        except (IndexError, TypeError) as exc:
            raise KeyError(key) from exc
    return value


def remove_value(settings: StackSettings, key: str, is_path: bool, project: str) -> None:
    """Removes the value; one that is not there is no mistake."""
    if not is_path:
        settings.config.pop(full_key(key, project), None)
        return
    root, *steps = property_paths.parse(key) if ":" not in key else _parse_with_namespace(key)
    full = full_key(str(root), project)
    container: Any = settings.config
    for step in (full, *steps)[:-1]:
        try:
            container = container[step]
        except (KeyError, IndexError, TypeError):
            return
    last = (full, *steps)[-1]
    if isinstance(container, dict):
        container.pop(last, None)
    elif isinstance(container, list) and isinstance(last, int) and last < len(container):
        del container[last]


def secret_texts(settings: StackSettings, crypter: Crypter) -> Iterator[str]:
    """Every secret of the configuration, opened, also those inside objects."""

    def leaves(value: Any) -> Iterator[str]:
        if is_secure(value):
            yield crypter.decrypt(value["secure"])
        else:
            for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
                yield from leaves(item)

    return leaves(settings.config)


def resealed(value: Any, change: Callable[[str], str]) -> Any:
    """The value with every ciphertext changed, also inside objects."""
    if is_secure(value):
        return {"secure": change(value["secure"])}
    if isinstance(value, dict):
        return {k: resealed(v, change) for k, v in value.items()}
    return [resealed(v, change) for v in value] if isinstance(value, list) else value


def is_secret_value(value: Any) -> bool:
    return _holds_secret(value)
