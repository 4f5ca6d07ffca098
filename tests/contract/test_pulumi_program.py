"""A Pulumi program on the embedded engine with our provider on the local cloud: the whole way, in the smallest size."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

import infra
from tests.contract.cloud import Cloud

pytestmark = pytest.mark.story

ROOT = Path(infra.__file__).parents[1]
DEADLINE_S = 60

PROGRAM = """
import pulumi
from infra.railway import resources as railway

project = railway.Project("tiny", name="tiny")
service = railway.Service(
    "cache",
    project_id=project.id,
    environment_id=project.default_environment_id,
    name="cache",
    image=pulumi.Config().require("image"),
    start_command='valkey-server --requirepass $REDIS_PASSWORD --save "" --maxmemory 64mb --maxmemory-policy allkeys-lru',
    multi_region_config={"us-west1": 1},
)
place = {"project_id": project.id, "environment_id": project.default_environment_id, "service_id": service.id}
password = pulumi.Output.secret("a-password-to-hide")
variables = railway.Variables("cache", **place, variables={"REDIS_PASSWORD": password, "project_id": "kept as it is"})
domain = railway.ServiceDomain("cache", **place, target_port=6379)
deployment = railway.Deployment("cache", **place, triggers={"variables": variables.digest}, timeout_s=60)
pulumi.export("status", deployment.status)
pulumi.export("url", domain.url)
"""


class Stack:
    """Runs engine commands on one stack in a folder of its own."""

    def __init__(self, folder: Path, cloud: Cloud, virtualenv: Path) -> None:
        self.folder = folder
        self.python = virtualenv / "bin/python"
        (folder / "state").mkdir()
        (folder / "__main__.py").write_text(PROGRAM)
        (folder / "Pulumi.yaml").write_text(
            f"name: tiny\nruntime: {{name: python, options: {{virtualenv: {virtualenv}}}}}\nmain: __main__.py\n"
            f"plugins:\n  providers:\n    - {{name: railway, path: {ROOT / 'infra' / 'railway'}}}\n"
        )
        self.environment = {
            **os.environ,
            "PULUMI_BACKEND_URL": f"file://{folder / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": "passphrase",
            "RAILWAY_API_URL": cloud.endpoint,
            "RAILWAY_API_TOKEN": cloud.token,
        }

    def run(self, *command: str, wanted: int = 0) -> str:
        done = subprocess.run(
            [self.python, "-m", "infra.engine", *command],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        told = done.stdout + done.stderr
        assert (done.returncode != 0) == bool(wanted), told
        return told


def test_program_lives_settles_recovers_and_goes(tmp_path: Path, cloud: Cloud, warm: Path) -> None:
    stack = Stack(tmp_path, cloud, warm)
    stack.run("stack", "init", "dev")
    stack.run("config", "set", "image", "registry.invalid/nothing:1", "--stack", "dev")
    assert "ended as FAILED" in stack.run("up", "--yes", "--stack", "dev", wanted=1)
    stack.run("config", "set", "image", "valkey/valkey:8", "--stack", "dev")
    told = stack.run("up", "--yes", "--stack", "dev")
    assert "SUCCESS" in told
    assert "created" not in told, "what was made in the first run is kept"
    assert "updated" not in stack.run("up", "--yes", "--stack", "dev")
    assert "updated" not in stack.run("refresh", "--yes", "--stack", "dev")
    assert "updated" not in stack.run("up", "--yes", "--stack", "dev")
    state = (tmp_path / "state" / ".pulumi" / "stacks" / "tiny" / "dev.json").read_text()
    assert "a-password-to-hide" not in state
    assert cloud.token not in state
    stack.run("destroy", "--yes", "--stack", "dev")
