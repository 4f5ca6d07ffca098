"""The real program, engine, providers and local cloud together: up, up again, refresh, a pin, destroy."""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from infra.release import build_release

ROOT = Path(__file__).resolve().parents[2]
SECRETS = ("cachePassword", "databasePassword", "cacheKey")


@dataclass(frozen=True, slots=True)
class Engine:
    """The embedded engine in a workspace of its own, against a local cloud of its own."""

    workspace: Path
    environment: Mapping[str, str]
    python: str

    def run(self, *words: str) -> str:
        """What it said. A failure shows all of it."""
        command = [self.python, "-m", "infra.engine", *words]
        done = subprocess.run(
            command, cwd=self.workspace, env=dict(self.environment), capture_output=True, text=True, timeout=55, check=False
        )
        assert done.returncode == 0, f"{' '.join(words)}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def outputs(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("stack", "output", "--json", "--stack", "dev"))
        return found


def workspace(folder: Path, virtualenv: Path) -> Path:
    """The project and its dev stack with absolute paths, one replica in each region to keep it short."""
    folder.mkdir()
    project = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())
    project["main"] = str(ROOT / project["main"])
    project["runtime"]["options"]["virtualenv"] = str(virtualenv)
    for provider in project["plugins"]["providers"]:
        provider["path"] = str(ROOT / provider["path"])
    (folder / "Pulumi.yaml").write_text(yaml.safe_dump(project))
    stack = yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text())
    for region in stack["config"]["cached-auth:regions"]:
        region["replicas"] = 1
    (folder / "Pulumi.dev.yaml").write_text(yaml.safe_dump(stack))
    return folder


def local_cloud(verb: str, home: Path) -> None:
    command = [sys.executable, "-m", "infra.localcloud", verb, "--home", str(home)]
    subprocess.run(command, cwd=ROOT, timeout=60, check=True, capture_output=True)


@pytest.fixture
def engine(tmp_path: Path, warm: Path) -> Iterator[Engine]:
    home = tmp_path / "home"
    (home / "state").mkdir(parents=True)
    local_cloud("start", home)
    try:
        daemon = json.loads((home / "cloud/daemon.json").read_text())
        token = Path(daemon["token_file"]).read_text().strip()
        environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            "CACHED_AUTH_HOME": str(home),
            "PULUMI_BACKEND_URL": f"file://{home}/state",
            "PULUMI_CONFIG_PASSPHRASE": secrets.token_hex(8),
            "RAILWAY_API_URL": f"{daemon['url']}/graphql/v2",
            "RAILWAY_API_TOKEN": token,
            "SUPABASE_API_URL": daemon["supabase_url"],
            "SUPABASE_ACCESS_TOKEN": token,
            "SUPABASE_PROJECT_URL_TEMPLATE": "http://{database_host}:8000",
        }
        yield Engine(workspace(tmp_path / "workspace", warm), environment, str(warm / "bin/python"))
    finally:
        local_cloud("stop", home)


def ready(url: str) -> dict[str, Any]:
    answer = httpx.get(f"{url}/health/ready", timeout=10)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.long
@pytest.mark.story
def test_a_stack_comes_up_stays_as_it_is_is_promoted_and_goes(engine: Engine, tmp_path: Path) -> None:
    """Every room at once: what one of them understands differently shows here as a change that nobody made."""
    engine.run("stack", "init", "dev")
    passwords = {name: secrets.token_hex(24) for name in SECRETS}
    pairs = [word for name, value in passwords.items() for word in ("--secret", f"cached-auth:{name}={value}")]
    # Pinned rather than `source`: whoever edits the service while this runs must not deploy here.
    release = build_release(ROOT, Path(engine.environment["CACHED_AUTH_HOME"]) / "releases").digest
    engine.run("config", "set-all", *pairs, "--plaintext", f"cached-auth:release={release}", "--stack", "dev")

    assert "22 created" in engine.run("up", "--yes", "--stack", "dev")
    outputs = engine.outputs()
    regions = outputs["regions"]
    assert {name: ready(facts["url"])["region"] for name, facts in regions.items()} == {name: name for name in regions}
    assert ready(outputs["endpoint"])["release"] == outputs["release"] == release

    assert "22 unchanged" in engine.run("up", "--yes", "--stack", "dev")
    assert "15 unchanged" in engine.run("refresh", "--yes", "--stack", "dev")
    state = Path(engine.environment["PULUMI_BACKEND_URL"].removeprefix("file://"))
    written = "".join(path.read_text() for path in state.rglob("*.json"))
    assert not [name for name, value in passwords.items() if value in written]

    other = another_release(tmp_path, Path(engine.environment["CACHED_AUTH_HOME"]) / "releases")
    europe, us = "europe-west4-drams3a", "us-west2"
    engine.run("config", "set", "--path", f"cached-auth:releases.{europe}", other, "--stack", "dev")
    assert "2 updated" in engine.run("up", "--yes", "--stack", "dev")
    assert ready(regions[europe]["url"])["release"] == other
    assert ready(regions[us]["url"])["release"] == release

    assert "22 deleted" in engine.run("destroy", "--yes", "--stack", "dev")


def another_release(folder: Path, releases: Path) -> str:
    """The same service with one more file in it."""
    copy = folder / "clone"
    for path in (ROOT / "service").rglob("*"):
        target = copy / path.relative_to(ROOT)
        if path.is_file() and "__pycache__" not in path.parts:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    (copy / "service/another.txt").write_text("another release\n")
    return build_release(copy, releases).digest
