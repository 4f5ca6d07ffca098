"""The local cloud seen from the commands: start it, find it, end it, and tell the providers where it is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from infra.cli.errors import OperationFailed, UsageError
from infra.cli.home import ROOT, Home

DAEMON_TIMEOUT_S = 150  # beyond the local cloud's own deadlines: what it says when one of them has passed says more
ASK_TIMEOUT_S = 250  # a restore waits for the whole replay
PROJECT_URL_TEMPLATE = "http://{database_host}:8000"


@dataclass(frozen=True, slots=True)
class LocalCloud:
    """A running daemon: its URL and the file that holds its account token."""

    url: str
    token_file: Path

    def token(self) -> str:
        return self.token_file.read_text().strip()

    def environment(self) -> dict[str, str]:
        """What points the providers at this cloud instead of at Railway and Supabase."""
        token = self.token()
        return {
            "RAILWAY_API_URL": f"{self.url}/graphql/v2",
            "RAILWAY_API_TOKEN": token,
            "SUPABASE_API_URL": self.url,
            "SUPABASE_ACCESS_TOKEN": token,
            "SUPABASE_PROJECT_URL_TEMPLATE": PROJECT_URL_TEMPLATE,
        }

    def status(self) -> dict[str, Any]:
        """The daemon's own account of what runs. OperationFailed where it does not answer."""
        return self.ask("GET", "/_local/status")

    def page_link(self) -> str:
        """A link to the cloud's page that opens it once, within five minutes."""
        return str(self.ask("POST", "/_local/page")["url"])

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """One request to the daemon's own endpoints. UsageError where it refuses, OperationFailed where it does not answer."""
        try:
            # trust_env: HTTP_PROXY must neither learn the token nor be asked for an address that only this machine has.
            answer = httpx.request(
                method,
                f"{self.url}{path}",
                json=body,
                headers={"Authorization": f"Bearer {self.token()}"},
                timeout=ASK_TIMEOUT_S,
                trust_env=False,
            )
            if answer.status_code == 503:
                raise OperationFailed(str(answer.json().get("message", "failed")), "./cached-auth cloud status")
            if answer.status_code in (400, 404):
                raise UsageError(str(answer.json().get("message", "refused")), "./cached-auth cloud status")
            answer.raise_for_status()
            document: dict[str, Any] = answer.json()
        except (httpx.HTTPError, OSError, ValueError) as error:
            raise OperationFailed(
                f"the local cloud at {self.url} does not answer ({type(error).__name__})", "./cached-auth cloud start"
            ) from error
        return document


def daemon_command(home: Home, *words: str) -> list[str]:
    return [sys.executable, "-m", "infra.localcloud", *words, "--home", str(home.path)]


def run_daemon_command(home: Home, *words: str) -> str:
    """Runs one of the local cloud's own commands; its stdout. OperationFailed quotes its last line."""
    try:
        done = subprocess.run(
            daemon_command(home, *words), cwd=ROOT, capture_output=True, text=True, timeout=DAEMON_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise OperationFailed(
            f"the local cloud did not finish {words[0]!r} within {DAEMON_TIMEOUT_S} s", f"cat {home.logs}/localcloud.log"
        ) from error
    if done.returncode:
        lines = [line for line in (done.stderr or done.stdout).strip().splitlines() if line.strip()] or ["no message"]
        raise OperationFailed(f"local cloud: {lines[-1].strip()}", "./cached-auth doctor")
    return done.stdout


def start_cloud(home: Home, rtt_ms: float | None = None) -> LocalCloud:
    """Starts the daemon unless it runs already; ready for requests when this returns."""
    words = ["start", "--json"] + (["--rtt-ms", str(rtt_ms)] if rtt_ms is not None else [])
    run_daemon_command(home, *words)
    cloud = find_cloud(home)
    if cloud is None:
        raise OperationFailed("the local cloud started but left no daemon.json", f"cat {home.logs}/localcloud.log")
    return cloud


def find_cloud(home: Home) -> LocalCloud | None:
    """The running daemon, or None. A daemon.json whose process has gone counts as none."""
    try:
        document = json.loads((home.cloud / "daemon.json").read_text())
        os.kill(int(document["pid"]), 0)
        return LocalCloud(str(document["url"]), Path(document["token_file"]))
    except (OSError, ValueError, KeyError):
        return None


def require_cloud(home: Home) -> LocalCloud:
    cloud = find_cloud(home)
    if cloud is None:
        raise OperationFailed(
            "the local cloud is not running", "./cached-auth up   (starts it and brings back what was deployed)"
        )
    return cloud


def remove_cloud(home: Home) -> None:
    """Ends the daemon and all its processes and deletes its data; what its processes wrote is kept in <home>/logs."""
    logs = home.cloud / "logs"
    if logs.is_dir():
        shutil.copytree(logs, home.logs / f"cloud-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}", copy_function=shutil.copyfile)
    run_daemon_command(home, "reset")
    shutil.rmtree(home.cloud, ignore_errors=True)
