"""`cloud time`: the local cloud's own clock."""

from __future__ import annotations

from typing import Any

import click

from infra.cli.cloud import require_cloud
from infra.cli.durations import duration_text, parse_duration
from infra.cli.home import open_home
from infra.cli.options import example, json_option
from infra.cli.screen import Screen


@click.group("time", epilog=example("./cached-auth cloud time show", "./cached-auth cloud time advance 2h30m"))
def time() -> None:
    """The local cloud's clock: show it, move it forward.

    Back-off, schedules, overlap, hourly limits, sleeping services, deletions and all times it writes go by it. What Supabase's
    Auth has issued grows older with it. Processes (services, databases) have this machine's time.
    """


@time.command("show", epilog=example("./cached-auth cloud time show --json"))
@json_option
def show(is_json: bool) -> int:
    """What time it is there."""
    return _tell(require_cloud(open_home()).ask("GET", "/_local/time"), is_json)


@time.command("advance", epilog=example("./cached-auth cloud time advance 2h30m"))
@click.argument("duration")
@json_option
def advance(duration: str, is_json: bool) -> int:
    """Move it forward. It never goes back; `cloud reset` starts over with this machine's time."""
    advance_s = parse_duration(duration, "DURATION", "./cached-auth cloud time advance --help")
    return _tell(require_cloud(open_home()).ask("POST", "/_local/time", {"advance_s": advance_s}), is_json)


def _tell(answer: dict[str, Any], is_json: bool) -> int:
    screen = Screen(is_json)
    if is_json:
        screen.result(answer)
    else:
        screen.say(f"{answer['now']}  ({duration_text(answer['offset_s'])} ahead of this machine)")
    return 0
