"""health: the probe of the platform. It must be 200 and say so in JSON."""

from __future__ import annotations

from loadtests.scenarios.interface import Answer, Ask, Attempt, Session

GOOD = ("ok", "ready", "live", "alive", "healthy", "up", "pass")


class Health:
    """GET on the path of the SLO file."""

    name = "health"
    checks: tuple[str, ...] = ("health is 200", "health says it is well")
    measures_regions = False

    def __init__(self, path: str) -> None:
        self._path = path

    def attempt(self, session: Session, attempt: Attempt) -> None:
        session.exchange(Ask("GET", self._path), lambda answer: judge_health(answer, attempt), attempt)


def judge_health(answer: Answer, attempt: Attempt) -> None:
    """An empty 200 from some default page must not count as health."""
    if attempt.check("health is 200", answer.status == 200, answer.summary()):
        status = answer.json().get("status")
        attempt.check("health says it is well", isinstance(status, str) and status.lower() in GOOD, f"status is {status!r}")
