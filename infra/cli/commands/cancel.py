"""`cancel`: frees a stack that a dead run left locked."""

from __future__ import annotations

import click

from infra.cli.confirm import confirm
from infra.cli.options import example, stack_argument, yes_option
from infra.cli.screen import Screen
from infra.cli.session import open_session


@click.command("cancel", epilog=example("./cached-auth cancel dev --yes"))
@stack_argument
@yes_option
def command(stack: str, is_sure: bool) -> int:
    """Remove the lock on STACK (default dev). Only where the run that holds it has died: two runs at once corrupt state."""
    screen = Screen()
    session = open_session(screen, stack, create=False)
    confirm(screen, f"Is no other run working on {stack}?", is_sure, f"./cached-auth cancel {stack} --yes")
    session.deployment.cancel()
    screen.say(f"stack {stack} is free; next: ./cached-auth up {stack}")
    return 0
