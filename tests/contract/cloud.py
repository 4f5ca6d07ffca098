"""A local cloud for one test module: its own home, its own addresses."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Cloud:
    home: Path
    endpoint: str
    supabase_url: str
    token: str


@contextmanager
def running_cloud(home: Path) -> Iterator[Cloud]:
    _run("start", home)
    try:
        daemon = json.loads((home / "cloud" / "daemon.json").read_text())
        token = Path(daemon["token_file"]).read_text().strip()
        yield Cloud(home, f"{daemon['url']}/graphql/v2", daemon["supabase_url"], token)
    finally:
        _run("stop", home)


def _run(verb: str, home: Path) -> None:
    command = [sys.executable, "-m", "infra.localcloud", verb, "--home", str(home)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
