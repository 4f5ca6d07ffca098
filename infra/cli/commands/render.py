"""`render`: the files that a stack is deployed with, without a cloud and without an engine."""

from __future__ import annotations

import json
from typing import Any

import click

from infra.cli.errors import UsageError
from infra.cli.options import example, json_option, stack_argument
from infra.cli.project import StackFile, read_stack_file
from infra.cli.screen import Screen

NAMESPACE = "cached-auth:"


@click.command("render", epilog=example("./cached-auth render", "./cached-auth render prod --file Dockerfile"))
@stack_argument
@click.option("--file", "wanted", type=click.Choice(["railway.toml", "Dockerfile"]), default="railway.toml", show_default=True)
@json_option
def command(stack: str, wanted: str, is_json: bool) -> int:
    """Render what STACK (default dev) is deployed with: railway.toml of each cell, or the service's Dockerfile."""
    screen = Screen(is_json)
    files = rendered(read_stack_file(stack), wanted)
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
    from infra.rendering import RenderingError, render_dockerfile
    from infra.settings import SettingsError, parse_settings
    from infra.stack import railway_files

    try:
        if wanted == "Dockerfile":
            return {wanted: render_dockerfile()}
        return railway_files(parse_settings(*texts(file)))
    except SettingsError as error:
        raise UsageError(error.problems[0], f"edit {file.path.name}", "\n".join(error.problems[1:])) from error
    except RenderingError as error:
        raise UsageError(str(error), f"edit {file.path.name}") from error


def texts(file: StackFile) -> tuple[dict[str, str], set[str]]:
    """The stack's values as Pulumi hands them to a program. Secrets are never rendered, so stand-ins of the right shape do."""
    from infra.settings import KEYS

    secret_names = {key.name for key in KEYS if key.is_secret and key.default is None}
    values = {
        key.removeprefix(NAMESPACE): value if isinstance(value, str) else json.dumps(value)
        for key, value in file.config.items()
        if key.startswith(NAMESPACE) and not is_encrypted(value)
    }
    return {**values, **dict.fromkeys(secret_names, "0" * 32)}, secret_names


def is_encrypted(value: Any) -> bool:
    return isinstance(value, dict) and "secure" in value
