"""Runs the load gate against a stack and reads its verdict. The gate is its own process: Locust patches the interpreter."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.cli.errors import GATE_FAILED, GATE_UNMEASURED, USAGE, Interrupted, OperationFailed, UsageError
from infra.cli.home import ROOT, SLO_FILE, Home
from loadtests.verdict import Verdict, decode, encode

RUN_TIMEOUT_S = 9000  # an SLO file may ask for an hour and a second look of another; the run has its own, nearer deadlines
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
    allow_seeding: bool = False

    def words(self) -> list[str]:
        words = ["--slo", str(self.slo)]
        words += ["--region", self.region] if self.region else []
        words += ["--duration-s", str(self.duration_s)] if self.duration_s is not None else []
        words += ["--allow-remote"] if self.allow_remote else []
        return words + (["--allow-seeding"] if self.allow_seeding else [])


def run_gate(home: Home, stack: str, outputs: Mapping[str, Any], options: GateOptions) -> GateResult:
    """Runs the scenarios; their progress goes to the screen. OperationFailed where no verdict was written."""
    report = home.reports(stack) / f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
    report.mkdir(mode=0o700, parents=True)
    again = f"./cached-auth loadtest {stack}"
    # The outputs hold secrets: a file made 0600 and gone at the end, never a command line.
    with tempfile.NamedTemporaryFile("w", suffix=".json", dir=home.path, prefix=".outputs-") as file:
        json.dump(outputs, file)
        file.flush()
        command = [sys.executable, "-m", "loadtests", "run", "--no-table", "--again", again]
        try:
            exit_code = run_child([*command, "--outputs", file.name, "--report", str(report), *options.words()])
        except subprocess.TimeoutExpired as error:
            raise OperationFailed(f"the load gate did not end within {RUN_TIMEOUT_S} s", again) from error
    return read_verdict(exit_code, report, again)


def run_child(command: list[str]) -> int:
    """The child's exit code; its progress goes to stderr. Ctrl-C reaches it as well; it gets a bounded time to end by itself."""
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
    """What the run wrote. `again` is what a person types to measure once more."""
    if exit_code in (-signal.SIGINT, -signal.SIGTERM, 130, 143):
        raise Interrupted("the load gate was stopped before its verdict", again)
    if exit_code == USAGE:
        raise UsageError("the load gate refused what it was given (the line above says what)", again)
    try:
        return GateResult(exit_code, decode((report / "verdict.json").read_bytes()), report)
    except (OSError, ValueError) as error:
        raise OperationFailed(f"the load gate ended with exit code {exit_code} and no verdict", again) from error


def exit_code_of(result: GateResult) -> int:
    """0, 10 or 12; any other end of the gate means that it could not measure."""
    return result.exit_code if result.exit_code in (0, GATE_FAILED, GATE_UNMEASURED) else GATE_UNMEASURED
