"""A world for one test: a project with its own state, home and store, and the engine as a command."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TIMEOUT_S = 60
HEAD = "import os, pulumi\nfrom pulumi import ResourceOptions as RO\nfrom things import Thing, Group\ncfg = pulumi.Config()\n"


@dataclass
class World:
    """`python` runs the commands that are only waited for; `start` is always a real interpreter, to be killed and watched."""

    folder: Path
    python: str = sys.executable

    @classmethod
    def make(cls, folder: Path, program: str = "", python: str = sys.executable) -> "World":
        for name in ("state", "home", "store"):
            (folder / name).mkdir(parents=True)
        shutil.copytree(HERE / "plugin", folder / "plugin", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(HERE / "program", folder / "program", ignore=shutil.ignore_patterns("__pycache__"))
        project = "name: shop\nruntime: python\nplugins:\n  providers:\n    - name: thing\n      path: ../plugin\n"
        (folder / "program" / "Pulumi.yaml").write_text(project)
        world = cls(folder, python)
        world.program(program)
        return world

    def copy(self, folder: Path) -> "World":
        """The same at another place, to go on from there; which stack is selected belongs to a place and is not kept."""
        shutil.copytree(self.folder, folder, ignore=shutil.ignore_patterns("__pycache__", "workspaces"), dirs_exist_ok=True)
        return World(folder, self.python)

    def program(self, text: str) -> None:
        # Python takes compiled code for that of a source of the same second and length: ours may be another program's.
        shutil.rmtree(self.folder / "program" / "__pycache__", ignore_errors=True)
        (self.folder / "program" / "__main__.py").write_text(HEAD + text)

    @property
    def environment(self) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("PULUMI_")}
        own = {
            "PULUMI_CONFIG_PASSPHRASE": "correct horse",
            "PULUMI_BACKEND_URL": f"file://{self.folder}/state",
            "PULUMI_HOME": f"{self.folder}/home",
            "THING_STORE": f"{self.folder}/store",
            "PYTHONPATH": str(ROOT),
        }
        return {**inherited, **own}

    def start(self, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
        """The engine as a process, which leads to processes of the program and the plugins."""
        return self._started(sys.executable, *arguments, **environment)

    def _started(self, python: str, *arguments: str, stdin: str | None = None, **environment: str) -> "subprocess.Popen[str]":
        """`stdin` is what it is given to read, None leaves it the test's own."""
        process = subprocess.Popen(
            [python, "-m", "infra.engine", *arguments],
            cwd=self.folder / "program",
            env={**self.environment, **environment},
            stdin=None if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        if process.stdin is not None:
            process.stdin.write(stdin or "")
            process.stdin.flush()
        return process

    def run(self, *arguments: str, code: int = 0, stdin: str | None = None, **environment: str) -> str:
        """stdout and stderr of a command that must end with `code`."""
        process = self._started(self.python, *arguments, stdin=stdin, **environment)
        try:
            out, err = process.communicate(timeout=TIMEOUT_S)
        finally:
            process.kill()
        assert process.returncode == code, f"{arguments}: exit {process.returncode}\n{out}{err}"
        return out + err

    def up(self, *arguments: str, code: int = 0, **environment: str) -> str:
        return self.run("up", "--yes", "--skip-preview", "-s", "dev", *arguments, code=code, **environment)

    @property
    def state_file(self) -> Path:
        return self.folder / "state/.pulumi/stacks/shop/dev.json"

    def state(self) -> dict[str, Any]:
        return json.loads(self.state_file.read_text())["checkpoint"]["latest"]

    def resources(self) -> dict[str, dict[str, Any]]:
        return {r["urn"].rsplit("::", 1)[-1]: r for r in self.state().get("resources", [])}

    def calls(self) -> list[list[str]]:
        """Mutating calls that reached the provider since the last question, sorted."""
        path = self.folder / "store" / "calls.log"
        rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        path.unlink(missing_ok=True)
        return sorted(row for row in rows if row[0] != "diff")
