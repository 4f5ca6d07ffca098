"""Arguments and options that commands share, so that they read and behave the same everywhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from infra.cli.home import SLO_FILE

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

stack_argument: Decorator = click.argument("stack", default="dev", metavar="[STACK]")
json_option: Decorator = click.option("--json", "is_json", is_flag=True, help="One JSON document on stdout; words on stderr.")
yes_option: Decorator = click.option("--yes", "-y", "is_sure", is_flag=True, help="Do not ask.")
slo_option: Decorator = click.option(
    "--slo",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=SLO_FILE,
    help="Targets and rates; loadtests/slo.yaml where not given.",
)
seeding_option: Decorator = click.option(
    "--allow-seeding", is_flag=True, help="Make the test users in a stack that is not on this machine."
)


def example(*lines: str) -> str:
    """The epilog of a command's --help."""
    return "\b\nExample:\n" + "\n".join(f"  {line}" for line in lines)
