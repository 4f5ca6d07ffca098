"""The load gate's command line: run, check-slo, show.

Exit codes: 0 pass, 2 wrong usage, SLO file or outputs, 10 a target is missed, 12 it could not be measured.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import msgspec

from loadtests import terminal, verdict
from loadtests.outputs import OutputsError, load_outputs
from loadtests.slo import Slo, SloError, load_slo

WRONG_USAGE = 2
NOT_MEASURED = 12
DEFAULT_SLO = Path(__file__).with_name("slo.yaml")


def main(arguments: list[str] | None = None) -> int:
    """The exit code."""
    parsed = _parser().parse_args(arguments)
    try:
        if parsed.command == "run":
            return _run(parsed)
        if parsed.command == "check-slo":
            return _check_slo(parsed.file)
        return _show(parsed.report)
    except (SloError, OutputsError) as exc:
        print(f"error: {exc}", file=sys.stderr)
        return WRONG_USAGE
    except KeyboardInterrupt:
        print("interrupted: nothing was judged", file=sys.stderr)
        return NOT_MEASURED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m loadtests",
        description="The load gate: sends open-loop load to a stack and says whether its targets are kept.",
        epilog="Example: python -m loadtests run --outputs outputs.json --report reports/now --duration-s 12",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="load a stack and judge it",
        description="Loads a stack and judges it. Exit code: 0 pass, 10 fail, 12 could not measure, 2 wrong usage.",
        epilog="Example: python -m loadtests run --outputs outputs.json --report reports/now --region us-west2 --json",
    )
    run.add_argument(
        "--outputs", type=Path, required=True, metavar="FILE", help="the stack's outputs as JSON (holds secrets: mode 0600)"
    )
    run.add_argument("--slo", type=Path, default=DEFAULT_SLO, metavar="FILE", help="targets and rates (default: slo.yaml)")
    run.add_argument("--report", type=Path, required=True, metavar="DIR", help="gets report.html and verdict.json")
    run.add_argument("--region", metavar="REGION", help="load this region only")
    run.add_argument("--duration-s", type=float, metavar="N", help="counted seconds, instead of the SLO file's")
    run.add_argument("--warm-up-s", type=float, metavar="N", help="seconds of load before counting, instead of the SLO file's")
    run.add_argument("--again", metavar="COMMAND", help="the command that the report names for running this gate again")
    run.add_argument("--no-table", action="store_true", help="progress only; the caller shows the verdict")
    run.add_argument("--json", action="store_true", help="print verdict.json, no progress")
    run.add_argument("--allow-remote", action="store_true", help="send load to hosts other than this machine")
    run.add_argument("--allow-seeding", action="store_true", help="create load-test users in a stack that is not local")
    check = commands.add_parser("check-slo", help="parse an SLO file", epilog="Example: python -m loadtests check-slo slo.yaml")
    check.add_argument("file", type=Path, metavar="FILE")
    show = commands.add_parser("show", help="print a report's table", epilog="Example: python -m loadtests show reports/now")
    show.add_argument("report", type=Path, metavar="REPORT_DIR")
    return parser


def _run(parsed: argparse.Namespace) -> int:
    slo = _with_durations(load_slo(parsed.slo), parsed.duration_s, parsed.warm_up_s)
    outputs = load_outputs(parsed.outputs, parsed.region)
    _make_directory(parsed.report)
    # Imported here and not above: these load Locust, which patches the standard library (see __main__).
    from loadtests.run import Request, run_gate

    def tell(line: str) -> None:
        if not parsed.json:
            print(line, file=sys.stderr, flush=True)

    request = Request(outputs, slo, parsed.report, parsed.again or _command(parsed), parsed.allow_remote, parsed.allow_seeding)
    found = run_gate(request, tell)
    if parsed.json:
        sys.stdout.write(verdict.encode(found).decode())
    elif not parsed.no_table:
        print(terminal.table(found, terminal.wants_colour(sys.stdout)))
        print(f"  report: {parsed.report / 'report.html'}")
    return found.exit_code


def _make_directory(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise OutputsError(f"--report {directory}: expected a directory that can be made, got {exc.strerror}") from exc


def _with_durations(slo: Slo, duration_s: float | None, warm_up_s: float | None) -> Slo:
    run = slo.run
    for option, value in (("--duration-s", duration_s), ("--warm-up-s", warm_up_s)):
        if value is not None and not 0 <= value <= 3600:
            raise SloError(option, "seconds from 0 to 3600", value)
    if duration_s is not None:
        # A run that was asked to be short looks again for a short time as well.
        run = replace(run, duration_s=duration_s, extension_s=min(run.extension_s, 4 * duration_s))
    if warm_up_s is not None:
        run = replace(run, warm_up_s=warm_up_s)
    return replace(slo, run=run)


def _command(parsed: argparse.Namespace) -> str:
    words = ["python", "-m", "loadtests", "run"]
    for option in ("outputs", "slo", "report", "region", "duration_s", "warm_up_s"):
        value = getattr(parsed, option)
        if value is not None:
            words += [f"--{option.replace('_', '-')}", f"{value:g}" if isinstance(value, float) else str(value)]
    words += [f"--{option.replace('_', '-')}" for option in ("allow_remote", "allow_seeding") if getattr(parsed, option)]
    return shlex.join(words)


def _check_slo(file: Path) -> int:
    slo = load_slo(file)
    for scenario in slo.scenarios:
        targets = ", ".join(target.text for target in scenario.targets)
        print(f"{scenario.name}: {scenario.rate_per_s:g}/s per region, {scenario.arrivals}: {targets}")
    print(f"{file}: good, {slo.digest}")
    return 0


def _show(report: Path) -> int:
    file = report / "verdict.json" if report.is_dir() else report
    try:
        found = verdict.decode(file.read_bytes())
    except OSError as exc:
        raise OutputsError(f"{file}: expected a report directory with verdict.json, got {os.strerror(exc.errno or 0)}") from exc
    except (msgspec.ValidationError, msgspec.DecodeError) as exc:
        raise OutputsError(f"{file}: expected a verdict: {exc}") from exc
    print(terminal.table(found, terminal.wants_colour(sys.stdout)))
    return 0
