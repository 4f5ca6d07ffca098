"""revoke_then_validate: how long until a revoked session is refused everywhere.

Signs a user in, has every region cache the session as good, revokes it in the arrival's own region, then polls every region.
A region has several replicas and one 401 speaks for one of them only, so a region counts as told from the first 401 after its
last 200, once STREAK refusals came in a row. At the bound each region is asked again: a 200 after it is an error.
"""

from __future__ import annotations

from functools import partial

from loadtests.scenarios.interface import Answer, Ask, Attempt, Person, Session, SignedIn
from loadtests.scenarios.login import judge_login, login_ask, signed_in
from loadtests.scenarios.validate import verify_ask

REVOKE_PATH = "/api/v1/auth/revoke"
POLL_S = 0.02
STREAK = 8


class RevokeThenValidate:
    """Latency samples belong to the observing region and run from the moment the revocation was sent."""

    name = "revoke_then_validate"
    checks: tuple[str, ...] = (
        "login is 200",
        "good before the revocation",
        "revoke is 202",
        "yes or no while polling",
        "refused within the bound",
        "refused at the bound",
    )
    measures_regions = True

    def __init__(self, people: tuple[Person, ...], service_role_key: str, bound_ms: float) -> None:
        self._people = people
        self._key = service_role_key
        self._bound_s = bound_ms / 1000

    def attempt(self, session: Session, attempt: Attempt) -> None:
        who = self._sign_in(session, attempt)
        if who is None or not self._is_good_everywhere(session, attempt, who):
            return
        start_s = session.now()
        ask = Ask("POST", REVOKE_PATH, {"Authorization": f"Bearer {self._key}"}, {"session_id": who.session_id})
        done = session.exchange(ask, lambda answer: _judge_revoke(answer, attempt), attempt)
        if done.status != 202:
            return
        self._poll(session, attempt, who, start_s)
        session.pause(max(0.0, start_s + self._bound_s - session.now()))
        for region in session.regions:
            session.exchange(verify_ask(who, region), partial(_judge_refused, attempt, region), attempt)

    def _sign_in(self, session: Session, attempt: Attempt) -> SignedIn | None:
        person = attempt.rng.choice(self._people)
        answer = session.exchange(login_ask(person), lambda answer: judge_login(answer, person, attempt), attempt)
        return signed_in(answer)

    def _is_good_everywhere(self, session: Session, attempt: Attempt, who: SignedIn) -> bool:
        def judge(answer: Answer) -> None:
            attempt.check("good before the revocation", answer.status == 200, answer.summary())

        # Twice: behind each edge stand several replicas, and an empty cache would make the revocation look too easy.
        asks = [verify_ask(who, region) for region in session.regions for _ in range(2)]
        return all(session.exchange(ask, judge, attempt).status == 200 for ask in asks)

    def _poll(self, session: Session, attempt: Attempt, who: SignedIn, start_s: float) -> None:
        refused_s: dict[str, float] = {}
        streak = dict.fromkeys(session.regions, 0)
        deadline_s = start_s + self._bound_s
        while session.now() < deadline_s and any(count < STREAK for count in streak.values()):
            for region in (name for name, count in streak.items() if count < STREAK):
                status = session.exchange(verify_ask(who, region), partial(_judge_poll, attempt, region), attempt).status
                if status == 401:
                    refused_s.setdefault(region, session.now() - start_s)
                    streak[region] += 1
                elif status == 200:
                    refused_s.pop(region, None)
                    streak[region] = 0
            session.pause(POLL_S)
        for region in session.regions:
            seen_s = refused_s.get(region, self._bound_s)
            attempt.seen_after.append((region, seen_s))
            attempt.check("refused within the bound", region in refused_s, f"{region} accepted it for {self._bound_s:g} s")


def _judge_poll(attempt: Attempt, region: str, answer: Answer) -> None:
    """While polling both answers are right, what matters is when they change. A fault is neither."""
    attempt.check("yes or no while polling", answer.status in (200, 401), f"{region}: {answer.summary()}")


def _judge_revoke(answer: Answer, attempt: Attempt) -> None:
    attempt.check("revoke is 202", answer.status == 202, answer.summary())


def _judge_refused(attempt: Attempt, region: str, answer: Answer) -> None:
    attempt.check("refused at the bound", answer.status == 401, f"{region}: {answer.summary()}")
