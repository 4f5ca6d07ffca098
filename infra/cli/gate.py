"""Runs the load gate against a stack and reads its verdict. The gate is its own process: Locust patches the interpreter."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.cli.errors import GATE_FAILED, GATE_UNMEASURED, Interrupted, OperationFailed
from infra.cli.home import ROOT, Home
from infra.cli.screen import Screen

SLO_FILE = ROOT / "loadtests" / "slo.yaml"
RUN_TIMEOUT_S = 900
STOP_TIMEOUT_S = 20


@dataclass(frozen=True, slots=True)
class GateResult:
    """The gate's exit code, its verdict as JSON and where its report lies."""

    exit_code: int
    verdict: Mapping[str, Any]
    report: Path

    @property
    def outcome(self) -> str:
        return str(self.verdict.get("outcome", "invalid"))


@dataclass(frozen=True, slots=True)
class GateOptions:
    """None means the SLO file's own value. `region` limits the run to one region."""

    region: str | None = None
    duration_s: float | None = None
    allow_remote: bool = False

    def words(self) -> list[str]:
        words = ["--region", self.region] if self.region else []
        words += ["--duration-s", str(self.duration_s)] if self.duration_s is not None else []
        return words + (["--allow-remote"] if self.allow_remote else [])


def run_gate(screen: Screen, home: Home, stack: str, outputs: Mapping[str, Any], options: GateOptions) -> GateResult:
    """Runs the scenarios; their progress goes to the screen. OperationFailed where no verdict was written."""
    report = home.reports(stack) / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    report.mkdir(mode=0o700, parents=True)
    with tempfile.NamedTemporaryFile(
        "w", suffix=".json", dir=home.path, prefix=".outputs-"
    ) as file:  # made 0600, gone at the end
        json.dump(outputs, file)
        file.flush()
        command = [
            sys.executable,
            "-m",
            "loadtests",
            "run",
            "--outputs",
            file.name,
            "--slo",
            str(SLO_FILE),
            "--report",
            str(report),
        ]
        exit_code = run_child([*command, *options.words(), *(["--json"] if screen.is_json else [])], screen)
    return read_verdict(exit_code, report)


def run_child(command: list[str], screen: Screen) -> int:
    """The child's exit code. Ctrl-C reaches it as well; it gets a bounded time to end by itself."""
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ}, stdout=subprocess.DEVNULL if screen.is_json else None) as child:
        try:
            return child.wait(timeout=RUN_TIMEOUT_S)
        except BaseException:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(timeout=STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                child.kill()
            raise


def read_verdict(exit_code: int, report: Path) -> GateResult:
    if exit_code in (-signal.SIGINT, -signal.SIGTERM, 130, 143):
        raise Interrupted("the load gate was stopped before its verdict", "./cached-auth loadtest")
    try:
        verdict = json.loads((report / "verdict.json").read_text())
    except (OSError, ValueError) as error:
        raise OperationFailed(
            f"the load gate ended with exit code {exit_code} and no verdict", "./cached-auth loadtest"
        ) from error
    return GateResult(exit_code, verdict, report)


def exit_code_of(result: GateResult) -> int:
    """0, 10 or 12; any other end of the gate means that it could not measure."""
    return result.exit_code if result.exit_code in (0, GATE_FAILED, GATE_UNMEASURED) else GATE_UNMEASURED
