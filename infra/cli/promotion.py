"""What a promotion needs done, done with the engine and the gate.

A release reaches a region by its pin (`cached-auth:releases`, region -> digest) and an `up`: the same path as any other
change, so that a promotion leaves nothing that a later `up` would undo.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace

from infra.cli.commands.deploy_up import deploy, prove
from infra.cli.endpoints import short, stack_document
from infra.cli.errors import Interrupted, OperationFailed
from infra.cli.gate import GateOptions
from infra.cli.screen import Screen
from infra.cli.session import Session
from infra.cli.verdict_table import show_verdict
from infra.rollout import events as ev
from infra.rollout.errors import DeployFailed
from loadtests.verdict import Outcome, Verdict

PINS = "cached-auth:releases"


def pinned(session: Session, releases: Mapping[str, str]) -> None:
    """Writes the pins; what runs changes with the next `up`."""
    session.deployment.set_config({f"{PINS}.{region}": digest for region, digest in releases.items()}, is_path=True)


@dataclass(frozen=True, slots=True)
class StackDeployer:
    """`infra.rollout.driver.Deployer`: pins, then `up`."""

    session: Session

    async def deploy(self, stack: str, releases: Mapping[str, str]) -> None:
        try:
            await asyncio.to_thread(self._deploy, releases)
        except Interrupted:
            raise KeyboardInterrupt from None
        except OperationFailed as error:
            raise DeployFailed(error.message, error.details.splitlines()) from error

    def _deploy(self, releases: Mapping[str, str]) -> None:
        pinned(self.session, releases)
        deploy(self.session)


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict as promotion reads it: one word and one line."""

    outcome: str
    summary: str


@dataclass(frozen=True, slots=True)
class RegionGate:
    """`infra.rollout.driver.Gate`: the load gate on one region."""

    session: Session
    options: GateOptions

    async def judge(self, stack: str, region: str, release: str) -> Judgement:
        """A gate that could not run is an invalid verdict."""
        try:
            return await asyncio.to_thread(self._judge, region, release)
        except OperationFailed as error:
            return Judgement(Outcome.INVALID, error.message)

    def _judge(self, region: str, release: str) -> Judgement:
        outputs = stack_document(self.session)
        serving = outputs["regions"][region]["release"]
        if serving != release:
            return Judgement(Outcome.INVALID, f"{region} serves {short(serving)}, not {short(release)}")
        gate = prove(self.session, outputs, replace(self.options, region=region))
        show_verdict(self.session.screen, gate)
        return Judgement(gate.verdict.outcome, summary_of(gate.verdict))


def summary_of(verdict: Verdict) -> str:
    """The first row that did not pass, with its number and its limit; for a pass the tightest margin."""
    failed = [row for row in verdict.rows if row.outcome is not Outcome.PASS]
    if verdict.outcome is Outcome.PASS or not (failed or verdict.reasons):
        margins = [row for row in verdict.rows if row.margin is not None and row.n]
        tightest = min(margins, key=lambda row: row.margin or 0.0, default=None)
        return (
            f"tightest: {tightest.scenario} {tightest.target}, {tightest.measured:.4g} {tightest.unit}" if tightest else "passed"
        )
    if failed and verdict.outcome is Outcome.FAIL:
        row = next(row for row in failed if row.outcome is Outcome.FAIL)
        measured = "not measured" if row.measured is None else f"{row.measured:.4g} {row.unit}"
        return f"{row.scenario} {row.target}: {measured}"
    return verdict.reasons[0] if verdict.reasons else f"{failed[0].scenario} {failed[0].target}: {failed[0].outcome}"


def show_event(screen: Screen, stack: str, event: ev.Event) -> None:
    """One line per thing that happened, after it is in the journal."""
    match event:
        case ev.Begun(release=release, waves=waves):
            line = f"promotion of {short(release)}: {' -> '.join(waves)}"
        case ev.DeployStarted(region=region):
            line = f"{region}: deploying"
        case ev.DeployFinished(region=region):
            line = f"{region}: deployed"
        case ev.DeployBroke(region=region, message=message):
            line = screen.paint(f"{region}: deployment failed: {message}", "bad")
        case ev.GateStarted(region=region, attempt=attempt):
            line = f"{region}: gate{'' if attempt == 1 else f' (attempt {attempt})'}"
        case ev.Judged(region=region, outcome=outcome, summary=summary):
            line = screen.paint(f"{region}: {outcome}: {summary}", "good" if outcome is ev.Outcome.PASS else "bad")
        case ev.Held(region=region):
            line = f"held after {region}; next: ./cached-auth promote {stack} --resume, or --send-back REASON"
        case ev.ReturnStarted(region=region):
            line = screen.paint(f"{region}: returning to its previous release", "warn")
        case ev.ReturnFinished(region=region):
            line = f"{region}: returned"
        case ev.ReturnBroke(region=region, message=message):
            line = screen.paint(f"{region}: could not be returned yet: {message}", "bad")
        case _:
            line = type(event).__name__.lower()
    screen.heading(line)
