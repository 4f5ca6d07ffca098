"""start, stop, status and reset as seen from outside the daemon. Plain and blocking: a command line waits anyway."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from infra.localcloud.claiming import DaemonRefused, only_one, private_directory
from infra.localcloud.daemon_file import DaemonRecord, living_process, living_record, remove_record
from infra.localcloud.plane.interface import PlaneError

READY_TIMEOUT_S = 15.0
RESTORED_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 75.0
POLL_S = 0.02
ASK_TIMEOUT_S = 30.0
RUNS_ALREADY = 4  # exit code of `serve` where another daemon has the home
ROOT = Path(__file__).resolve().parents[2]


def ask(record: DaemonRecord, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """One request to the daemon with its own token. DaemonRefused when it does not answer as it should."""
    place = urlsplit(record.url)
    assert place.hostname is not None
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=ASK_TIMEOUT_S)
    try:
        token = Path(record.token_file).read_text(encoding="ascii").strip()
        sent = json.dumps(body) if body is not None else None
        connection.request(method, path, body=sent, headers={"Authorization": f"Bearer {token}"})
        response = connection.getresponse()
        content = response.read()
    except OSError as exc:
        raise DaemonRefused(f"the local cloud at {record.url} does not answer ({exc}); stop it and start it again") from exc
    finally:
        connection.close()
    if response.status != 200:
        said = _message(content)
        raise DaemonRefused(f"the local cloud at {record.url} answered {method} {path} with {response.status}{said}")
    answer: dict[str, Any] = json.loads(content)
    return answer


def _message(content: bytes) -> str:
    try:
        return f": {json.loads(content)['message']}"
    except (ValueError, KeyError, TypeError):
        return ""


def start(home: Path, rtt_ms: float | None) -> DaemonRecord:
    """The running daemon's record, started if need be; returns when all that was deployed before is back. DaemonRefused.

    `rtt_ms` None keeps the links as they were last; a number sets them all, and also reaches a daemon that runs already.
    """
    home = home.resolve()
    cloud = private_directory(private_directory(home) / "cloud")
    record = living_record(cloud)
    if record is None:
        remove_record(cloud)  # of a daemon that was killed
        record = _spawn(home, cloud, rtt_ms)
    elif rtt_ms is not None:
        ask(record, "POST", "/_local/links", {"rtt_ms": rtt_ms})
    _await_restored(record)
    return record


def _spawn(home: Path, cloud: Path, rtt_ms: float | None) -> DaemonRecord:
    log_path = private_directory(home / "logs") / "localcloud.log"
    argv = [sys.executable, "-m", "infra.localcloud", "serve", "--home", str(home)]
    argv += ["--rtt-ms", f"{rtt_ms:g}"] if rtt_ms is not None else []
    with log_path.open("ab") as log:
        offset = log.tell()
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=cloud, env=environment
        )
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline:
        record = living_record(cloud)
        if record is not None and (record.pid == process.pid or process.returncode == RUNS_ALREADY):
            process.returncode = 0  # it outlives us on purpose; Popen would otherwise warn that it still runs
            return record
        if process.poll() not in (None, RUNS_ALREADY):  # somebody else's start may have been faster: then that one is it
            raise DaemonRefused(_last_line(log_path, offset) or f"the local cloud ended at once; see {log_path}")
        time.sleep(POLL_S)
    process.terminate()
    raise DaemonRefused(f"the local cloud was not ready after {READY_TIMEOUT_S:g} s; see {log_path}")


def _last_line(path: Path, offset: int) -> str:
    with path.open("rb") as file:
        file.seek(offset)
        lines = file.read().decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else ""


def _await_restored(record: DaemonRecord) -> None:
    deadline = time.monotonic() + RESTORED_TIMEOUT_S
    while ask(record, "GET", "/_local/status")["restoring"]:
        if time.monotonic() > deadline:
            return  # it serves; what is late shows in `status`
        time.sleep(POLL_S)


def stop(home: Path) -> bool:
    """True when a daemon was running; returns when its process is gone. DaemonRefused when it does not end."""
    cloud = home.resolve() / "cloud"
    record = living_record(cloud)
    process = living_process(record) if record else None
    if record is None or process is None:
        if cloud.is_dir():
            remove_record(cloud)
        return False
    process.terminate()
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while living_process(record) is not None:
        if time.monotonic() > deadline:
            raise DaemonRefused(f"the local cloud did not end within {STOP_TIMEOUT_S:g} s; kill -9 {record.pid}")
        time.sleep(POLL_S)
    return True


def status(home: Path) -> dict[str, Any] | None:
    """What /_local/status says; None when no daemon runs."""
    record = living_record(home.resolve() / "cloud")
    return ask(record, "GET", "/_local/status") if record else None


def reset(home: Path) -> None:
    """Ends everything of this home, also what a killed daemon left running, and deletes the cloud's data."""
    home = home.resolve()
    cloud = home / "cloud"
    stop(home)
    if not cloud.is_dir():
        return
    with only_one(cloud):
        try:
            asyncio.run(_end_leftovers(home))
        except PlaneError as exc:
            raise DaemonRefused(f"could not end what an earlier run left: {exc}") from exc
        shutil.rmtree(cloud)


async def _end_leftovers(home: Path) -> None:
    from infra.localcloud.plane.local import LocalPlane  # here, because `status` and `stop` should not wait for its imports

    plane = LocalPlane(home, 0.0)
    try:
        await plane.start()
    finally:
        await plane.close()
