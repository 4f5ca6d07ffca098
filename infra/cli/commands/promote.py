"""`promote`: a release moves region by region, a gate after each; one that fails sends every region back."""

from __future__ import annotations

import asyncio
import getpass
import re
import socket
from pathlib import Path

import click

from infra.cli.confirm import confirm
from infra.cli.endpoints import short, stack_document
from infra.cli.errors import DONE, FAILED, GATE_FAILED, GATE_UNMEASURED, CliError, OperationFailed, UsageError
from infra.cli.gate import GateOptions
from infra.cli.home import Home
from infra.cli.options import example, json_option, seeding_option, slo_option, yes_option
from infra.cli.promotion import RegionGate, StackDeployer, show_event
from infra.cli.screen import Screen
from infra.cli.session import Session, open_session
from infra.rollout.driver import Promoter, Request
from infra.rollout.errors import JournalDamaged, PromotionRefused, ReturnStalled
from infra.rollout.events import Judged, Outcome
from infra.rollout.plan import Phase, State
from infra.rollout.why import why

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
EPILOG = example(
    "./cached-auth promote dev --release $(./cached-auth release build)",
    "./cached-auth promote prod --release sha256:... --hold-after us-west2",
    "./cached-auth promote prod --resume",
)


@click.command("promote", epilog=EPILOG)
@click.argument("stack", default="dev", metavar="[STACK]")
@click.option("--release", "digest", help="The release to promote, sha256:<64 hex digits>.")
@click.option("--canary", metavar="REGION", help="Goes first; by default every region goes before the primary.")
@click.option("--hold-after", multiple=True, metavar="REGION", help="Wait for a person after this region (repeatable).")
@click.option("--resume", is_flag=True, help="Go on with a promotion that was interrupted or is held.")
@click.option("--send-back", metavar="REASON", help="Return an unfinished promotion to the releases before it.")
@click.option("--retry-failed", is_flag=True, help="Promote a release although it failed a gate here.")
@slo_option
@seeding_option
@yes_option
@json_option
def command(
    stack: str,
    digest: str | None,
    canary: str | None,
    hold_after: tuple[str, ...],
    resume: bool,
    send_back: str | None,
    retry_failed: bool,
    slo: Path,
    allow_seeding: bool,
    is_sure: bool,
    is_json: bool,
) -> int:
    """Move a release through the regions of STACK (default dev), one at a time, a load gate after each.

    A gate or a deployment that fails brings every region back to what it served before. Exit code 0 when promoted or
    held, 10 when returned because a gate failed, 12 when returned because a gate could not measure, 1 otherwise.
    """
    if sum((digest is not None, resume, send_back is not None)) != 1:
        raise UsageError("promote: expected one of --release, --resume, --send-back", "./cached-auth promote --help")
    screen = Screen(is_json)
    session = open_session(screen, stack, starts_cloud=True, create=False)
    if not session.file.is_local:
        confirm(screen, f"Change what {stack} serves?", is_sure, "repeat the command with --yes")
    if digest is not None:
        check_release(session.home, digest)
    outputs = stack_document(session)
    promoter = build_promoter(session, GateOptions(slo, allow_remote=not session.file.is_local, allow_seeding=allow_seeding))
    with_request = None
    if digest is not None:
        serving = {name: str(region["release"]) for name, region in outputs["regions"].items()}
        primary = next(name for name, region in outputs["regions"].items() if region["url"] == outputs["endpoint"])
        with_request = Request(digest, serving, primary, canary, hold_after, retry_failed)
    state = drive(promoter, with_request, send_back, stack)
    screen.say(screen.paint(why(state), "good" if state.phase in (Phase.PROMOTED, Phase.HELD) else "bad"))
    if is_json:
        document = {"stack": stack, "operation": "promote", "phase": str(state.phase), "release": state.begun.release}
        screen.result({**document, "why": why(state), "exit_code": exit_code(state)})
    return exit_code(state)


def check_release(home: Home, digest: str) -> None:
    if not DIGEST.fullmatch(digest):
        raise UsageError(f"--release: expected sha256:<64 hex digits>, got {digest!r}", "./cached-auth release ls")
    if not (home.releases / f"{digest.removeprefix('sha256:')}.tar.gz").exists():
        raise UsageError(f"--release: {short(digest)}.. is not on this machine", "./cached-auth release build, or release ls")


def build_promoter(session: Session, options: GateOptions) -> Promoter:
    who = f"{getpass.getuser()}@{socket.gethostname()}"
    rollouts = session.home.rollouts
    rollouts.mkdir(mode=0o700, exist_ok=True)
    return Promoter(
        rollouts,
        session.file.name,
        who,
        StackDeployer(session),
        RegionGate(session, options),
        lambda event: show_event(session.screen, session.file.name, event),
    )


def drive(promoter: Promoter, request: Request | None, send_back: str | None, stack: str) -> State:
    """To the promotion's end or its next hold; its refusals in the commands' words."""
    try:
        if request is not None:
            return asyncio.run(promoter.promote(request))
        if send_back is not None:
            return asyncio.run(promoter.send_back(send_back))
        return asyncio.run(promoter.resume())
    except PromotionRefused as error:
        raise UsageError(str(error), error.next_command or f"./cached-auth status {stack}") from error
    except ReturnStalled as error:
        raise OperationFailed(str(error), error.next_command) from error
    except JournalDamaged as error:
        raise OperationFailed(str(error), f"./cached-auth status {stack}") from error
    except KeyboardInterrupt:
        raise CliError("the promotion was stopped; its journal stands", f"./cached-auth promote {stack} --resume") from None


def exit_code(state: State) -> int:
    if state.phase in (Phase.PROMOTED, Phase.HELD):
        return DONE
    if isinstance(state.cause, Judged):
        return GATE_FAILED if state.cause.outcome is Outcome.FAIL else GATE_UNMEASURED
    return FAILED
