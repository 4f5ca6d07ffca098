"""world.json survives what disks and crashes do, or says clearly that it did not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from infra.localcloud.conducting.keeper import Keeper
from infra.localcloud.conducting.store import Store, StoreDamaged, StoreFull
from infra.localcloud.world.model import Stamp, World
from infra.localcloud.world.projects import CreateProject

COMMAND = CreateProject(Stamp("00000000-0000-4000-8000-000000000001", "2026-11-24T00:00:00.000Z"), "demo", None, "w", None)


def test_missing_file_is_an_empty_world(tmp_path: Path):
    assert Store(tmp_path / "world.json").read() == World()


@pytest.mark.anyio
async def test_what_was_written_is_read_back_and_nobody_else_may_read_it(tmp_path: Path):
    store = Store(tmp_path / "world.json")
    world = await Keeper(store, World()).apply(COMMAND)
    assert store.read() == world
    assert store.path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("kept", [0, 1, 50, -1])
@pytest.mark.anyio
async def test_cut_file_is_damaged_and_stays_as_it_is(tmp_path: Path, kept: int):
    store = Store(tmp_path / "cloud" / "world.json")
    store.path.parent.mkdir()
    await Keeper(store, World()).apply(COMMAND)
    store.path.write_bytes(content := store.path.read_bytes()[:kept])
    with pytest.raises(StoreDamaged, match=r"damaged .*python -m infra\.localcloud reset --home"):
        store.read()
    assert store.path.read_bytes() == content


@pytest.mark.parametrize("content", [b'{"version": 2}', b'{"projects": []}', b'{"projects": {"a": {"id": 1}}}', b"\xff", b"null"])
def test_file_of_another_shape_is_damaged(tmp_path: Path, content: bytes):
    (tmp_path / "world.json").write_bytes(content)
    with pytest.raises(StoreDamaged):
        Store(tmp_path / "world.json").read()


@pytest.mark.anyio
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
async def test_full_disk_refuses_the_change_and_keeps_the_old_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """/dev/full is a real device that is always full."""
    store = Store(tmp_path / "world.json")
    keeper = Keeper(store, World())
    before = await keeper.apply(COMMAND)
    real_open = os.open
    monkeypatch.setattr(os, "open", lambda path, *rest: real_open("/dev/full" if str(path).endswith(".partial") else path, *rest))
    with pytest.raises(StoreFull, match="no space left"):
        await keeper.apply(CreateProject(Stamp("00000000-0000-4000-8000-000000000002", "x"), "other", None, "w", None))
    monkeypatch.undo()
    assert keeper.world == store.read() == before
