"""`test`: the project's tests."""

from __future__ import annotations

import os
import subprocess
import sys

import click

from infra.cli.home import ROOT
from infra.cli.options import example


@click.command(
    "test",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog=example("./cached-auth test", "./cached-auth test tests/service -k revoke", "./cached-auth test -m 'not story'"),
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[PYTEST ARGUMENTS]")
def command(arguments: tuple[str, ...]) -> int:
    """Run the tests (all of them, or what pytest's own arguments select)."""
    environment = {key: value for key, value in os.environ.items() if key != "CACHED_AUTH_HOME" and not key.startswith("PULUMI_")}
    # Three workers for two cores: a third of the time a test waits for processes, links and deadlines. Who has nothing left to
    # do takes half of what another has: a module's tests stay together, and with them what they share.
    words = arguments or ("-n", "3", "--dist", "worksteal", "-q")
    return subprocess.run([sys.executable, "-m", "pytest", *words], cwd=ROOT, env=environment, check=False).returncode
