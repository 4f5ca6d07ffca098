"""`render`: the files that a stack is deployed with, without a cloud and without an engine."""

from __future__ import annotations

import click

from infra.cli.configuration import checked_settings
from infra.cli.errors import UsageError
from infra.cli.options import example, json_option, stack_argument
from infra.cli.project import StackFile, read_stack_file
from infra.cli.screen import Screen

IAC = ".railway/railway.ts"


@click.command(
    "render",
    epilog=example(
        "./cached-auth render", "./cached-auth render prod --file Dockerfile", "./cached-auth render prod --format iac"
    ),
)
@stack_argument
@click.option("--file", "wanted", type=click.Choice(["railway.toml", "Dockerfile"]), default="railway.toml", show_default=True)
@click.option(
    "--format", "form", type=click.Choice(["toml", "iac"]), default="toml", show_default=True,
    help="iac: what Railway reads instead of railway.toml from 2026-12-01 on, .railway/railway.ts with all cells.",
)  # fmt: skip
@json_option
def command(stack: str, wanted: str, form: str, is_json: bool) -> int:
    """Render what STACK (default dev) is deployed with: railway.toml of each cell, or the service's Dockerfile."""
    screen = Screen(is_json)
    if form == "iac" and wanted == "Dockerfile":
        raise UsageError("--format: expected toml for the Dockerfile, got iac", "leave out --format or --file")
    files = rendered(read_stack_file(stack), IAC if form == "iac" else wanted)
    if is_json:
        screen.result(files)
        return 0
    for name, text in files.items():
        if len(files) > 1:
            screen.say(f"# ---- {name}")
        screen.say(text)
    return 0


def rendered(file: StackFile, wanted: str) -> dict[str, str]:
    """Name -> text. UsageError with every problem of the stack's configuration."""
    from infra.desired_state.rendering import RenderingError, render_dockerfile
    from infra.stack import railway_files, railway_iac

    try:
        if wanted == IAC:
            return {IAC: railway_iac(checked_settings(file), file.name)}
        return {wanted: render_dockerfile()} if wanted == "Dockerfile" else railway_files(checked_settings(file))
    except RenderingError as error:
        raise UsageError(str(error), f"edit {file.path.name}") from error
