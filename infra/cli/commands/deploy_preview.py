"""`preview`: the plan, change by change, and nothing done."""

from __future__ import annotations

import click

from infra.cli.errors import FAILED
from infra.cli.options import example, json_option, stack_argument
from infra.cli.plan import QUIET_OPERATIONS, Tally, counts_text
from infra.cli.progress import Progress, show_plan
from infra.cli.screen import Screen
from infra.cli.session import Session, open_session


@click.command("preview", epilog=example("./cached-auth preview dev", "./cached-auth preview prod --refresh --expect-no-changes"))
@stack_argument
@click.option("--expect-no-changes", is_flag=True, help="Exit with 1 where anything would change.")
@click.option("--refresh", is_flag=True, help="Compare with what really runs first.")
@json_option
def command(stack: str, expect_no_changes: bool, refresh: bool, is_json: bool) -> int:
    """Show what `up` would do to STACK (default dev): every resource, every field, rendered files as text diffs."""
    screen = Screen(is_json)
    session = open_session(screen, stack)
    tally = plan(session, refresh, with_texts=True)
    if is_json:
        screen.result(
            {"stack": stack, "operation": "preview", **plan_document(tally), "duration_s": round(screen.elapsed_s(), 2)}
        )
    if expect_no_changes and tally.has_changes:
        screen.say(screen.paint("changes were expected to be none", "bad"))
        return FAILED
    return 0


def plan(session: Session, refresh: bool = False, with_texts: bool = False) -> Tally:
    """Asks the engine for the plan of `up`, prints it, and returns it."""
    screen = session.screen
    screen.heading(f"preview of {session.file.name}")
    progress = Progress(screen, is_planning=True)
    session.deployment.preview(progress.tally, progress, refresh)
    show_plan(screen, progress.tally, with_texts)
    for warning in progress.tally.warnings:
        screen.say(screen.paint(f"  warning: {warning}", "warn"))
    screen.say(f"  {counts_text(progress.tally.counts, is_done=False)}")
    return progress.tally


def plan_document(tally: Tally) -> dict[str, object]:
    steps = [step.document() for step in tally.steps if step.is_shown and step.operation not in QUIET_OPERATIONS]
    return {
        "changes": tally.counts,
        "summary": counts_text(tally.counts, is_done=False),
        "steps": steps,
        "warnings": tally.warnings,
    }
