"""python -m infra.localcloud serve|start|stop|status|reset --home DIR [--rtt-ms 20] [--json]

Exit codes: 0 done, 1 failed (one line on stderr with the next step), 2 wrong usage, 3 status: not running,
4 serve: another daemon has this home.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from infra.localcloud import lifecycle
from infra.localcloud.claiming import DaemonRefused, RunsAlready
from infra.localcloud.conducting.store import StoreError
from infra.localcloud.plane.interface import PlaneError

NOT_RUNNING = 3


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    try:
        return int(COMMANDS[arguments.command](arguments))
    except (DaemonRefused, StoreError, PlaneError, OSError) as exc:
        print(exc, file=sys.stderr)
        return 1


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m infra.localcloud", description="The local cloud's daemon.")
    made.add_argument("command", choices=sorted(COMMANDS))
    made.add_argument("--home", type=Path, required=True, help="the home directory; the cloud lives in <home>/cloud")
    made.add_argument("--rtt-ms", type=float, help="round trip between regions (serve, start); default: what it was, at first 20")
    made.add_argument("--json", action="store_true", help="print JSON")
    return made


def _serve(arguments: argparse.Namespace) -> int:
    from infra.localcloud.daemon import serve  # here, because the other commands should not wait for the server's imports

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    try:
        asyncio.run(serve(arguments.home.resolve(), arguments.rtt_ms))
    except RunsAlready as exc:
        print(exc, file=sys.stderr)
        return lifecycle.RUNS_ALREADY
    except BaseExceptionGroup as group:  # a refusal inside the daemon's task group
        expected, unexpected = group.split((DaemonRefused, StoreError, PlaneError, OSError))
        if unexpected is not None or expected is None:
            raise
        print(_first(expected), file=sys.stderr)
        return 1
    return 0


def _first(group: BaseExceptionGroup[Any]) -> BaseException:
    found = group.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found


def _start(arguments: argparse.Namespace) -> int:
    begun = time.monotonic()
    record = lifecycle.start(arguments.home, arguments.rtt_ms)
    if arguments.json:
        print(msgspec.json.encode(record).decode())
    else:
        print(f"local cloud ready at {record.url} after {time.monotonic() - begun:.1f} s (pid {record.pid})")
    return 0


def _stop(arguments: argparse.Namespace) -> int:
    begun = time.monotonic()
    was_running = lifecycle.stop(arguments.home)
    if arguments.json:
        print(json.dumps({"stopped": was_running}))
    else:
        print(f"local cloud stopped after {time.monotonic() - begun:.1f} s" if was_running else "local cloud was not running")
    return 0


def _status(arguments: argparse.Namespace) -> int:
    found = lifecycle.status(arguments.home)
    if arguments.json:
        print(json.dumps(found))
    elif found is None:
        print(f"local cloud is not running; start it: python -m infra.localcloud start --home {arguments.home}")
    else:
        print(
            f"local cloud at {found['url']} (pid {found['pid']}), {len(found['replicas'])} replicas, "
            f"{len(found['databases'])} databases, {len(found['caches'])} caches"
        )
        for one in (*found["replicas"], *found["caches"]):
            print(f"  {one['service']:<24} {one['region']:<24} {one['status']:<12} {one['url']}")
        for one in found["databases"]:
            print(f"  {one['role']:<24} {one['region']:<24} {one['status']:<12} {one['address']}:5432")
    return 0 if found is not None else NOT_RUNNING


def _reset(arguments: argparse.Namespace) -> int:
    lifecycle.reset(arguments.home)
    print(json.dumps({"reset": True}) if arguments.json else "local cloud reset")
    return 0


COMMANDS = {"serve": _serve, "start": _start, "stop": _stop, "status": _status, "reset": _reset}

if __name__ == "__main__":
    sys.exit(main())
