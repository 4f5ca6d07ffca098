"""A local stack's own values live beneath the committed ones; the clone stays clean."""

import os
import stat

import pytest
import yaml

from infra.cli.errors import UsageError
from infra.cli.home import Home, ensure_passphrase
from infra.cli.project import StackFile, read_stack_file
from infra.cli.workspace import LOCAL_SECRETS, effective_document, effective_project, missing_local_secrets, prepare_workspace
from infra.settings import KEYS, NAMESPACE


def test_committed_values_win_and_the_machines_own_are_kept():
    committed = {"config": {"cached-auth:cloud": "local", "cached-auth:release": "source"}}
    machine = {
        "encryptionsalt": "v1:salt",
        "config": {"cached-auth:cacheKey": {"secure": "x"}, "cached-auth:release": "sha256:1", "cached-auth:old": "gone"},
    }
    effective = effective_document(committed, machine, {})
    assert effective["encryptionsalt"] == "v1:salt"
    assert effective["config"] == {
        "cached-auth:cacheKey": {"secure": "x"},
        "cached-auth:cloud": "local",
        "cached-auth:release": "source",
    }


def test_a_value_that_is_taken_out_of_the_committed_file_is_gone():
    """Otherwise a mistake, once read, would stay for ever in a file that nobody looks into."""
    machine = {"config": {"cached-auth:cacheKey": "plain", "cached-auth:release": "sha256:1"}}
    before = {"config": {"cached-auth:cacheKey": "plain", "cached-auth:release": "source"}}
    assert effective_document({"config": {}}, machine, before)["config"] == {"cached-auth:release": "sha256:1"}


def test_paths_of_the_project_become_absolute(tmp_path):
    document = {
        "main": "infra/__main__.py",
        "runtime": {"name": "python", "options": {"virtualenv": ".venv"}},
        "plugins": {"providers": [{"name": "railway", "path": "infra/railway"}]},
    }
    project = effective_project(document, tmp_path)
    assert project["main"] == str(tmp_path / "infra/__main__.py")
    assert project["plugins"]["providers"][0]["path"] == str(tmp_path / "infra/railway")
    assert project["runtime"]["options"]["virtualenv"] == str(tmp_path / ".venv")
    assert document["main"] == "infra/__main__.py"


@pytest.fixture
def clone(tmp_path):
    root = tmp_path / "clone"
    root.mkdir()
    (root / "Pulumi.yaml").write_text("name: cached-auth\nruntime: python\nmain: infra/__main__.py\n")
    (root / "Pulumi.dev.yaml").write_text("config:\n  cached-auth:cloud: local\n")
    (root / "Pulumi.prod.yaml").write_text("config:\n  cached-auth:cloud: railway\n")
    return root


def test_a_local_stack_works_outside_the_clone_and_a_real_one_inside(clone, tmp_path):
    home = Home(tmp_path / "home")
    local = prepare_workspace(home, read_stack_file("dev", clone), clone)
    assert local.folder == home.workspace("dev")
    assert stat.S_IMODE(local.stack_file.stat().st_mode) == 0o600
    assert set(missing_local_secrets(local, lambda: None)) == set(LOCAL_SECRETS)
    assert missing_local_secrets(local, lambda: "127.64.1.9:2525")["cached-auth:smtpUrl"] == "smtp://127.64.1.9:2525"
    assert prepare_workspace(home, read_stack_file("prod", clone), clone).folder == clone


def test_an_edit_of_the_committed_file_takes_effect_and_secrets_stay(clone, tmp_path):
    home = Home(tmp_path / "home")
    local = prepare_workspace(home, read_stack_file("dev", clone), clone)
    document = yaml.safe_load(local.stack_file.read_text())
    document["config"]["cached-auth:cacheKey"] = {"secure": "kept"}
    local.stack_file.write_text(yaml.safe_dump(document))
    (clone / "Pulumi.dev.yaml").write_text("config:\n  cached-auth:cloud: local\n  cached-auth:cacheTtlSeconds: 60\n")
    again = prepare_workspace(home, read_stack_file("dev", clone), clone)
    config = yaml.safe_load(again.stack_file.read_text())["config"]
    assert config["cached-auth:cacheTtlSeconds"] == 60
    assert config["cached-auth:cacheKey"] == {"secure": "kept"}
    assert "cached-auth:cacheKey" not in missing_local_secrets(again, lambda: None)


def test_a_stack_file_with_its_own_encryption_is_used_as_it_stands(clone, tmp_path):
    file = StackFile("dev", clone / "Pulumi.dev.yaml", {"encryptionsalt": "v1:x", "config": {}})
    assert prepare_workspace(Home(tmp_path), file, clone).folder == clone


def test_every_secret_that_the_program_requires_is_made_for_a_local_stack():
    """A required secret that nobody makes would stop every first `up`."""
    assert set(LOCAL_SECRETS) == {f"{NAMESPACE}:{key.name}" for key in KEYS if key.is_secret and key.default is None}


def test_the_passphrase_is_made_once_and_private(tmp_path):
    first = ensure_passphrase(Home(tmp_path)).read_text()
    assert ensure_passphrase(Home(tmp_path)).read_text() == first
    assert stat.S_IMODE(os.stat(tmp_path / "passphrase").st_mode) == 0o600  # noqa: PTH116


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("Dev!", None, "lower-case letters"),
        ("nosuch", None, "expected one of dev, prod"),
        ("bad", "config: [1, 2]\n", "expected a mapping"),
        ("bad", "config:\n  a: [\n", "Pulumi.bad.yaml:3:1: not YAML"),
    ],
)
def test_a_wrong_stack_is_one_clear_line_with_the_next_command(clone, name, text, expected):
    if text is not None:
        (clone / f"Pulumi.{name}.yaml").write_text(text)
    with pytest.raises(UsageError, match=expected) as raised:
        read_stack_file(name, clone)
    assert raised.value.next_command
