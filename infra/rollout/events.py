"""What happens in a promotion. These records are the journal's lines and the screen's events alike."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

import msgspec


class Outcome(StrEnum):
    """A gate's verdict. Only PASS promotes; only FAIL says something about the release."""

    PASS = "pass"  # noqa: S105  a verdict, not a password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    INVALID = "invalid"


class Begun(msgspec.Struct, frozen=True, tag="begun"):
    """The whole intention, so that a driver that finds the journal needs to know nothing else.

    `waves` are the regions that change, in order. `previous` has every region of the stack.
    """

    id: str
    stack: str
    release: str
    previous: Mapping[str, str]
    waves: tuple[str, ...]
    hold_after: tuple[str, ...]
    who: str


class DeployStarted(msgspec.Struct, frozen=True, tag="deploy-started"):
    region: str


class DeployFinished(msgspec.Struct, frozen=True, tag="deploy-finished"):
    region: str


class DeployBroke(msgspec.Struct, frozen=True, tag="deploy-broke"):
    region: str
    message: str
    last_lines: tuple[str, ...] = ()


class GateStarted(msgspec.Struct, frozen=True, tag="gate-started"):
    """`attempt` counts from 1."""

    region: str
    attempt: int


class Judged(msgspec.Struct, frozen=True, tag="judged"):
    region: str
    attempt: int
    outcome: Outcome
    summary: str


class Held(msgspec.Struct, frozen=True, tag="held"):
    """Waiting for a person, with every region up to and including this one on the new release."""

    region: str


class HoldLifted(msgspec.Struct, frozen=True, tag="hold-lifted"):
    region: str
    who: str


class ReturnAsked(msgspec.Struct, frozen=True, tag="return-asked"):
    """A person decided against the release."""

    who: str
    reason: str


class ReturnStarted(msgspec.Struct, frozen=True, tag="return-started"):
    region: str


class ReturnFinished(msgspec.Struct, frozen=True, tag="return-finished"):
    region: str


class ReturnBroke(msgspec.Struct, frozen=True, tag="return-broke"):
    region: str
    message: str


class Promoted(msgspec.Struct, frozen=True, tag="promoted"):
    """Every region serves the new release."""


class Returned(msgspec.Struct, frozen=True, tag="returned"):
    """Every region serves its previous release."""


Event: TypeAlias = (
    Begun
    | DeployStarted
    | DeployFinished
    | DeployBroke
    | GateStarted
    | Judged
    | Held
    | HoldLifted
    | ReturnAsked
    | ReturnStarted
    | ReturnFinished
    | ReturnBroke
    | Promoted
    | Returned
)


class Record(msgspec.Struct, frozen=True):
    """One line of a journal. `number` counts from 1 without a gap; `at` is in UTC."""

    number: int
    at: datetime
    event: Event
