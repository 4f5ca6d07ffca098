"""What a scenario is. Scenarios hold no Locust, no clock and no socket: they ask through a Session and check the answers."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec


@dataclass(frozen=True, slots=True)
class Person:
    """A seeded user. The password is the same for all of a stack's load-test users."""

    email: str
    password: str

    def __repr__(self) -> str:
        return f"Person({self.email!r}, password=[secret])"


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A user with a session, as the login answer told it."""

    email: str
    user_id: str
    session_id: str
    access_token: str

    def __repr__(self) -> str:
        return f"SignedIn({self.email!r}, token=[secret])"


@dataclass(frozen=True, slots=True)
class Ask:
    """One HTTP request. `region` None means the region the arrival belongs to."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, object] | None = None
    region: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """Status 0 and `error` where no answer came. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    error: str = ""

    def json(self) -> Mapping[str, object]:
        """The body as a JSON object; empty where it is none, so that the checks on its fields fail and say so."""
        try:
            document = msgspec.json.decode(self.body)
        except msgspec.DecodeError:
            return {}
        return document if isinstance(document, dict) else {}

    def summary(self) -> str:
        """For error examples. A good answer's body may hold tokens and is left out; a bad one's says why."""
        if self.error:
            return self.error
        excerpt = self.body[:160].decode(errors="replace") if self.status >= 400 else ""
        return f"status {self.status} {excerpt}".strip()


class Attempt:
    """One arrival's checks and observations."""

    def __init__(self, region: str, rng: random.Random) -> None:
        self.region = region
        self.rng = rng
        self.ran: list[str] = []
        self.failures: list[tuple[str, str]] = []
        self.cache_lookups: list[bool] = []
        self.seen_after: list[tuple[str, float]] = []

    def check(self, name: str, holds: bool, detail: str) -> bool:
        """Counts a check; `detail` is kept when it fails (secrets are cut out later)."""
        self.ran.append(name)
        if not holds:
            self.failures.append((name, detail))
        return holds


Judge = Callable[[Answer], None]


class Session(Protocol):
    """How a scenario reaches the service. Implemented on Locust in loadtests/generator.py."""

    @property
    def regions(self) -> Sequence[str]:
        """All regions of the run."""

    def exchange(self, ask: Ask, judge: Judge, attempt: Attempt) -> Answer:
        """Sends, lets `judge` check the answer, reports both to Locust. Never raises for what the network does."""

    def now(self) -> float:
        """Monotonic seconds."""

    def pause(self, seconds: float) -> None:
        """Lets others run."""


class Scenario(Protocol):
    """One kind of arrival. `measures_regions`: latencies come from `seen_after` and belong to the regions named there."""

    name: str
    checks: tuple[str, ...]
    measures_regions: bool

    def attempt(self, session: Session, attempt: Attempt) -> None:
        """Does the whole of one arrival."""


@dataclass(frozen=True, slots=True)
class Cast:
    """Who takes part: `sessions` for validate, good in every region; `login` and `revoke` are users of no other scenario."""

    sessions: Sequence[SignedIn]
    login: Sequence[Person]
    revoke: Sequence[Person]
    service_role_key: str

    def __repr__(self) -> str:
        return f"Cast({len(self.login)} for login, {len(self.revoke)} for revoke)"
