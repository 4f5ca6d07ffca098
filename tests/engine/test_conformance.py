"""The engine behaves like Pulumi's own: recorded steps are replayed and the whole checkpoint compared."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.shared import SHARED, needs_shared

ROOT = Path(__file__).resolve().parents[2]
GROUPS = ("life", "prot", "opt", "secret", "big", "fail", "imp", "prov", "refresh")


@pytest.mark.story
@needs_shared("engine/conformance.py")
@pytest.mark.parametrize("group", GROUPS)
def test_group_equals_what_pulumis_engine_did(group: str, tmp_path: Path, warm: Path) -> None:
    """State, success and provider calls after each step are those of the real CLI."""
    engine = f"{warm}/bin/python -m infra.engine"
    command = [sys.executable, str(SHARED / "engine/conformance.py"), "check", "--engine", engine, "--venv", str(warm), group]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
