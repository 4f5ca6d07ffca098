"""Stories with real servers: PostgreSQL with a standby, valkey, mail, edges and links together."""

from __future__ import annotations

import asyncio
import os
import signal
import smtplib
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]
import httpx
import psutil
import pytest

from infra.localcloud.plane.interface import DatabaseSpec, PlaneError, ReplicaSpec, Route, StartFailed
from infra.localcloud.plane.link_quality import LinkQuality
from infra.localcloud.plane.local import LocalPlane
from infra.localcloud.plane.mail import MailSink

from .waiting import DEADLINE_S, eventually

pytestmark = [pytest.mark.anyio, pytest.mark.story]
WEST, EUROPE = "us-west2", "europe-west4-drams3a"
PASSWORD = "it's"
Replica = Callable[..., ReplicaSpec]


def database(
    plane: LocalPlane, key: str = "primary", region: str = WEST, password: str = PASSWORD, primary: str | None = None
) -> DatabaseSpec:
    return DatabaseSpec(key, region, plane.allocate(region, key), password, primary)


async def connect(address: str, password: str = PASSWORD) -> asyncpg.Connection:
    return await asyncpg.connect(host=address, user="postgres", password=password, database="postgres", timeout=DEADLINE_S)


async def test_a_standby_follows_its_primary_through_the_link_and_over_restarts(tmp_path: Path) -> None:
    plane = LocalPlane(tmp_path / "home", 20.0)
    await plane.start()
    try:
        primary = database(plane)
        await plane.ensure_database(primary)
        standby = database(plane, "standby", EUROPE, primary="primary")
        await plane.ensure_database(standby)
        writing = await connect(primary.address)
        await writing.execute("CREATE TABLE entries (number int); INSERT INTO entries VALUES (1)")
        await replayed(standby.address, 1)
        assert await writing.fetchval("SELECT usesuper FROM pg_user WHERE usename = 'postgres'") is False
        assert await writing.fetchval("SHOW fsync") == await writing.fetchval("SHOW synchronous_commit") == "on"
        client = await writing.fetchval("SELECT client_addr::text FROM pg_stat_replication")
        assert client is not None
        await writing.close()
    finally:
        await plane.close()
    again = LocalPlane(tmp_path / "home", 20.0)
    await again.start()
    try:
        await again.ensure_database(replace(primary, password="new"))
        await again.ensure_database(standby)
        writing = await connect(primary.address, "new")
        await writing.execute("INSERT INTO entries VALUES (2)")
        await replayed(standby.address, 2, "new")
        with pytest.raises(asyncpg.InvalidPasswordError):
            await connect(primary.address)
        await again.remove_database("standby")
        assert await writing.fetchval("SELECT count(*) FROM pg_replication_slots") == 0
        await writing.close()
        await again.remove_database("primary")
    finally:
        await again.close()


async def replayed(address: str, count: int, password: str = PASSWORD) -> None:
    """Waits until the server at `address` shows that many entries."""
    async with asyncio.timeout(DEADLINE_S):
        while await shown(address, password) != count:  # noqa: ASYNC110 - what happens is in another process
            await asyncio.sleep(0.02)


async def shown(address: str, password: str) -> int | None:
    try:
        reading = await connect(address, password)
    except asyncpg.InvalidPasswordError:  # the change has not arrived yet
        return None
    try:
        return int(await reading.fetchval("SELECT count(*) FROM entries"))
    except asyncpg.UndefinedTableError:
        return None
    finally:
        await reading.close()


async def test_a_killed_primary_keeps_what_it_committed(plane: LocalPlane) -> None:
    primary = database(plane)
    await plane.ensure_database(primary)
    connection = await connect(primary.address)
    await connection.execute("CREATE TABLE entries (number int); INSERT INTO entries VALUES (1)")
    pid = next(status.pid for status in plane.status() if status.key == "primary")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(DEADLINE_S):
        assert (await anext(plane.events())).key == "primary"
    connection.terminate()
    await plane.ensure_database(primary)
    await replayed(primary.address, 1)


async def test_a_standby_whose_place_in_the_log_is_lost_is_made_anew(plane: LocalPlane) -> None:
    """A primary removed and made again is another cluster: its old standby could never follow it."""
    primary = database(plane)
    await plane.ensure_database(primary)
    standby = database(plane, "standby", EUROPE, primary="primary")
    await plane.ensure_database(standby)
    await plane.stop("standby")
    await plane.remove_database("primary")
    await plane.ensure_database(primary)
    await plane.ensure_database(standby)
    connection = await connect(primary.address)
    await connection.execute("CREATE TABLE entries (number int); INSERT INTO entries VALUES (1)")
    await replayed(standby.address, 1)
    await connection.close()


async def test_a_standby_lags_as_long_as_it_is_told(plane: LocalPlane) -> None:
    """What a service does with a replica far behind can be tried out, and ends at once with the delay."""
    primary, standby = database(plane), database(plane, "standby", EUROPE, primary="primary")
    await plane.ensure_database(primary)
    await plane.ensure_database(standby)
    writing = await connect(primary.address)
    reading = await connect(standby.address)
    await plane.set_replay_delay("standby", 3_600_000)
    async with asyncio.timeout(DEADLINE_S):
        while await reading.fetchval("SHOW recovery_min_apply_delay") != "1h":  # noqa: ASYNC110 - the server reads it in its time
            await asyncio.sleep(0.01)
    await writing.execute("CREATE TABLE entries (number int); INSERT INTO entries VALUES (1)")
    sent = await writing.fetchval("SELECT pg_current_wal_lsn()::text")
    has_received = "SELECT pg_last_wal_receive_lsn() >= $1::text::pg_lsn"
    async with asyncio.timeout(DEADLINE_S):
        while not await reading.fetchval(has_received, sent):  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
    assert await reading.fetchval("SELECT to_regclass('entries')") is None
    await plane.set_replay_delay("standby", 0)
    await replayed(standby.address, 1)
    await writing.close()
    await reading.close()
    with pytest.raises(PlaneError, match="expected a running standby"):
        await plane.set_replay_delay("primary", 5)


async def test_a_paused_process_is_silent_and_can_still_be_ended(plane: LocalPlane, replica: Replica) -> None:
    spec = replica()
    await plane.start_replica(spec)
    (shown,) = [found for found in plane.status() if found.key == spec.key]
    assert shown.cpu_s is not None, "what metrics are made of"
    plane.send_signal(spec.key, signal.SIGSTOP)
    await eventually(lambda: [found.is_paused for found in plane.status() if found.key == spec.key] == [True])
    plane.send_signal(spec.key, signal.SIGCONT)
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"http://{spec.address}:{spec.port}/")).status_code == 200
    plane.send_signal(spec.key, signal.SIGSTOP)
    begun = time.monotonic()
    await plane.stop_replica(spec.key, 10.0)
    assert time.monotonic() - begun < 5.0, "SIGTERM was heard, nobody had to wait for SIGKILL"


async def test_a_standby_needs_its_primary(plane: LocalPlane) -> None:
    with pytest.raises(PlaneError, match="ensure it first"):
        await plane.ensure_database(database(plane, "standby", EUROPE, primary="nobody"))


async def test_a_cache_wants_its_password(plane: LocalPlane, tmp_path: Path) -> None:
    address = plane.allocate(WEST, "cache")
    argv = ("valkey-server", "--requirepass", "secret", "--save", "", "--maxmemory", "64mb", "--bind", "0.0.0.0")  # noqa: S104
    await plane.start_cache(ReplicaSpec("cache", WEST, address, 6379, argv, tmp_path, {}))
    reader, writer = await asyncio.open_connection(address, 6379)
    writer.write(b"GET a\r\nAUTH secret\r\nSET a 1\r\nGET a\r\nCONFIG GET maxmemory\r\n")
    async with asyncio.timeout(DEADLINE_S):
        answers = [await reader.readline() for _ in range(5)]
    writer.close()
    assert answers[0].startswith(b"-NOAUTH")
    assert answers[1:] == [b"+OK\r\n", b"+OK\r\n", b"$1\r\n", b"1\r\n"]
    listening = {connection.laddr[0] for connection in psutil.net_connections("tcp") if connection.laddr[1] == 6379}
    assert address in listening  # its own address only, whatever the arguments asked for


async def test_a_cache_that_cannot_start_says_why(plane: LocalPlane, tmp_path: Path) -> None:
    spec = ReplicaSpec("cache", WEST, plane.allocate(WEST, "cache"), 6379, ("--no-such-option", "1"), tmp_path, {})
    with pytest.raises(StartFailed) as caught:
        await plane.start_cache(spec)
    assert any("no-such-option" in line for line in caught.value.last_lines)


async def test_two_regions_are_served_near_first_and_fail_over(plane: LocalPlane, replica: Replica) -> None:
    west, europe = replica("west", WEST), replica("europe", EUROPE)
    await plane.start_replica(west)
    await plane.start_replica(europe)
    edge = plane.allocate(EUROPE, "domain")
    upstreams = {region: ((spec.address, 8080),) for region, spec in ((WEST, west), (EUROPE, europe))}
    await plane.set_routes(EUROPE, [Route(f"{edge}:8080", EUROPE, edge, 8080, upstreams, True)])
    async with httpx.AsyncClient(base_url=f"http://{edge}:8080", headers={"X-Railway-Debug": "1"}, trust_env=False) as client:
        near = await client.get("/")
        assert near.headers["x-railway-upstream-zone"] == f"railway/{EUROPE}"
        await plane.stop_replica("europe", DEADLINE_S)
        far = await client.get("/")
        assert (far.status_code, far.headers["x-railway-upstream-zone"]) == (200, f"railway/{WEST}")
        assert far.elapsed.total_seconds() >= 0.018
        await plane.set_link(EUROPE, WEST, LinkQuality(is_cut=True))
        assert (await client.get("/")).status_code == 502
        await plane.set_link(EUROPE, WEST, LinkQuality(rtt_ms=0.0))
        assert (await client.get("/")).status_code == 200


@pytest.mark.parametrize("key", ["edge-us-west2", "links"])
async def test_an_edge_or_link_process_that_dies_is_replaced(plane: LocalPlane, replica: Replica, key: str) -> None:
    europe = replica("europe", EUROPE)
    await plane.start_replica(europe)
    edge = plane.allocate(WEST, "domain")
    await plane.set_routes(WEST, [Route(f"{edge}:8080", WEST, edge, 8080, {EUROPE: ((europe.address, 8080),)}, True)])
    pid = next(status.pid for status in plane.status() if status.key == key)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await eventually(lambda: any(status.key == key and status.restarts and status.pid for status in plane.status()))
    async with httpx.AsyncClient(trust_env=False) as client, asyncio.timeout(DEADLINE_S):
        while True:
            try:
                if (await client.get(f"http://{edge}:8080/")).status_code == 200:
                    break
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)


async def test_a_process_reaches_another_region_only_by_the_near_end(plane: LocalPlane, replica: Replica) -> None:
    """The text it is given leads to the link even though the target started later."""
    address = plane.allocate(WEST, "west")
    near = plane.seen_from(EUROPE, f"http://{address}:8080/from-afar")
    assert near != f"http://{address}:8080/from-afar"
    await plane.start_replica(replica("west", WEST))
    code = f"import urllib.request; print(urllib.request.urlopen('{near}').status)"
    await plane.run_once(replica("job", EUROPE, code, path=None), DEADLINE_S)
    assert plane.logs("job")[-1].text == "200"


async def test_mail_is_kept_and_not_delivered(plane: LocalPlane, tmp_path: Path) -> None:
    address = plane.allocate(WEST, "mail")
    await plane.ensure_mail(address)
    await plane.ensure_mail(address)

    def send() -> None:
        with smtplib.SMTP(address, MailSink.PORT, timeout=DEADLINE_S) as client:
            client.login("anybody", "anything")
            client.sendmail("a@example.com", ["b@example.com"], "Subject: hello\r\n\r\nworld\r\n")

    await asyncio.to_thread(send)
    (stored,) = (tmp_path / "home" / "cloud" / "mail").glob("*.eml")
    assert b"X-Envelope-To: b@example.com\r\nSubject: hello\r\n" in stored.read_bytes()


async def test_nothing_of_ours_runs_after_the_close(tmp_path: Path) -> None:
    plane = LocalPlane(tmp_path / "home", 20.0)
    await plane.start()
    await plane.ensure_database(database(plane))
    await plane.set_routes(WEST, [])
    argv = (sys.executable, "-c", "import time; time.sleep(600)")
    await plane.start_replica(ReplicaSpec("idle", WEST, plane.allocate(WEST, "idle"), 8080, argv, tmp_path, {}))
    pids = [status.pid for status in plane.status() if status.pid]
    assert len(pids) >= 3
    await plane.close()
    assert not [pid for pid in pids if psutil.pid_exists(pid)]
