"""`destroy`: nothing of the stack stays but its history, logs and reports."""

from __future__ import annotations

import shutil

import click

from infra.cli.cloud import remove_cloud
from infra.cli.confirm import confirm
from infra.cli.home import Home
from infra.cli.options import example, json_option, stack_argument, yes_option
from infra.cli.plan import counts_text
from infra.cli.progress import Progress
from infra.cli.screen import Screen
from infra.cli.session import open_session


@click.command("destroy", epilog=example("./cached-auth destroy dev --yes"))
@stack_argument
@yes_option
@json_option
def command(stack: str, is_sure: bool, is_json: bool) -> int:
    """Delete everything that STACK (default dev) deployed: replicas, caches, databases with their data.

    With the last local stack the local cloud ends too: no process, port or data is left.
    """
    screen = Screen(is_json)
    session = open_session(screen, stack, create=False)
    confirm(screen, f"Delete everything of {stack}, its data included?", is_sure, f"./cached-auth destroy {stack} --yes")
    screen.heading(f"destroy of {stack}")
    progress = Progress(screen)
    with progress.alive():
        session.deployment.destroy(progress.tally, progress)
    session.deployment.remove()
    shutil.rmtree(session.home.workspace(stack), ignore_errors=True)
    if session.cloud is not None and not other_local_stacks(session.home):
        with screen.step("ending the local cloud"):
            remove_cloud(session.home)
        for folder in (session.home.releases, session.home.path / "workspaces"):
            shutil.rmtree(folder, ignore_errors=True)
        session.home.passphrase.unlink(missing_ok=True)
    screen.say(f"  {counts_text(progress.tally.counts, is_done=True)}; kept: {session.home.path}/{{state,logs,reports}}")
    if is_json:
        screen.result({"stack": stack, "operation": "destroy", "changes": progress.tally.counts})
    return 0


def other_local_stacks(home: Home) -> list[str]:
    folder = home.path / "workspaces"
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
