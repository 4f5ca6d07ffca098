"""Runs the load gate against a stack and reads its verdict. The gate is its own process: Locust patches the interpreter."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.cli.errors import GATE_FAILED, GATE_UNMEASURED, Interrupted, OperationFailed
from infra.cli.home import ROOT, SLO_FILE, Home
from infra.cli.screen import Screen
from loadtests.verdict import Verdict, decode, encode

RUN_TIMEOUT_S = 900
STOP_TIMEOUT_S = 20


@dataclass(frozen=True, slots=True)
class GateResult:
    """The gate's exit code, its verdict and where its report lies."""

    exit_code: int
    verdict: Verdict
    report: Path

    def document(self) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads(encode(self.verdict))
        return {"exit_code": self.exit_code, "report": str(self.report / "report.html"), **facts}


@dataclass(frozen=True, slots=True)
class GateOptions:
    """None means the SLO file's own value. `region` limits the run to one region."""

    slo: Path = SLO_FILE
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
            str(options.slo),
            "--report",
            str(report),
        ]
        exit_code = run_child([*command, *options.words()])
    return read_verdict(exit_code, report, f"./cached-auth loadtest {stack}")


def run_child(command: list[str]) -> int:
    """The child's exit code. Its progress (stderr) goes to the screen, its table is ours to print.

    Ctrl-C reaches the child as well; it gets a bounded time to end by itself.
    """
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as child:
        try:
            return child.wait(timeout=RUN_TIMEOUT_S)
        except BaseException:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(timeout=STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                child.kill()
            raise


def read_verdict(exit_code: int, report: Path, again: str) -> GateResult:
    """`again` is what a person types to measure once more; the gate itself only knows its own command line."""
    if exit_code in (-signal.SIGINT, -signal.SIGTERM, 130, 143):
        raise Interrupted("the load gate was stopped before its verdict", again)
    try:
        verdict = decode((report / "verdict.json").read_bytes())
    except (OSError, ValueError) as error:
        raise OperationFailed(f"the load gate ended with exit code {exit_code} and no verdict", again) from error
    return GateResult(exit_code, replace(verdict, command=again), report)


def exit_code_of(result: GateResult) -> int:
    """0, 10 or 12; any other end of the gate means that it could not measure."""
    return result.exit_code if result.exit_code in (0, GATE_FAILED, GATE_UNMEASURED) else GATE_UNMEASURED
