"""The rules of the house: which room imports which, types, style, and what must never be in the tree."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


def tracked_files() -> list[Path]:
    listed = run("git", "ls-files", "-co", "--exclude-standard")
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def test_rooms_import_only_what_the_design_allows():
    """A forbidden arrow is how a design dies; see docs/architecture.md."""
    done = run(str(BIN / "lint-imports"), "--no-cache")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.long
def test_every_room_passes_the_type_checker():
    done = run(sys.executable, "-m", "mypy", "--no-error-summary")
    assert done.returncode == 0, done.stdout + done.stderr


def test_code_reads_as_agreed():
    done = run(sys.executable, "-m", "ruff", "check", ".", "cached-auth")
    assert done.returncode == 0, done.stdout
    done = run(sys.executable, "-m", "ruff", "format", "--check", ".", "cached-auth")
    assert done.returncode == 0, done.stdout


def test_no_package_index_host_stands_in_the_tree():
    """A clone installs from whatever index its machine is set up for."""
    hosts = re.compile(
        r"pythonhos" r"ted|pypi\.o" r"rg|registry\.npm" r"js|proxy\.gol" r"ang|static\.crates\.i" r"o|--(extra-)?index-u" r"rl"
    )
    found = [str(path.relative_to(ROOT)) for path in tracked_files() if hosts.search(path.read_text(errors="replace"))]
    assert found == []


def test_every_requirement_of_the_service_is_pinned_as_in_the_project():
    """A replica must run what the tests ran."""
    pins = {
        name: set(re.findall(r"^(\S+==\S+)", (ROOT / name).read_text(), re.M))
        for name in ("requirements.lock", "service/requirements.lock")
    }
    assert pins["service/requirements.lock"] <= pins["requirements.lock"]
