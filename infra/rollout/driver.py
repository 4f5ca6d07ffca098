"""Drives a promotion: takes the next step, records that it begins, does it, records how it ended."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from infra.rollout import events as ev
from infra.rollout import history, plan
from infra.rollout.errors import DeployFailed, NothingToDo, Quarantined, ReturnStalled, Unfinished
from infra.rollout.events import Event, Outcome
from infra.rollout.journal import Journal, journals, load, stack_folder
from infra.rollout.lock import only_one
from infra.rollout.plan import Phase, State

RETURN_ATTEMPTS_MAX = 3
RETURN_PAUSE_S = 2.0
LAST_LINES_MAX = 20


class Deployer(Protocol):
    """Brings releases about."""

    async def deploy(self, stack: str, releases: Mapping[str, str]) -> None:
        """Every region serves its release when this returns. Must be repeatable. Raises DeployFailed."""
        ...


class Verdict(Protocol):
    """As much of a verdict as promotion reads. `summary` is one line, with the number and its limit."""

    @property
    def outcome(self) -> str: ...
    @property
    def summary(self) -> str: ...


class Gate(Protocol):
    """Measures a region under load."""

    async def judge(self, stack: str, region: str, release: str) -> Verdict:
        """A verdict on this release in this region. What cannot be measured is an `invalid` verdict, not an exception."""
        ...


@dataclass(frozen=True, slots=True)
class Request:
    """What to promote. `serving` is what every region of the stack serves now (region -> digest).

    `hold_after`: regions after which to wait for a person. `retries_failed` lifts the quarantine of the release.
    """

    release: str
    serving: Mapping[str, str]
    primary: str
    canary: str | None = None
    hold_after: tuple[str, ...] = ()
    retries_failed: bool = False


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Promoter:
    """Promotions of one stack. `rollouts` is `<home>/rollouts`; `who` is written into lock and journal.

    `listener` gets every event after it is on disk, in order; it must not raise.
    """

    rollouts: Path
    stack: str
    who: str
    deployer: Deployer
    gate: Gate
    listener: Callable[[Event], None] = lambda event: None
    now: Callable[[], datetime] = _utc_now
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def promote(self, request: Request) -> State:
        """A new promotion, to its end or its first hold. Raises PromotionRefused, ReturnStalled."""
        folder = stack_folder(self.rollouts, self.stack)
        with only_one(folder, self.who, self.now()):
            begun = self._admitted(request, [load(path)[0] for path in journals(folder)])
            journal = Journal.create(folder, self.now, begun)
            self.listener(begun)
            return await self._drive(journal)

    async def resume(self) -> State:
        """The unfinished promotion, on from where it stands; a hold is lifted. Raises PromotionRefused, ReturnStalled."""
        folder = stack_folder(self.rollouts, self.stack)
        with only_one(folder, self.who, self.now()):
            journal = self._unfinished(folder)
            if journal.state.phase is Phase.HELD:
                region = journal.state.begun.waves[journal.state.position - 1]
                self._record(journal, ev.HoldLifted(region, self.who))
            return await self._drive(journal)

    async def send_back(self, reason: str) -> State:
        """The unfinished promotion, back to the releases before it. Raises PromotionRefused, ReturnStalled."""
        folder = stack_folder(self.rollouts, self.stack)
        with only_one(folder, self.who, self.now()):
            journal = self._unfinished(folder)
            if journal.state.phase is not Phase.RETURNING:
                self._record(journal, ev.ReturnAsked(self.who, reason))
            return await self._drive(journal)

    def _admitted(self, request: Request, earlier: list[State]) -> ev.Begun:
        waiting = history.unfinished(earlier)
        if waiting is not None:
            message = f"promotion {waiting.begun.id} of {self.stack} is {waiting.phase}; resume it or return it first"
            raise Unfinished(message, f"./cached-auth promote {self.stack} --resume")
        verdict = history.failed_gate(earlier, request.release)
        if verdict is not None and not request.retries_failed:
            message = f"{request.release} is in quarantine: {verdict.summary} in {verdict.region}"
            raise Quarantined(message, f"./cached-auth promote {self.stack} --release {request.release} --retry-failed")
        plan.check_regions(tuple(request.serving), "hold_after", request.hold_after)
        order = plan.waves(tuple(request.serving), request.primary, request.canary)
        changing = tuple(region for region in order if request.serving[region] != request.release)
        if not changing:
            raise NothingToDo(f"every region of {self.stack} serves {request.release} already")
        rollout_id = f"{self.now():%Y%m%dT%H%M%S.%fZ}-{secrets.token_hex(2)}"
        holds = tuple(region for region in order if region in request.hold_after)
        return ev.Begun(rollout_id, self.stack, request.release, dict(request.serving), changing, holds, self.who)

    def _unfinished(self, folder: Path) -> Journal:
        for path in reversed(list(journals(folder))):
            if not load(path)[0].is_final:
                return Journal.reopen(path, self.now)
        raise NothingToDo(f"no promotion of {self.stack} is unfinished")

    async def _drive(self, journal: Journal) -> State:
        while True:
            match plan.next_step(journal.state):
                case plan.Deploy(region, releases):
                    await self._deploy(journal, region, releases)
                case plan.Judge(region, attempt):
                    await self._judge(journal, region, attempt)
                case plan.BringBack(region, releases):
                    await self._bring_back(journal, region, releases)
                case plan.Note(event):
                    self._record(journal, event)
                case plan.Stop():
                    return journal.state

    async def _deploy(self, journal: Journal, region: str, releases: Mapping[str, str]) -> None:
        self._record(journal, ev.DeployStarted(region))
        try:
            await self.deployer.deploy(self.stack, releases)
        except DeployFailed as exc:
            self._record(journal, ev.DeployBroke(region, exc.message, exc.last_lines[-LAST_LINES_MAX:]))
        else:
            self._record(journal, ev.DeployFinished(region))

    async def _judge(self, journal: Journal, region: str, attempt: int) -> None:
        self._record(journal, ev.GateStarted(region, attempt))
        verdict = await self.gate.judge(self.stack, region, journal.state.begun.release)
        self._record(journal, ev.Judged(region, attempt, _outcome(verdict.outcome), verdict.summary))

    async def _bring_back(self, journal: Journal, region: str, releases: Mapping[str, str]) -> None:
        """Tries a few times: while a region serves neither what was nor what shall be, giving up is the worst answer."""
        for attempt in range(1, RETURN_ATTEMPTS_MAX + 1):
            self._record(journal, ev.ReturnStarted(region))
            try:
                await self.deployer.deploy(self.stack, releases)
            except DeployFailed as exc:
                self._record(journal, ev.ReturnBroke(region, exc.message))
                if attempt == RETURN_ATTEMPTS_MAX:
                    raise ReturnStalled(region, exc.message, f"./cached-auth promote {self.stack} --resume") from exc
                await self.pause(RETURN_PAUSE_S * attempt)
            else:
                self._record(journal, ev.ReturnFinished(region))
                return

    def _record(self, journal: Journal, event: Event) -> None:
        journal.append(event)
        self.listener(event)


def _outcome(text: str) -> Outcome:
    """An outcome this room does not know is not a pass."""
    try:
        return Outcome(text)
    except ValueError:
        return Outcome.INVALID
