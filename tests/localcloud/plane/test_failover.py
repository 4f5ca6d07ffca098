"""Real PostgreSQL servers: a standby takes over, the old primary comes back, and data return to an earlier moment."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]
import pytest

from infra.localcloud.plane.backups import StoredBackup, first_segment, newest_before
from infra.localcloud.plane.cluster_files import begin_restore
from infra.localcloud.plane.databases import Databases
from infra.localcloud.plane.interface import DatabaseSpec, PlaneError
from infra.localcloud.plane.local import LocalPlane
from infra.localcloud.plane.processes import Supervisor

from .test_servers import EUROPE, connect, database, replayed
from .waiting import DEADLINE_S

pytestmark = pytest.mark.anyio
EAST = "us-east4-eqdc4a"


async def written(address: str, *numbers: int) -> None:
    connection = await connect(address)
    for number in numbers:
        await connection.execute("INSERT INTO entries VALUES ($1)", number)
    await connection.close()


async def read(address: str) -> list[int]:
    connection = await connect(address)
    try:
        return [row["number"] for row in await connection.fetch("SELECT number FROM entries ORDER BY number")]
    finally:
        await connection.close()


async def cluster(plane: LocalPlane, *regions: str) -> tuple[DatabaseSpec, list[DatabaseSpec]]:
    """A primary with one entry, and standbys that show it."""
    primary = database(plane)
    await plane.ensure_database(primary)
    connection = await connect(primary.address)
    await connection.execute("CREATE TABLE entries (number int); INSERT INTO entries VALUES (1)")
    await connection.close()
    standbys = [database(plane, f"standby-{number}", region, primary="primary") for number, region in enumerate(regions)]
    for standby in standbys:
        await plane.ensure_database(standby)
        await replayed(standby.address, 1)
    return primary, standbys


def kill(plane: LocalPlane, key: str) -> None:
    pid = next(status.pid for status in plane.status() if status.key == key)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


@pytest.mark.story
async def test_a_standby_takes_the_place_of_a_killed_primary_which_comes_back_as_standby(plane: LocalPlane) -> None:
    """Clients keep the address they have. What only the old primary had committed is gone, in every copy."""
    primary, (near, far) = await cluster(plane, EUROPE, EAST)
    await plane.set_replay_delay("standby-0", 0)
    await plane.stop("standby-0")
    await plane.stop("standby-1")
    await written(primary.address, 666)  # nobody else has it
    kill(plane, "primary")
    async with asyncio.timeout(DEADLINE_S):
        assert (await anext(plane.events())).key == "primary"
    with pytest.raises(PlaneError, match="does not run"):
        await plane.promote_database("standby-0")
    await plane.ensure_database(near)
    await plane.ensure_database(far)
    await plane.promote_database("standby-0")
    assert await read(primary.address) == [1]
    await written(primary.address, 2)
    for standby in (near, far):  # the one that was rewound, and the one that only met a new timeline
        await replayed(standby.address, 2)
        assert await read(standby.address) == [1, 2]
    connection = await connect(primary.address)
    assert await connection.fetchval("SELECT count(*) FROM pg_stat_replication") == 2
    await connection.close()
    with pytest.raises(PlaneError, match="expected a standby"):
        await plane.promote_database("primary")


@pytest.mark.story
async def test_a_primary_that_still_runs_hands_over_everything_and_can_take_over_again(plane: LocalPlane) -> None:
    primary, (standby,) = await cluster(plane, EUROPE)
    for number in (2, 3):
        await written(primary.address, number)
        await plane.promote_database("standby-0")
        assert await read(primary.address) == list(range(1, number + 1))
        await replayed(standby.address, number)
    reading = await connect(standby.address)
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await reading.execute("INSERT INTO entries VALUES (9)")
    await reading.close()


@pytest.mark.story
async def test_data_return_to_the_moment_before_a_mistake(plane: LocalPlane) -> None:
    primary, (standby,) = await cluster(plane, EUROPE)
    began = time.time()
    with pytest.raises(PlaneError, match="no backup from before"):
        await plane.restore_database("primary", None)
    made = await plane.back_up_database("primary")
    assert plane.backups("primary") == [made]
    assert began < made.completed_s <= time.time()
    await written(primary.address, 2)
    moment = await _moment(primary.address)
    await written(primary.address, 3)
    connection = await connect(primary.address)
    await connection.execute("DROP TABLE entries")
    await connection.close()
    with pytest.raises(PlaneError, match="no backup from before"):
        await plane.restore_database("primary", began)
    await plane.restore_database("primary", moment)
    await plane.ensure_database(primary)
    await plane.ensure_database(standby)
    assert await read(primary.address) == [1, 2]
    await replayed(standby.address, 2)
    await written(primary.address, 4)
    await replayed(standby.address, 3)
    # The daemon is killed in a restore: what it had put in the place of the data is no cluster yet.
    await plane.stop("primary")
    data = plane._databases.data_of("primary")
    (half := data.with_name("half")).mkdir()
    begin_restore(data, half)
    await plane.ensure_database(primary)
    assert await read(primary.address) == [1, 2, 4]


@pytest.mark.story
async def test_a_moment_before_a_failover_can_be_restored_after_it(plane: LocalPlane) -> None:
    """The archive must not have a gap where one primary was killed and the next one began its own history."""
    primary, (standby,) = await cluster(plane, EUROPE)
    await plane.back_up_database("primary")
    await written(primary.address, 2)
    moment = await _moment(primary.address)
    await written(primary.address, 3)
    await replayed(standby.address, 3)
    kill(plane, "primary")
    async with asyncio.timeout(DEADLINE_S):
        assert (await anext(plane.events())).key == "primary"
    await plane.promote_database("standby-0")
    await written(primary.address, 4)
    await plane.restore_database("primary", moment)
    assert await read(primary.address) == [1, 2]


async def _moment(address: str) -> float:
    """A time of the server's after all that was committed and before all that will be."""
    connection = await connect(address)
    await connection.execute("SELECT pg_sleep(0.01)")
    moment = await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())::float8")
    await connection.execute("SELECT pg_sleep(0.01)")
    await connection.close()
    return float(moment)


@pytest.mark.parametrize("done", [0, 1, 2])
def test_an_exchange_cut_short_anywhere_is_finished(tmp_path: Path, done: int) -> None:
    """The daemon may be killed between the two renames."""

    async def never(region: str, address: str) -> str:
        raise AssertionError

    databases = Databases(tmp_path, Supervisor(tmp_path), never)
    databases._located = type("At", (), {"data": tmp_path})()  # type: ignore[assignment]
    primary, standby, former = databases.data_of("p"), databases.data_of("s"), databases.former_of("s")
    for path, content in ((primary, "old"), (standby, "new")):
        path.mkdir()
        (path / "who").write_text(content)
    if done > 0:
        primary.rename(former)
    if done > 1:
        standby.rename(primary)
    databases.exchange("p", "s")
    assert ((primary / "who").read_text(), (former / "who").read_text(), standby.exists()) == ("new", "old", False)
    assert databases.book.exchanges == {}


def test_a_backup_serves_moments_after_its_end_only() -> None:
    backups = [StoredBackup("a", 10.0, "x"), StoredBackup("b", 20.0, "y")]
    chosen = [newest_before(backups, at_s) for at_s in (None, 25.0, 20.0, 15.0, 9.0)]
    assert [found.id if found else None for found in chosen] == ["b", "b", "b", "a", None]
    assert newest_before([], None) is None


def test_the_oldest_segment_of_a_backup_is_read_from_its_label() -> None:
    label = "START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\nCHECKPOINT LOCATION: 0/2000080\n"
    assert first_segment(label) == "000000010000000000000002"
