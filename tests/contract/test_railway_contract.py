"""The shared contract, against the local cloud's own processes: the fake and the cloud must agree where it counts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.railway.contract import STORIES, Story

pytestmark = [pytest.mark.story, pytest.mark.anyio]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """(endpoint, token) of a local cloud that lives as long as this module's tests."""
    home = tmp_path_factory.mktemp("home")
    _cloud("start", home)
    try:
        daemon = json.loads((home / "cloud" / "daemon.json").read_text())
        yield f"{daemon['url']}/graphql/v2", Path(daemon["token_file"]).read_text().strip()
    finally:
        _cloud("stop", home)


def _cloud(verb: str, home: Path) -> None:
    command = [sys.executable, "-m", "infra.localcloud", verb, "--home", str(home)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=dict(os.environ))
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
async def test_local_cloud_keeps_the_contract(story: Story, cloud: tuple[str, str]) -> None:
    await story(*cloud)
