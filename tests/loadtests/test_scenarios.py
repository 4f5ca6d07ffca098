"""Each scenario's checks: a wrong answer is found by the check that is about it."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable, Sequence

import pytest

from loadtests.scenarios.health import judge_health
from loadtests.scenarios.interface import Answer, Ask, Attempt, Judge, Person, SignedIn
from loadtests.scenarios.login import judge_login
from loadtests.scenarios.preflight import HEADERS, judge_preflight
from loadtests.scenarios.revoke_then_validate import RevokeThenValidate
from loadtests.scenarios.validate import judge_verify

PERSON = Person("a@loadtest.example", "pw")


def token(**claims: object) -> str:
    parts = (b'{"alg":"ES256"}', json.dumps(claims).encode(), b"signature")
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


WHO = SignedIn(PERSON.email, "u1", "s1", token(sub="u1", session_id="s1"))


def failed(judge: Callable[[Answer, Attempt], None], answer: Answer) -> list[str]:
    attempt = Attempt("us-west2", random.Random(0))  # noqa: S311  as in the gate
    judge(answer, attempt)
    return [name for name, _detail in attempt.failures]


def login_answer(**changes: object) -> Answer:
    body = {
        "access_token": WHO.access_token,
        "refresh_token": "r",
        "token_type": "bearer",
        "expires_in": 3600,
        "user": {"id": "u1", "email": PERSON.email},
    }
    return Answer(200, {}, json.dumps({**body, **changes}).encode())


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (login_answer(), []),
        (Answer(503, {}, b"{}"), ["login is 200"]),
        (Answer(0, {}, b"", "no answer"), ["login is 200"]),
        (Answer(200, {}, b"<html>"), ["token response is whole"]),
        (login_answer(refresh_token=""), ["token response is whole"]),
        (login_answer(user={"id": "u1", "email": "b@loadtest.example"}), ["token belongs to the user"]),
        (login_answer(access_token=token(sub="u2")), ["token belongs to the user"]),
        (login_answer(access_token="no token"), ["token belongs to the user"]),
    ],
)
def test_login(answer: Answer, expected: list[str]) -> None:
    assert failed(lambda found, attempt: judge_login(found, PERSON, attempt), answer) == expected


VERIFIED = {"x-auth-user-id": "u1", "x-auth-session-id": "s1", "x-cache": "l1"}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(200, VERIFIED, b""), []),
        (Answer(401, {}, b"{}"), ["verify is 200"]),
        (Answer(200, {**VERIFIED, "x-auth-user-id": "u2"}, b""), ["verify names the token's user"]),
        (Answer(200, {**VERIFIED, "x-auth-session-id": "s2"}, b""), ["verify names the token's session"]),
        (Answer(200, {**VERIFIED, "x-cache": "HIT"}, b""), ["verify says where it looked"]),
    ],
)
def test_validate(answer: Answer, expected: list[str]) -> None:
    assert failed(lambda found, attempt: judge_verify(found, WHO, attempt), answer) == expected


ALLOWED = {
    "access-control-allow-origin": "http://here",
    "access-control-allow-credentials": "true",
    "access-control-allow-methods": "GET, POST",
    "access-control-allow-headers": HEADERS,
    "access-control-max-age": "3600",
}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        ({"access-control-allow-origin": "*"}, ["allow-origin is the asking origin"]),
        ({"access-control-allow-credentials": ""}, ["allow-credentials is true"]),
        ({"access-control-allow-methods": "GET"}, ["allow-methods has the method"]),
        ({"access-control-allow-headers": "content-type"}, ["allow-headers has the headers"]),
        ({"access-control-max-age": "0"}, ["max-age is set"]),
    ],
)
def test_preflight(change: dict[str, str], expected: list[str]) -> None:
    answer = Answer(204, {**ALLOWED, **change}, b"")
    assert failed(lambda found, attempt: judge_preflight(found, "http://here", attempt), answer) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(200, {}, b'{"status":"ready"}'), []),
        (Answer(200, {}, b'{"status":"degraded"}'), ["health says it is well"]),
        (Answer(200, {}, b"<html>welcome</html>"), ["health says it is well"]),
        (Answer(503, {}, b'{"status":"ready"}'), ["health is 200"]),
    ],
)
def test_health(answer: Answer, expected: list[str]) -> None:
    assert failed(judge_health, answer) == expected


class TwoRegions:
    """A session over a service whose regions refuse a revoked session `lag_s` after the revocation; the clock is simulated."""

    regions: Sequence[str] = ("east", "west")

    def __init__(self, lag_s: dict[str, float]) -> None:
        self._lag_s = lag_s
        self._now_s = 100.0
        self._revoked_s: float | None = None

    def now(self) -> float:
        return self._now_s

    def pause(self, seconds: float) -> None:
        self._now_s += seconds

    def exchange(self, ask: Ask, judge: Judge, attempt: Attempt) -> Answer:
        self._now_s += 0.001
        answer = self._answer(ask)
        judge(answer)
        return answer

    def _answer(self, ask: Ask) -> Answer:
        if ask.path.endswith("/login"):
            return login_answer()
        if ask.path.endswith("/revoke"):
            self._revoked_s = self._now_s
            return Answer(202, {}, b"{}")
        is_refused = self._revoked_s is not None and self._now_s >= self._revoked_s + self._lag_s[ask.region or ""]
        return Answer(401 if is_refused else 200, {}, b"{}")


def revoke(lag_s: dict[str, float]) -> Attempt:
    attempt = Attempt("east", random.Random(0))  # noqa: S311  as in the gate
    RevokeThenValidate((PERSON,), "key", 2000).attempt(TwoRegions(lag_s), attempt)
    return attempt


def test_a_revocation_is_timed_in_each_region() -> None:
    attempt = revoke({"east": 0.0, "west": 0.3})
    assert attempt.failures == []
    seen = dict(attempt.seen_after)
    assert seen["east"] < 0.03
    assert seen["west"] == pytest.approx(0.3, abs=0.03)


def test_a_region_that_never_hears_of_it_fails_both_checks() -> None:
    attempt = revoke({"east": 0.0, "west": 60.0})
    assert [name for name, _detail in attempt.failures] == ["refused within the bound", "refused at the bound"]
    assert dict(attempt.seen_after)["west"] == pytest.approx(2.0)
