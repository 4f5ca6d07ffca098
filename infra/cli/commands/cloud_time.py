"""`cloud time`: the local cloud's own clock."""

from __future__ import annotations

import re

import click

from infra.cli.cloud import require_cloud
from infra.cli.errors import UsageError
from infra.cli.home import open_home
from infra.cli.options import example, json_option
from infra.cli.screen import Screen

UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
DURATION = re.compile(r"(?:\d+(?:\.\d+)?[smhd])+")
PART = re.compile(r"(\d+(?:\.\d+)?)([smhd])")


def parse_duration(text: str) -> float:
    """Seconds of `90s`, `2h30m`, `7d`. UsageError."""
    if not DURATION.fullmatch(text):
        raise UsageError(
            f"DURATION: expected e.g. 90s, 2h30m or 7d, got {text[:40]!r}", "./cached-auth cloud time advance --help"
        )
    return sum(float(number) * UNIT_S[unit] for number, unit in PART.findall(text))


@click.group("time", epilog=example("./cached-auth cloud time show", "./cached-auth cloud time advance 2h30m"))
def time() -> None:
    """The local cloud's clock: back-off, schedules, overlap, hourly limits and all times it writes go by it.

    Processes (services, databases, Supabase's Auth) have this machine's time: a token expires when it really does.
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
    return _tell(require_cloud(open_home()).ask("POST", "/_local/time", {"advance_s": parse_duration(duration)}), is_json)


def _tell(answer: dict[str, object], is_json: bool) -> int:
    screen = Screen(is_json)
    if is_json:
        screen.result(answer)
    else:
        screen.say(f"{answer['now']}  ({answer['offset_s']:g} s ahead of this machine)")
    return 0
