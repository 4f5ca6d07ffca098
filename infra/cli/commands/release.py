"""`release`: immutable releases, named by their digest."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from infra.cli.home import ROOT, open_home
from infra.cli.options import example, json_option, stack_argument
from infra.cli.screen import Screen


@click.group("release", epilog=example("./cached-auth release build", "./cached-auth release ls"))
def command() -> None:
    """Build an immutable release, or list those built."""


@command.command("build", epilog=example("./cached-auth promote dev --release $(./cached-auth release build)"))
@json_option
def build(is_json: bool) -> int:
    """Build the service as it stands in this clone; prints its digest. Equal sources give the same digest."""
    from infra.release import build_release

    screen = Screen(is_json)
    release = build_release(ROOT, open_home().releases)
    if is_json:
        screen.result({"release": release.digest, "path": str(release.path)})
    else:
        print(release.digest)
    return 0


@command.command("ls", epilog=example("./cached-auth release ls"))
@json_option
def ls(is_json: bool) -> int:
    """The releases on this machine, newest first."""
    screen = Screen(is_json)
    files = sorted(open_home().releases.glob("*.tar.gz"), key=lambda path: path.stat().st_mtime, reverse=True)
    rows = [
        {
            "release": f"sha256:{path.name.removesuffix('.tar.gz')}",
            "built": f"{datetime.fromtimestamp(path.stat().st_mtime, UTC):%Y-%m-%d %H:%M:%SZ}",
            "bytes": path.stat().st_size,
        }
        for path in files
    ]
    if is_json:
        screen.result(rows)
    elif rows:
        screen.table(("release", "built", "bytes"), [(str(r["release"]), str(r["built"]), str(r["bytes"])) for r in rows])
    else:
        screen.say("no release has been built here; next: ./cached-auth release build")
    return 0


@command.command("unpin", epilog=example("./cached-auth release unpin dev"))
@stack_argument
def unpin(stack: str) -> int:
    """Let every region of STACK follow its `release` again.

    STACK (default dev) forgets what a promotion pinned.
    """
    from infra.cli.promotion import PINS
    from infra.cli.session import open_session

    screen = Screen()
    open_session(screen, stack, create=False).deployment.remove_config([PINS])
    screen.say(f"{stack} follows its `release` again; next: ./cached-auth preview {stack}")
    return 0
