"""`refresh`: what really runs, taken over into the state."""

from __future__ import annotations

import click

from infra.cli.confirm import confirm
from infra.cli.options import example, json_option, stack_argument, yes_option
from infra.cli.plan import counts_text
from infra.cli.progress import Progress
from infra.cli.screen import Screen
from infra.cli.session import open_session


@click.command("refresh", epilog=example("./cached-auth refresh dev"))
@stack_argument
@yes_option
@json_option
def command(stack: str, is_sure: bool, is_json: bool) -> int:
    """Read every resource of STACK (default dev) and record what differs from the state. Changes nothing in the cloud."""
    screen = Screen(is_json)
    session = open_session(screen, stack, create=False)
    if not session.file.is_local:
        confirm(screen, f"Overwrite the state of {stack} with what runs there?", is_sure, f"./cached-auth refresh {stack} --yes")
    screen.heading(f"refresh of {stack}")
    progress = Progress(screen)
    with progress.alive():
        session.deployment.refresh(progress.tally, progress)
    screen.say(f"  {counts_text(progress.tally.counts, is_done=True)}")
    if is_json:
        steps = [step.document() for step in progress.tally.steps if step.is_shown and step.operation != "same"]
        screen.result({"stack": stack, "operation": "refresh", "changes": progress.tally.counts, "steps": steps})
    return 0
