"""`loadtest`: the gate by itself."""

from __future__ import annotations

from pathlib import Path

import click

from infra.cli.commands.deploy_up import prove
from infra.cli.endpoints import stack_document
from infra.cli.errors import UsageError
from infra.cli.gate import GateOptions, exit_code_of
from infra.cli.options import example, json_option, seeding_option, slo_option, stack_argument
from infra.cli.screen import Screen
from infra.cli.session import open_session
from infra.cli.verdict_table import show_verdict


@click.command(
    "loadtest", epilog=example("./cached-auth loadtest dev", "./cached-auth loadtest dev --region us-west2 --duration-s 30")
)
@stack_argument
@click.option("--region", help="Only this region.")
@click.option("--duration-s", type=click.FloatRange(1, 3600), help="Measured seconds; the SLO file's own where not given.")
@click.option("--allow-remote", is_flag=True, help="Send load to hosts that are not this machine.")
@seeding_option
@slo_option
@json_option
def command(
    stack: str, region: str | None, duration_s: float | None, allow_remote: bool, allow_seeding: bool, slo: Path, is_json: bool
) -> int:
    """Measure STACK (default dev) against loadtests/slo.yaml. Exit code 0 pass, 10 fail, 12 could not measure."""
    screen = Screen(is_json)
    session = open_session(screen, stack, starts_cloud=False, create=False)
    outputs = stack_document(session)
    if region is not None and region not in outputs["regions"]:
        raise UsageError(
            f"--region: expected one of {', '.join(outputs['regions'])}, got {region!r}", f"./cached-auth loadtest {stack}"
        )
    gate = prove(session, outputs, GateOptions(slo, region, duration_s, allow_remote, allow_seeding))
    show_verdict(screen, gate)
    if is_json:
        screen.result({"stack": stack, "operation": "loadtest", **gate.document()})
    return exit_code_of(gate)
