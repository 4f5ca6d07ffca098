"""`python -m infra.cli`, which the launcher runs as `./cached-auth`.

Each command lives in one file under commands/ and is imported only when it is asked for, so that `--help` and a wrong
word answer at once.
"""

from __future__ import annotations

import importlib
import sys

import click

from infra.cli.errors import FAILED, INTERRUPTED, USAGE, CliError
from infra.cli.screen import error

COMMANDS = {
    "up": ("deploy_up", "Preview, deploy and prove with load: the whole job in one command."),
    "preview": ("deploy_preview", "Show what `up` would do, change by change."),
    "refresh": ("deploy_refresh", "Compare the state with what really runs, and take over what differs."),
    "destroy": ("deploy_destroy", "Delete everything that a stack deployed."),
    "outputs": ("outputs", "Endpoints per region and the release that serves there."),
    "status": ("status", "What runs now: replicas, databases, caches, gate."),
    "logs": ("logs", "The newest lines that a region's replicas wrote."),
    "render": ("render", "Render railway.toml (or the Dockerfile) of a stack to the screen."),
    "loadtest": ("loadtest", "Run the load gate against a deployed stack."),
    "promote": ("promote", "Move a release region by region, a gate after each, and back if one fails."),
    "release": ("release", "Build an immutable release, or list those built."),
    "cancel": ("cancel", "Free the lock that a dead run left on a stack."),
    "cloud": ("cloud", "Start, stop or inspect the local cloud by itself."),
    "doctor": ("doctor", "Check this machine for everything that `up` needs."),
    "test": ("test", "Run the project's tests."),
}


VERBOSE = "--verbose"


class Commands(click.Group):
    """A group whose members are imported on demand."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"infra.cli.commands.{COMMANDS[name][0]}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.command(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Example: ./cached-auth up          (deploys the dev stack on this machine and proves it with load)",
)
@click.option(VERBOSE, is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name=None, version="0.1.0", prog_name="cached-auth", message="%(prog)s %(version)s")
def main(verbose: bool) -> None:
    """Deploy a fast and safe multi-region authentication cache, see every change first, prove it with load.

    STACK is dev, staging or prod: one Pulumi.<stack>.yaml each; dev runs whole on this machine.
    """


def run(arguments: list[str]) -> int:
    """Runs one command; every failure ends as one line, one `next:` line and its exit code.

    `--verbose` may stand anywhere; only `test` hands it on, because pytest has one of its own.
    """
    is_verbose = VERBOSE in arguments and arguments[:1] != ["test"]
    arguments = [word for word in arguments if word != VERBOSE] if is_verbose else arguments
    try:
        code = main.main(args=arguments, prog_name="cached-auth", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except CliError as failure:
        error(failure.message, failure.next_command, failure.details)
        if is_verbose and failure.__cause__ is not None:
            raise
        return failure.exit_code
    except click.exceptions.NoArgsIsHelpError as failure:
        print(failure.format_message())
        return USAGE
    except click.UsageError as failure:
        context = failure.ctx.command_path if failure.ctx else "cached-auth"
        # click spreads the values of a choice over lines.
        error(" ".join(failure.format_message().split()), f"./{context} --help")
        return USAGE
    except (click.Abort, KeyboardInterrupt):
        error("stopped", None)
        return INTERRUPTED
    except BrokenPipeError:
        return FAILED
    except OSError as failure:
        if is_verbose:
            raise
        error(f"{failure.filename or 'system'}: {failure.strerror or failure}", "./cached-auth doctor")
        return FAILED


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
