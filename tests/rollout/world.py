"""Regions that serve releases, and a deployer and a gate with prepared outcomes: fakes with state, no mocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from infra.rollout.driver import Request
from infra.rollout.errors import DeployFailed

OLD, NEW = "sha256:" + "ab" * 32, "sha256:" + "cd" * 32
US, EU, ASIA = "us-west2", "europe-west4-drams3a", "asia-southeast1-eqsg3a"


@dataclass(frozen=True)
class Measured:
    """A verdict as the load gate gives it."""

    outcome: str
    summary: str = "validate p95 0.4 ms <= 50 ms"


PASS = Measured("pass")
FAIL = Measured("fail", "validate p95 412 ms > 50 ms")
UNCLEAR = Measured("inconclusive", "validate p95 48 to 53 ms, limit 50 ms")
BROKEN = Measured("invalid", "the generator was saturated")


@dataclass
class World:
    """What each region serves now. `moment` is called around every effect: a test may end the driver there.

    Outcomes are used up in order, then everything succeeds. A deployment fails before it changes anything ("before") or after
    ("after").
    """

    serving: dict[str, str]
    deployments: Iterator[str] = field(default_factory=lambda: iter(()))
    verdicts: Iterator[Measured] = field(default_factory=lambda: iter(()))
    moment: Callable[[], None] = lambda: None
    asked: list[Mapping[str, str]] = field(default_factory=list)
    judged: list[tuple[str, str, str]] = field(default_factory=list)

    async def deploy(self, stack: str, releases: Mapping[str, str]) -> None:
        self.moment()
        self.asked.append(dict(releases))
        outcome = next(self.deployments, "ok")
        if outcome != "before":
            self.serving.update(releases)
        if outcome != "ok":
            raise DeployFailed("health check never answered 200", ["boot", "Traceback"])
        self.moment()

    async def judge(self, stack: str, region: str, release: str) -> Measured:
        self.moment()
        assert self.serving[region] == release, "a gate must measure the release it judges"
        verdict = next(self.verdicts, PASS)
        self.judged.append((region, release, verdict.outcome))
        self.moment()
        return verdict


def world(*regions: str, deployments: Iterable[str] = (), verdicts: Iterable[Measured] = ()) -> World:
    """Every region on OLD."""
    return World(dict.fromkeys(regions or (US, EU), OLD), iter(deployments), iter(verdicts))


def request(there: World, **changes: object) -> Request:
    return Request(**{"release": NEW, "serving": dict(there.serving), "primary": US, **changes})  # type: ignore[arg-type]
