"""`cloud domain`: the DNS record of a custom domain, as the local cloud believes it."""

from __future__ import annotations

import click

from infra.cli.cloud import require_cloud
from infra.cli.home import open_home
from infra.cli.options import example, json_option
from infra.cli.screen import Screen


@click.command("domain", epilog=example("./cached-auth cloud domain api.example.com --dns set"))
@click.argument("name")
@click.option("--dns", type=click.Choice(["set", "missing"]), required=True, help="Whether its record is where it should be.")
@json_option
def domain(name: str, dns: str, is_json: bool) -> int:
    """Say whether a custom domain has its DNS record.

    Its record is then PROPAGATED and it is verified; its certificate is issued a minute later, by the cloud's clock. It is
    served from the beginning, to whoever names it as Host.
    """
    answer = require_cloud(open_home()).ask("POST", "/_local/domains", {"domain": name, "has_record": dns == "set"})
    screen = Screen(is_json)
    if is_json:
        screen.result(answer)
    else:
        screen.say(f"DNS record of {answer['domain']}: {dns}")
    return 0
