"""The program's entry: what the user can mend is said line by line, and never with a traceback."""

import asyncio
import contextvars
import logging
import runpy
from collections.abc import Mapping
from pathlib import Path

import pulumi
import pytest
from pulumi.runtime.mocks import set_mocks
from pulumi.runtime.stack import run_pulumi_func

from tests.program.graph import Recorder
from tests.program.stack_values import REGIONS, SECRETS, values

PROGRAM = Path(__file__).resolve().parents[2] / "infra" / "__main__.py"


def run(config: Mapping[str, str], logged: list[str]) -> list[str]:
    """Runs the file as an engine would; the names of the resources that it declared. `logged` gets what it told the user."""

    class Screen(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            logged.append(record.getMessage())

    screen = logging.Logger("screen")
    screen.addHandler(Screen(level=logging.ERROR))

    async def main() -> list[str]:
        recorder = Recorder()
        set_mocks(recorder.mocks, project="cached-auth", stack="dev", monitor=recorder, logger=screen)
        named = {f"cached-auth:{key}": value for key, value in config.items()}
        pulumi.runtime.set_all_config(named, [f"cached-auth:{key}" for key in SECRETS])

        async def program() -> None:
            runpy.run_path(str(PROGRAM), run_name="__main__")

        await run_pulumi_func(program)
        return [request.name for request in recorder.requests]

    return contextvars.copy_context().run(lambda: asyncio.run(main()))


def test_wrong_settings_are_said_one_by_one_and_nothing_is_declared() -> None:
    logged: list[str] = []
    with pytest.raises(pulumi.RunError, match=r"^2 to mend in Pulumi\.dev\.yaml; nothing changed$"):
        run(values(topology="mesh", regions=[{**REGIONS[0], "replicas": 0}]), logged)
    assert logged == [
        "cached-auth:regions[0].replicas: expected 1 to 50, got 0",
        "cached-auth:topology: expected cells or shared, got 'mesh'",
    ]


def test_a_missing_release_is_said_with_the_next_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CACHED_AUTH_HOME", str(tmp_path))
    with pytest.raises(pulumi.RunError, match="next: copy"):
        run(values(release="sha256:" + "0" * 64), [])


def test_the_program_declares_this_clones_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CACHED_AUTH_HOME", str(tmp_path))
    assert "auth-us-west2" in run(values(), [])
