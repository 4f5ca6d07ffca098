"""The embedded engine as the Automation API's PulumiCommand.

    LocalWorkspace(work_dir=..., pulumi_command=EmbeddedPulumiCommand())
    auto.create_or_select_stack("dev", work_dir=..., opts=LocalWorkspaceOptions(pulumi_command=EmbeddedPulumiCommand()))

Each call is a process: it isolates the environment the Automation API passes, and a crash ends one command, not ours.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pulumi.automation import CommandResult, PulumiCommand
from semver import VersionInfo

from infra.engine.workspace.versions import VERSION

# The folder that makes `infra` importable for the child, which runs in another folder.
_ROOT = str(Path(__file__).resolve().parents[2])


class EmbeddedPulumiCommand(PulumiCommand):
    """Runs `python -m infra.engine` where the Automation API would run `pulumi`."""

    def __init__(self) -> None:
        # The parent's __init__ asks a `pulumi` on PATH for its version; there is none, and we know ours.
        self.command = sys.executable
        self.version = VersionInfo.parse(VERSION)

    def run(
        self,
        args: list[str],
        cwd: str,
        additional_env: Mapping[str, str],
        on_output: Callable[[str], Any] | None = None,
        on_error: Callable[[str], Any] | None = None,
    ) -> CommandResult:
        """See PulumiCommand.run. Raises CommandError and its kinds by the texts the engine prints."""
        # `-c` with the folder put first on sys.path: PYTHONPATH would also reach the program and the plugins. `-P` keeps
        # the working folder off the path: a file `secrets.py` beside Pulumi.yaml must not stand for the standard module.
        start = f"import sys; sys.path.insert(0, {_ROOT!r}); from infra.engine.__main__ import main; sys.exit(main(sys.argv[1:]))"
        command = _Launcher(start)
        return command.run(args, cwd, additional_env, on_output, on_error)


class _Launcher(PulumiCommand):
    """The parent's run() builds `[self.command, *args]`; the interpreter's own arguments go in front of those."""

    def __init__(self, start: str) -> None:
        self.command = sys.executable
        self._start = start

    def run(self, args: list[str], *rest: Any) -> CommandResult:
        if "--non-interactive" not in args:
            args = ["--non-interactive", *args]
        return super().run(["-P", "-c", self._start, *args], *rest)
