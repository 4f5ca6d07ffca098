"""`up`: local cloud, preview, deploy, load gate; then where everything is."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from infra.cli.commands.deploy_preview import plan, plan_document
from infra.cli.confirm import confirm
from infra.cli.endpoints import show_endpoints, stack_document
from infra.cli.gate import GateOptions, GateResult, exit_code_of, run_gate
from infra.cli.options import example, json_option, seeding_option, slo_option, stack_argument, yes_option
from infra.cli.plan import counts_text
from infra.cli.progress import Progress
from infra.cli.screen import Screen
from infra.cli.session import Session, open_session
from infra.cli.verdict_table import show_verdict


@click.command("up", epilog=example("./cached-auth up", "./cached-auth up prod --yes", "./cached-auth up dev --skip-gate --json"))
@stack_argument
@yes_option
@click.option("--skip-gate", is_flag=True, help="Deploy only; prove it later with `loadtest`.")
@click.option("--refresh", is_flag=True, help="Compare with what really runs first, and repair what drifted.")
@slo_option
@seeding_option
@json_option
def command(stack: str, is_sure: bool, skip_gate: bool, refresh: bool, slo: Path, allow_seeding: bool, is_json: bool) -> int:
    """Preview, deploy and prove STACK (default dev).

    On the local cloud nothing is asked. Exit code 0 only if the deploy and every target of the gate held; 10 when the
    gate failed, 12 when it could not measure. An `up` that was stopped goes on where it stopped.
    """
    screen = Screen(is_json)
    session = open_session(screen, stack)
    tally = plan(session, refresh)
    if not session.file.is_local and tally.has_changes:
        confirm(screen, f"Deploy these changes to {stack}?", is_sure, f"./cached-auth up {stack} --yes")
    counts = deploy(session, refresh)
    outputs = stack_document(session)
    gate = (
        None
        if skip_gate
        else prove(session, outputs, GateOptions(slo, allow_remote=not session.file.is_local, allow_seeding=allow_seeding))
    )
    return conclude(session, {**plan_document(tally), "changes": counts}, outputs, gate)


def deploy(session: Session, refresh: bool = False) -> dict[str, int]:
    """Applies the program to the stack with progress on the screen; the counts of what was done."""
    screen, stack = session.screen, session.file.name
    screen.heading(f"deploy of {stack}")
    progress, started = Progress(screen), time.monotonic()
    with progress.alive():
        session.deployment.up(progress.tally, progress, refresh)
    screen.say(f"  {counts_text(progress.tally.counts, is_done=True)}  ({time.monotonic() - started:.1f} s)")
    return progress.tally.counts


def prove(session: Session, outputs: dict[str, Any], chosen: GateOptions) -> GateResult:
    """Sends load and returns what it showed; progress on the screen."""
    screen = session.screen
    screen.heading(f"load gate on {session.file.name}")
    if chosen.region is not None:  # the verdict is about the release of the region that it measures
        outputs = {**outputs, "release": outputs["regions"][chosen.region]["release"]}
    return run_gate(session.home, session.file.name, outputs, chosen)


def conclude(session: Session, document: dict[str, Any], outputs: dict[str, Any], gate: GateResult | None) -> int:
    """The last screen: endpoints, the gate's table, the report; the exit code."""
    screen = session.screen
    show_endpoints(screen, outputs)
    if gate is not None:
        show_verdict(screen, gate)
    if screen.is_json:
        verdict = gate.document() if gate else None
        shown = {key: value for key, value in outputs.items() if key in ("endpoint", "release", "regions")}
        screen.result(
            {
                "stack": session.file.name,
                "operation": "up",
                **document,
                **shown,
                "gate": verdict,
                "duration_s": round(screen.elapsed_s(), 2),
            }
        )
    return exit_code_of(gate) if gate is not None else 0
