"""The main job, end to end, as a person does it: deploy, prove, use, promote, be saved from a slow release, leave nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from infra.release import build_release
from tests.story.stack import ROOT, SLO, Person

pytestmark = [pytest.mark.story, pytest.mark.long]
API = "/api/v1/auth"
ADA = {"email": "ada@example.com", "password": "correct horse battery"}


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    someone = Person(tmp_path / "home")
    yield someone
    someone.types("destroy", "--yes")
    someone.types("cloud", "reset", "--yes")


def test_a_person_deploys_proves_promotes_and_leaves_nothing(person: Person, tmp_path: Path) -> None:
    up = person.types("up", "--json", "--slo", str(SLO))
    assert up.code == 0, up
    assert up.document["gate"]["outcome"] == "pass"
    assert Path(up.document["gate"]["report"]).read_text().startswith("<!doctype html>")
    regions = up.document["regions"]
    assert {name: len(region["replica_urls"]) for name, region in regions.items()} == {"us-west2": 2, "europe-west4-drams3a": 2}

    nothing = person.types("preview", "--expect-no-changes", "--json")
    assert nothing.code == 0, nothing
    assert nothing.document["steps"] == []
    refreshed = person.types("refresh", "--json")
    assert refreshed.code == 0, refreshed
    assert set(refreshed.document["changes"]) == {"same"}, refreshed

    log_in_here_log_out_there(regions["us-west2"]["url"], regions["europe-west4-drams3a"]["url"])

    slow = slow_release(tmp_path, person.home / "releases")
    promoted = person.types("promote", "--release", slow, "--json", "--slo", str(SLO))
    assert promoted.code == 10, promoted
    assert promoted.document["phase"] == "returned"
    assert "validate" in promoted.document["why"]
    after = person.types("outputs", "--json").document["regions"]
    assert {region["release"] for region in after.values()} == {up.document["release"]}
    refused = person.types("promote", "--release", slow)
    assert refused.code == 2, refused
    assert "quarantine" in refused.err

    logs = person.types("logs", "us-west2", "-n", "5")
    assert logs.code == 0, logs
    assert logs.out.strip()

    gone = person.types("destroy", "--yes")
    assert gone.code == 0, gone
    assert person.processes() == []
    assert sorted(path.name for path in person.home.iterdir()) == ["logs", "reports", "rollouts", "state"]


def log_in_here_log_out_there(here: str, there: str) -> None:
    """A log-out in one region ends the session in the other."""
    with httpx.Client(timeout=10) as client:
        assert client.post(f"{here}{API}/register", json=ADA).status_code in (200, 201)
        token = client.post(f"{here}{API}/login", json=ADA).json()["access_token"]
        bearer = {"Authorization": f"Bearer {token}"}
        assert client.get(f"{here}{API}/verify", headers=bearer).status_code == 200
        assert client.get(f"{there}{API}/verify", headers=bearer).status_code == 200
        assert client.post(f"{there}{API}/logout", headers=bearer).status_code == 204
        assert client.get(f"{there}{API}/verify", headers=bearer).status_code == 401
        assert any(client.get(f"{here}{API}/verify", headers=bearer).status_code == 401 for _ in range(200))


SLOW = """

async def _slow(self, scope, receive, send):
    if scope["type"] == "http" and scope["path"].startswith("/api"):
        await __import__("asyncio").sleep(2)
    await _quick(self, scope, receive, send)


_quick, Front.__call__ = Front.__call__, _slow
Front.at_once = property(lambda self: None, lambda self, answering: None)
"""


def slow_release(folder: Path, releases: Path) -> str:
    """The service with a few bad lines behind its front: every check waits two seconds, and none is answered ahead of it."""
    shutil.copytree(ROOT / "service", folder / "slow" / "service", ignore=shutil.ignore_patterns("__pycache__"))
    front = folder / "slow" / "service" / "web" / "front.py"
    front.write_text(front.read_text() + SLOW)
    return build_release(folder / "slow", releases).digest
