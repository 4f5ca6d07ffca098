"""`cloud database`: failover, backups and restores of the local cloud's databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click

from infra.cli.cloud import require_cloud
from infra.cli.confirm import confirm
from infra.cli.durations import parse_duration
from infra.cli.errors import UsageError
from infra.cli.home import open_home
from infra.cli.options import example, json_option, yes_option
from infra.cli.screen import Screen

PATH = "/_local/databases"


@click.group(
    "database", epilog=example("./cached-auth cloud database promote standby", "./cached-auth cloud database backup primary")
)
def database() -> None:
    """Promote a standby; back up and restore a primary.

    NAME as in `cloud status`, or some of its words.
    """


@database.command(
    "promote", epilog=example("./cached-auth cloud fault down primary", "./cached-auth cloud database promote standby")
)
@click.argument("name")
@json_option
def promote(name: str, is_json: bool) -> int:
    """A standby takes the primary's place.

    The old primary comes back as its standby. The primary's address stays. What a primary that is down had committed and not
    handed on is lost.
    """
    screen = Screen(is_json)
    with screen.step(f"promoting {name}"):
        answer = require_cloud(open_home()).ask("POST", f"{PATH}/promote", {"name": name})
    if is_json:
        screen.result(answer)
    return 0


@database.command("backup", epilog=example("./cached-auth cloud database backup primary"))
@click.argument("name")
@json_option
def backup(name: str, is_json: bool) -> int:
    """Make a base backup.

    From the first one on every moment since can be restored. The newest five are kept.
    """
    screen = Screen(is_json)
    answer = require_cloud(open_home()).ask("POST", f"{PATH}/backup", {"name": name})
    screen.say(f"backup {answer['id']}, completed {answer['completed_at']}")
    if is_json:
        screen.result(answer)
    return 0


@database.command("list", epilog=example("./cached-auth cloud database list --json"))
@json_option
def list_backups(is_json: bool) -> int:
    """The backups there are."""
    screen = Screen(is_json)
    answer = require_cloud(open_home()).ask("GET", f"{PATH}/backups")
    if is_json:
        screen.result(answer)
    elif answer["backups"]:
        screen.table(
            ("DATABASE", "COMPLETED", "ID"), [(one["name"], one["completed_at"], one["id"]) for one in answer["backups"]]
        )
    else:
        screen.note("no backups")
    return 0


@database.command("restore", epilog=example("./cached-auth cloud database restore primary --ago 10m --yes"))
@click.argument("name")
@click.option("--to", "moment", help="The moment, e.g. 2026-01-31T12:00:00Z.")
@click.option("--ago", help="The moment, as a way back from now: 90s, 10m, 2h.")
@yes_option
@json_option
def restore(name: str, moment: str | None, ago: str | None, is_sure: bool, is_json: bool) -> int:
    """Go back to a moment since a backup.

    Without --to and --ago: the newest. Standbys are made anew.
    """
    if moment and ago:
        raise UsageError("expected --to or --ago, got both", "./cached-auth cloud database restore --help")
    if moment is not None:
        _require_moment(moment)
    back_s = parse_duration(ago, "--ago", "./cached-auth cloud database restore --help") if ago else 0
    at = (datetime.now(UTC) - timedelta(seconds=back_s)).isoformat() if ago else moment
    screen = Screen(is_json)
    confirm(screen, f"Replace the data of {name} by those of {at or 'the newest backup and log'}?", is_sure, "add --yes")
    with screen.step(f"restoring {name}"):
        answer = require_cloud(open_home()).ask("POST", f"{PATH}/restore", {"name": name, **({"at": at} if at else {})})
    if is_json:
        screen.result(answer)
    return 0


def _require_moment(text: str) -> None:
    try:
        has_zone = datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        has_zone = False
    if not has_zone:
        raise UsageError(
            f"--to: expected a moment with its zone such as 2026-01-31T12:00:00Z, got {text[:40]!r}",
            "./cached-auth cloud database restore --help",
        )
