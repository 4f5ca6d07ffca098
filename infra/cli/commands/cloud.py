"""`cloud`: the local cloud by itself."""

from __future__ import annotations

import json

import click

from infra.cli.cloud import find_cloud, remove_cloud, require_cloud, run_daemon_command, start_cloud
from infra.cli.confirm import confirm
from infra.cli.home import open_home
from infra.cli.options import example, json_option, yes_option
from infra.cli.screen import Screen


@click.group("cloud", epilog=example("./cached-auth cloud start", "./cached-auth cloud status"))
def command() -> None:
    """Railway and Supabase on this machine: start it, stop it, see what runs in it."""


@command.command("start", epilog=example("./cached-auth cloud start --rtt-ms 140"))
@click.option("--rtt-ms", type=click.FloatRange(0, 2000), help="Round-trip time between regions (default 20 ms, or what it was).")
@json_option
def start(rtt_ms: float | None, is_json: bool) -> int:
    """Start it; what was deployed in it comes back."""
    screen = Screen(is_json)
    cloud = start_cloud(open_home(), rtt_ms)
    screen.say(f"local cloud: {cloud.url}  (GraphQL at {cloud.url}/graphql/v2, token in {cloud.token_file})")
    if is_json:
        screen.result({"url": cloud.url, "token_file": str(cloud.token_file)})
    return 0


@command.command("stop", epilog=example("./cached-auth cloud stop"))
def stop() -> int:
    """Stop it and all its processes; its data stays."""
    screen, home = Screen(), open_home()
    if find_cloud(home) is None:
        screen.say("the local cloud is not running")
        return 0
    with screen.step("stopping the local cloud"):
        run_daemon_command(home, "stop")
    return 0


@command.command("status", epilog=example("./cached-auth cloud status --json"))
@json_option
def status(is_json: bool) -> int:
    """What runs in it."""
    document = require_cloud(open_home()).status()
    print(json.dumps(document, indent=2))
    return 0


@command.command("reset", epilog=example("./cached-auth cloud reset --yes"))
@yes_option
def reset(is_sure: bool) -> int:
    """Stop it and delete its data."""
    screen = Screen()
    confirm(screen, "Delete the local cloud with all its databases?", is_sure, "./cached-auth cloud reset --yes")
    with screen.step("resetting the local cloud"):
        remove_cloud(open_home())
    return 0
