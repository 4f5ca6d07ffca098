"""`logs`: what a region's replicas wrote."""

from __future__ import annotations

import time

import click

from infra.cli.endpoints import stack_document
from infra.cli.errors import UsageError
from infra.cli.options import example, json_option
from infra.cli.platform_api import LogEntry, deployment_logs
from infra.cli.screen import Screen
from infra.cli.session import Session, open_session

FOLLOW_EVERY_S = 1.0


@click.command(
    "logs", epilog=example("./cached-auth logs us-west2", "./cached-auth logs europe-west4-drams3a --stack dev -n 50 --follow")
)
@click.argument("region")
@click.option("--stack", default="dev", show_default=True)
@click.option("-n", "--lines", "limit", type=click.IntRange(1, 5000), default=100, show_default=True)
@click.option("--follow", "-f", is_flag=True, help="Go on until Ctrl-C.")
@json_option
def command(region: str, stack: str, limit: int, follow: bool, is_json: bool) -> int:
    """The newest lines of the replicas of REGION."""
    screen = Screen(is_json)
    session = open_session(screen, stack, starts_cloud=False, create=False)
    regions = stack_document(session)["regions"]
    if region not in regions:
        raise UsageError(
            f"region: expected one of {', '.join(regions)}, got {region!r}", f"./cached-auth logs {next(iter(regions))}"
        )
    deployment_id = str(regions[region]["deployment_id"])
    entries = deployment_logs(session, deployment_id, limit)
    if is_json:
        screen.result([{"timestamp": e.timestamp, "severity": e.severity, "message": e.message} for e in entries])
        return 0
    show(screen, entries)
    if follow:
        follow_logs(screen, session, deployment_id, entries)
    return 0


def follow_logs(screen: Screen, session: Session, deployment_id: str, shown: list[LogEntry]) -> None:
    """Polls, because that works with every kind of token; Railway's subscription needs a websocket."""
    seen = set(shown)
    while True:
        time.sleep(FOLLOW_EVERY_S)
        fresh = [entry for entry in deployment_logs(session, deployment_id, 500) if entry not in seen]
        show(screen, fresh)
        seen = (seen | set(fresh)) if len(seen) < 20_000 else set(fresh)


def show(screen: Screen, entries: list[LogEntry]) -> None:
    for entry in entries:
        screen.say(f"{screen.paint(entry.timestamp, 'dim')} {entry.message}")
