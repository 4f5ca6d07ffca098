"""What a preview shows is what the deploy after it deploys."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infra.cli import engine
from infra.cli.plan import Tally
from infra.release import SOURCE_VARIABLE, Release, ReleaseError


class Stack:
    """Remembers with which source each operation ran."""

    def __init__(self, home: Path) -> None:
        self.workspace = SimpleNamespace(env_vars={"CACHED_AUTH_HOME": str(home)})
        self.seen: list[str | None] = []

    def _run(self, **options: Any) -> None:
        self.seen.append(self.workspace.env_vars.get(SOURCE_VARIABLE))

    preview = up = _run


@pytest.fixture
def deployment(tmp_path: Path) -> engine.Deployment:
    return engine.Deployment(Stack(tmp_path), "dev")  # type: ignore[arg-type]


def ran(deployment: engine.Deployment) -> list[str | None]:
    deployment.preview(Tally(), lambda event: None)
    deployment.up(Tally(), lambda event: None)
    seen: list[str | None] = deployment.stack.seen  # type: ignore[attr-defined]
    return seen


def test_an_edit_after_the_preview_is_not_deployed(deployment: engine.Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    digests = iter(["sha256:previewed", "sha256:edited"])
    monkeypatch.setattr(engine, "build_release", lambda out_dir: Release(next(digests), out_dir))
    assert ran(deployment) == ["sha256:previewed"] * 2


def test_a_source_that_cannot_be_built_is_the_programs_to_tell(
    deployment: engine.Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stack that pins its releases does not care."""

    def broken(out_dir: Path) -> Release:
        raise ReleaseError("a link among the files")

    monkeypatch.setattr(engine, "build_release", broken)
    assert ran(deployment) == [None, None]
