"""validate: is this token good? The hot path. The answer must name the token's own user and session."""

from __future__ import annotations

from collections.abc import Sequence

from loadtests.arrivals import zipf_weights
from loadtests.scenarios.interface import Answer, Ask, Attempt, Session, SignedIn

PATH = "/api/v1/auth/verify"
HITS = ("l1", "l2")


def verify_ask(who: SignedIn, region: str | None = None) -> Ask:
    """The request."""
    return Ask("GET", PATH, headers={"Authorization": f"Bearer {who.access_token}"}, region=region)


class Validate:
    """Tokens of signed-in users, chosen by Zipf: few users make most requests."""

    name = "validate"
    checks: tuple[str, ...] = (
        "verify is 200",
        "verify names the token's user",
        "verify names the token's session",
        "verify says where it looked",
    )
    measures_regions = False

    def __init__(self, sessions: Sequence[SignedIn]) -> None:
        self._sessions = sessions
        self._weights = zipf_weights(len(sessions))

    def attempt(self, session: Session, attempt: Attempt) -> None:
        who = attempt.rng.choices(self._sessions, cum_weights=self._weights)[0]
        session.exchange(verify_ask(who), lambda answer: judge_verify(answer, who, attempt), attempt)


def judge_verify(answer: Answer, who: SignedIn, attempt: Attempt) -> None:
    """A mixed-up identity is the worst thing a cache can do: it is checked on every answer."""
    if not attempt.check("verify is 200", answer.status == 200, answer.summary()):
        return
    headers = answer.headers
    attempt.check("verify names the token's user", headers.get("x-auth-user-id") == who.user_id, "X-Auth-User-Id is another's")
    attempt.check(
        "verify names the token's session", headers.get("x-auth-session-id") == who.session_id, "X-Auth-Session-Id is another's"
    )
    looked = headers.get("x-cache", "")
    if attempt.check("verify says where it looked", looked in (*HITS, "miss"), f"X-Cache is {looked!r}, expected l1, l2 or miss"):
        attempt.cache_lookups.append(looked in HITS)
