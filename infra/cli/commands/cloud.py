"""`cloud`: the local cloud by itself."""

from __future__ import annotations

from typing import Any

import click

from infra.cli.cloud import find_cloud, remove_cloud, require_cloud, run_daemon_command, start_cloud
from infra.cli.commands.cloud_database import database
from infra.cli.commands.cloud_domain import domain
from infra.cli.commands.cloud_fault import fault
from infra.cli.commands.cloud_time import time
from infra.cli.confirm import confirm
from infra.cli.home import open_home
from infra.cli.options import example, json_option, yes_option
from infra.cli.screen import Screen


@click.group("cloud", epilog=example("./cached-auth cloud start", "./cached-auth cloud status"))
def command() -> None:
    """Railway and Supabase on this machine: start it, stop it, see what runs in it."""


command.add_command(database)
command.add_command(domain)
command.add_command(fault)
command.add_command(time)


@command.command("start", epilog=example("./cached-auth cloud start --rtt-ms 140"))
@click.option("--rtt-ms", type=click.FloatRange(0, 2000), help="Round-trip time between regions (default 20 ms, or what it was).")
@json_option
def start(rtt_ms: float | None, is_json: bool) -> int:
    """Start it; what was deployed in it comes back."""
    screen = Screen(is_json)
    cloud = start_cloud(open_home(), rtt_ms)
    screen.say(f"local cloud: {cloud.url}  (GraphQL at {cloud.url}/graphql/v2, token in {cloud.token_file})")
    page = cloud.page_link()
    screen.say(f"page: {page}  (opens once, within five minutes; another: ./cached-auth cloud page)")
    if is_json:
        screen.result({"url": cloud.url, "token_file": str(cloud.token_file), "page": page})
    return 0


@command.command("page", epilog=example("./cached-auth cloud page"))
@json_option
def page(is_json: bool) -> int:
    """A link to its page.

    There: regions, replicas, deployments, logs, traffic and the switches of faults. It opens once, within five minutes.
    """
    screen = Screen(is_json)
    link = require_cloud(open_home()).page_link()
    screen.say(link)
    if is_json:
        screen.result({"url": link})
    return 0


@command.command("stop", epilog=example("./cached-auth cloud stop"))
@json_option
def stop(is_json: bool) -> int:
    """Stop it and all its processes; its data stays."""
    screen, home = Screen(is_json), open_home()
    was_running = find_cloud(home) is not None
    if was_running:
        with screen.step("stopping the local cloud"):
            run_daemon_command(home, "stop")
    else:
        screen.say("the local cloud is not running")
    if is_json:
        screen.result({"stopped": was_running})
    return 0


@command.command("status", epilog=example("./cached-auth cloud status --json"))
@json_option
def status(is_json: bool) -> int:
    """What runs in it, under the names that `cloud fault` takes."""
    document = require_cloud(open_home()).status()
    screen = Screen(is_json)
    if is_json:
        screen.result(document)
        return 0
    screen.say(f"local cloud at {document['url']}, its time {document['time']['now']}")
    rows = [_row(found) for kind in ("replicas", "caches", "databases") for found in document[kind]]
    rows += [_gateway_row(found, found["api"]) for found in document["databases"] if "name" in found.get("api", {})]
    if rows:
        screen.table(("NAME", "REGION", "STATUS", "PID", "WHERE"), rows)
    else:
        screen.note("nothing is deployed")
    for found in document["links"]:
        faults = [name for name in ("cut", "partitioned", "jitter_ms", "loss_rate") if found[name]]
        if faults:
            screen.say(f"link {found['from']} -> {found['to']}: {', '.join(faults)}")
    return 0


def _row(found: dict[str, Any]) -> tuple[str, ...]:
    where = found.get("url") if found.get("role") is None else f"{found['address']}:5432"
    return (found["name"], found["region"], _status(found, found["status"]), str(found["pid"] or "-"), str(where))


def _gateway_row(database: dict[str, Any], api: dict[str, Any]) -> tuple[str, ...]:
    status = _status(api, "RUNNING" if api["pid"] else "STOPPED")
    return (api["name"], database["region"], status, str(api["pid"] or "-"), database["url"])


def _status(found: dict[str, Any], status: str) -> str:
    # `get`: a daemon that was started before the last update of this clone may know less.
    return "DOWN" if found.get("is_held") else "PAUSED" if found.get("is_paused") else status


@command.command("reset", epilog=example("./cached-auth cloud reset --yes"))
@yes_option
@json_option
def reset(is_sure: bool, is_json: bool) -> int:
    """Stop it and delete its data."""
    screen = Screen(is_json)
    confirm(screen, "Delete the local cloud with all its databases?", is_sure, "./cached-auth cloud reset --yes")
    with screen.step("resetting the local cloud"):
        remove_cloud(open_home())
    if is_json:
        screen.result({"reset": True})
    return 0
