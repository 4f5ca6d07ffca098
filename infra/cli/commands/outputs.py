"""`outputs`: where the stack answers."""

from __future__ import annotations

import click

from infra.cli.endpoints import SECRET_OUTPUTS, public_document, show_endpoints, stack_document
from infra.cli.options import example, json_option, stack_argument
from infra.cli.screen import Screen
from infra.cli.session import open_session


@click.command("outputs", epilog=example("./cached-auth outputs", "./cached-auth outputs dev --json"))
@stack_argument
@click.option("--show-secrets", is_flag=True, help="Also the keys and the database URL.")
@json_option
def command(stack: str, show_secrets: bool, is_json: bool) -> int:
    """Endpoints of STACK (default dev) per region, and the release that serves there."""
    screen = Screen(is_json)
    document = stack_document(open_session(screen, stack, starts_cloud=False, create=False))
    shown = document if show_secrets else public_document(document)
    if is_json:
        screen.result(shown)
        return 0
    show_endpoints(screen, shown)
    for name in ("supabase_url", "project_id", *SECRET_OUTPUTS):
        if name in shown:
            screen.say(f"{name}: {shown[name]}")
    return 0
