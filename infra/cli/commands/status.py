"""`status`: what runs now."""

from __future__ import annotations

import json
from typing import Any

import click

from infra.cli.endpoints import public_document, short, stack_document
from infra.cli.options import example, json_option, stack_argument
from infra.cli.platform_api import deployment_status
from infra.cli.screen import Screen
from infra.cli.session import Session, open_session

TONES = {"SUCCESS": "good", "RUNNING": "good", "CRASHED": "bad", "FAILED": "bad"}


@click.command("status", epilog=example("./cached-auth status", "./cached-auth status dev --json"))
@stack_argument
@json_option
def command(stack: str, is_json: bool) -> int:
    """What runs of STACK (default dev): deployments per region, replicas, databases, caches, and the last gate's verdict."""
    screen = Screen(is_json)
    session = open_session(screen, stack, starts_cloud=False, create=False)
    outputs = public_document(stack_document(session))
    regions = {name: {**region, "status": deployment_status(session, region)} for name, region in outputs["regions"].items()}
    local = session.cloud.status() if session.cloud else {}
    gate = last_verdict(session)
    if is_json:
        screen.result({"stack": stack, "endpoint": outputs["endpoint"], "regions": regions, "local": local, "gate": gate})
        return 0
    show_regions(screen, regions)
    show_local(screen, local)
    if gate:
        screen.say()
        screen.say(f"last gate: {gate['outcome']}  {gate['report']}")
    return 0


def show_regions(screen: Screen, regions: dict[str, dict[str, Any]]) -> None:
    rows = [
        (
            name,
            region["status"],
            short(str(region.get("release", ""))),
            f"{len(region['replica_urls'])} replicas",
            str(region["url"]),
        )
        for name, region in regions.items()
    ]
    screen.table(("region", "deployment", "release", "replicas", "url"), rows, [TONES.get(row[1]) for row in rows])


def show_local(screen: Screen, local: dict[str, Any]) -> None:
    """The local cloud's processes; nothing for stacks on Railway, where one cannot see them."""
    columns = ("region", "service", "status", "pid", "url")
    rows = [tuple(str(replica.get(key) or "-") for key in columns) for replica in local.get("replicas", [])]
    if rows:
        screen.heading("replicas")
        screen.table(columns, rows, [TONES.get(row[2].upper()) for row in rows])
    for kind, shown in (("databases", ("name", "region", "status", "address")), ("caches", ("name", "region", "status", "url"))):
        rows = [tuple(str(entry.get(key) or "-") for key in shown) for entry in local.get(kind, [])]
        if rows:
            screen.heading(kind)
            screen.table(shown, rows)


def last_verdict(session: Session) -> dict[str, str] | None:
    """The newest report's outcome and page, or None where no gate has run."""
    for report in sorted(session.home.reports(session.file.name).glob("*/verdict.json"), reverse=True):
        try:
            return {"outcome": str(json.loads(report.read_text())["outcome"]), "report": str(report.with_name("report.html"))}
        except (OSError, ValueError, KeyError):
            continue
    return None
