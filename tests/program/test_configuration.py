"""Pulumi.yaml declares, settings.py reads and docs/configuration.md explains the same keys; the stack files pass."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.settings import KEYS, NAMESPACE, Key, SettingsError, parse_settings
from tests.program.stack_values import SECRETS

ROOT = Path(__file__).resolve().parents[2]
PROJECT: dict[str, Any] = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())
SCHEMA: dict[str, dict[str, Any]] = PROJECT["config"]
LINES = (ROOT / "docs/configuration.md").read_text().splitlines()
ROWS = [line.split(" | ") for line in LINES if re.match(r"\| `[a-z]\w+` \| ", line)]
DOCUMENTED = {row[0].strip("|` "): [cell.strip("| ") for cell in row[1:]] for row in ROWS}


def as_text(value: Any) -> str:
    """As Pulumi hands a value over to a program."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def stack_values(name: str) -> dict[str, str]:
    config = yaml.safe_load((ROOT / f"Pulumi.{name}.yaml").read_text())["config"]
    return {key.removeprefix(f"{NAMESPACE}:"): as_text(value) for key, value in config.items()}


def test_the_project_declares_exactly_the_keys_that_are_read() -> None:
    assert list(SCHEMA)
    assert set(SCHEMA) == {key.name for key in KEYS}


@pytest.mark.parametrize("key", KEYS, ids=[key.name for key in KEYS])
def test_a_keys_declaration_agrees_with_its_rule(key: Key[Any]) -> None:
    declared = SCHEMA[key.name]
    default = declared.get("default")
    assert (None if default is None else as_text(default)) == key.default
    assert declared["type"] in {"string", "integer", "array", "object"}
    assert declared["description"].endswith(".")
    # Pulumi refuses its own plain default for a key declared secret, so only required secrets can be declared so.
    assert declared.get("secret", False) == (key.is_secret and key.default is None)


def test_every_array_declares_its_items() -> None:
    """Pulumi's CLI refuses a project whose array has none."""
    assert [name for name, entry in SCHEMA.items() if entry["type"] == "array" and "type" not in entry.get("items", {})] == []


def test_every_key_is_documented_and_nothing_else() -> None:
    assert list(DOCUMENTED) == list(SCHEMA)


@pytest.mark.parametrize("key", KEYS, ids=[key.name for key in KEYS])
def test_the_documentation_states_type_and_default(key: Key[Any]) -> None:
    kind, default, _ = DOCUMENTED[key.name]
    declared = SCHEMA[key.name]
    items = f" of {declared['items']['type']}" if "items" in declared else ""
    assert kind == ("secret" if key.is_secret else declared["type"] + items)
    written = {None: "required", "": "empty"}.get(key.default, f"`{key.default}`")
    assert default.replace(": ", ":") == written


@pytest.mark.parametrize("name", ["dev", "staging", "prod"])
def test_a_stack_file_passes_once_its_secrets_are_set(name: str) -> None:
    account = {} if name == "dev" else {"supabaseOrganizationId": "acme"}
    settings = parse_settings({**stack_values(name), **SECRETS, **account}, SECRETS)
    assert settings.environment == name
    assert settings.is_local == (name == "dev")
    assert settings.notes == ()


@pytest.mark.parametrize("name", ["staging", "prod"])
def test_a_stack_on_railway_says_what_it_still_needs(name: str) -> None:
    with pytest.raises(SettingsError) as raised:
        parse_settings(stack_values(name), ())
    named = {problem.split(" ")[0].rstrip(":") for problem in raised.value.problems}
    assert named == {f"{NAMESPACE}:{key}" for key in ("cachePassword", "databasePassword", "cacheKey", "supabaseOrganizationId")}
    assert all("next: pulumi config set" in problem for problem in raised.value.problems)


def test_the_dev_stack_leaves_releases_to_this_machine() -> None:
    """Promotion writes its pins into this machine's own copy of the stack file; what is committed would hide them."""
    assert not {"release", "releases"} & set(stack_values("dev"))


def test_the_paths_of_the_project_exist() -> None:
    assert (ROOT / PROJECT["main"]).is_file()
    for provider in PROJECT["plugins"]["providers"]:
        assert (ROOT / provider["path"]).is_dir()
    assert PROJECT["runtime"]["options"]["virtualenv"] == ".venv"
