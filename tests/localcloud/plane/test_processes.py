"""Processes: start, end, kill, what they wrote, and what is left of them when the daemon is killed."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from infra.localcloud.plane.interface import AddressInUse, Exited, HealthCheck, PlaneError, ReplicaSpec, StartFailed
from infra.localcloud.plane.local import LocalPlane
from infra.localcloud.plane.log_files import FILE_BYTES_MAX, LogFile, log_path, read_tail
from infra.localcloud.plane.records import ProcessRecord, Records, end_leftovers

from .waiting import DEADLINE_S, eventually

pytestmark = pytest.mark.anyio
Replica = Callable[..., ReplicaSpec]


async def next_event(plane: LocalPlane) -> Exited:
    async with asyncio.timeout(DEADLINE_S):
        return await anext(plane.events())


def pid_of(plane: LocalPlane, key: str) -> int | None:
    return next(status.pid for status in plane.status() if status.key == key)


async def test_a_replica_is_up_when_its_health_check_answers(plane: LocalPlane, replica: Replica) -> None:
    await plane.start_replica(replica())
    texts = [line.text for line in plane.logs("replica")]
    assert "asked /health healthcheck.railway.app" in texts
    assert "starting" in texts


async def test_a_replica_that_ends_fails_at_once_with_its_last_words(plane: LocalPlane, replica: Replica) -> None:
    """Nobody should wait 300 s for a process that is gone."""
    with pytest.raises(StartFailed, match="exit code 3") as caught:
        await plane.start_replica(replica(code="import sys; print('no such table'); sys.exit(3)"))
    assert caught.value.last_lines == ("no such table",)


async def test_a_health_check_wants_exactly_200(plane: LocalPlane, replica: Replica) -> None:
    short = dataclasses.replace(replica(), health=HealthCheck("/missing", 1.0))
    with pytest.raises(StartFailed, match="answered 404, expected 200"):
        await plane.start_replica(short)
    assert pid_of(plane, "replica") is None


async def test_an_unasked_end_is_an_event_and_an_asked_one_is_not(plane: LocalPlane, replica: Replica) -> None:
    await plane.start_replica(replica("first"))
    await plane.start_replica(replica("second"))
    await plane.stop_replica("first", DEADLINE_S)
    pid = pid_of(plane, "second")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert (await next_event(plane)).key == "second"


async def test_a_process_that_ignores_the_term_signal_is_killed_with_its_children(plane: LocalPlane, replica: Replica) -> None:
    code = (
        "import os, signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
        "print('child', child.pid, flush=True); time.sleep(600)"
    )
    await plane.start_replica(replica(code=code, path=None))
    await eventually(lambda: plane.logs("replica"))
    child = psutil.Process(int(plane.logs("replica")[0].text.split()[1]))
    await plane.stop_replica("replica", 0.2)
    await eventually(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


async def test_a_process_gets_only_the_environment_it_was_given(
    plane: LocalPlane, replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAEMON_SECRET", "not yours")
    await plane.run_once(replica(code="import json, os; print(json.dumps(sorted(os.environ)))", path=None), DEADLINE_S)
    names = set(json.loads(plane.logs("replica")[-1].text))
    assert names <= {"HOST", "PORT", "PYTHONUNBUFFERED", "PATH", "LANG", "TZ", "HOME", "LC_CTYPE"}


async def test_run_once_reports_failure_and_time_out(plane: LocalPlane, replica: Replica) -> None:
    with pytest.raises(StartFailed, match="exit code 7, expected 0"):
        await plane.run_once(replica(code="raise SystemExit(7)", path=None), DEADLINE_S)
    with pytest.raises(StartFailed, match="did not end within"):
        await plane.run_once(replica(code="import time; time.sleep(600)", path=None), 0.2)


async def test_a_taken_address_names_its_holder(plane: LocalPlane, replica: Replica) -> None:
    await plane.start_replica(replica())
    other = dataclasses.replace(replica(), key="other")
    with pytest.raises(AddressInUse, match=rf"pid {pid_of(plane, 'replica')}"):
        await plane.start_replica(other)


async def test_a_start_that_is_given_up_leaves_no_process(plane: LocalPlane, replica: Replica) -> None:
    """A deployment may be cancelled while its replica is still being asked for its health."""
    starting = asyncio.create_task(plane.start_replica(replica(path="/missing")))
    await eventually(lambda: any("asked" in line.text for line in plane.logs("replica")))
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert pid_of(plane, "replica") is None


async def test_short_lived_processes_lose_no_line(plane: LocalPlane, replica: Replica) -> None:
    for number in range(10):
        code = f"import sys; print('out', {number}); print('err', {number}, file=sys.stderr, end='')"
        await plane.run_once(replica(f"short-{number}", code=code, path=None), DEADLINE_S)
        assert {line.text for line in plane.logs(f"short-{number}")} == {f"out {number}", f"err {number}"}


async def test_stopping_what_does_not_run_is_nothing(plane: LocalPlane) -> None:
    await plane.stop_replica("never heard of", 1.0)
    await plane.stop("neither")


async def test_a_second_daemon_on_one_home_is_refused(plane: LocalPlane, tmp_path: Path) -> None:
    with pytest.raises(AddressInUse, match="stop that local cloud first"):
        await LocalPlane(tmp_path / "home", 20.0).start()


async def test_two_homes_never_share_a_network(plane: LocalPlane, tmp_path: Path) -> None:
    other = LocalPlane(tmp_path / "other", 20.0)
    await other.start()
    try:
        assert other.octet != plane.octet
    finally:
        await other.close()


async def test_addresses_survive_a_restart(tmp_path: Path) -> None:
    seen = []
    for _ in range(2):
        plane = LocalPlane(tmp_path / "home", 20.0)
        await plane.start()
        address = plane.allocate("us-west2", "service")
        seen.append((plane.api_address, address, plane.seen_from("europe-west4-drams3a", address)))
        await plane.close()
    assert seen[0] == seen[1]


async def test_before_the_start_no_address_is_known(tmp_path: Path) -> None:
    with pytest.raises(PlaneError, match="not started"):
        LocalPlane(tmp_path / "home", 20.0).allocate("us-west2", "service")


DAEMON = """
import asyncio, sys
from pathlib import Path
from infra.localcloud.plane.local import LocalPlane
from infra.localcloud.plane.interface import ReplicaSpec

async def main():
    plane = LocalPlane(Path(sys.argv[1]), 20.0)
    await plane.start()
    address = plane.allocate("us-west2", "replica")
    argv = (sys.executable, "-c", "import time; time.sleep(600)")
    await plane.start_replica(ReplicaSpec("replica", "us-west2", address, 8080, argv, Path(sys.argv[1]), {}))
    print(plane.status()[-1].pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the death signal is Linux's")
async def test_a_killed_daemon_takes_its_processes_with_it(tmp_path: Path) -> None:
    argv = (sys.executable, "-c", DAEMON, str(tmp_path))
    daemon = subprocess.Popen(argv, stdout=subprocess.PIPE, start_new_session=True)  # noqa: ASYNC220 - outlives this loop's care
    assert daemon.stdout is not None
    child = psutil.Process(int(await asyncio.to_thread(daemon.stdout.readline)))
    daemon.kill()
    daemon.wait()
    daemon.stdout.close()
    await eventually(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
    plane = LocalPlane(tmp_path, 20.0)
    await plane.start()
    await plane.close()
    assert json.loads((tmp_path / "cloud" / "processes.json").read_text()) == {}


def sleeper(directory: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen((sys.executable, "-c", "import time; time.sleep(600)"), cwd=directory, start_new_session=True)


def test_a_leftover_is_ended_and_a_stranger_with_its_number_is_not(tmp_path: Path) -> None:
    """A process number is given out again: only number, start time and program together name a process."""
    ours, stranger = sleeper(tmp_path), sleeper(tmp_path)
    try:
        records = Records(tmp_path / "processes.json")
        argv = (sys.executable, "-c", "import time; time.sleep(600)")
        for key, process in (("ours", ours), ("stranger", stranger)):
            records.starting(key, ProcessRecord(argv=argv, cwd=str(tmp_path), stop_signal=int(signal.SIGTERM)))
            records.started(key, process.pid)
        raw = json.loads((tmp_path / "processes.json").read_text())
        raw["stranger"]["created"] -= 3600
        (tmp_path / "processes.json").write_text(json.dumps(raw))
        again = Records(tmp_path / "processes.json")
        again.load()
        assert end_leftovers(again) == ["ours"]
        assert ours.wait(DEADLINE_S) is not None
        assert stranger.poll() is None
    finally:
        for process in (ours, stranger):
            process.kill()
            process.wait()


def test_a_log_stays_under_its_bound_and_keeps_the_newest(tmp_path: Path) -> None:
    path = log_path(tmp_path, "busy")
    log = LogFile(path)
    for number in range(4000):
        log.append("stdout", [f"{number} " + "x" * 4000])
    log.close()
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 2 * FILE_BYTES_MAX
    tail = read_tail(path, 1500)
    assert [line.text.split()[0] for line in tail][-2:] == ["3998", "3999"]
    assert len(tail) == 1500  # reaches into the rotated file


@pytest.mark.parametrize("key", ["../escape", "a/b", ".hidden", "", "é" * 200])
def test_a_log_never_leaves_its_directory(tmp_path: Path, key: str) -> None:
    assert log_path(tmp_path, key).resolve().parent == tmp_path.resolve()


async def test_a_damaged_file_is_named_and_the_network_is_given_back(tmp_path: Path) -> None:
    (tmp_path / "cloud").mkdir()
    (tmp_path / "cloud" / "processes.json").write_text("{")
    for _ in range(2):  # the second finds the network free again
        with pytest.raises(PlaneError, match=r"processes\.json: .*move it away"):
            await LocalPlane(tmp_path, 0.0).start()
