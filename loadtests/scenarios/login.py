"""login: email and password for a token. The answer must be this user's, and a whole token response."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

import msgspec

from loadtests.scenarios.interface import Answer, Ask, Attempt, Person, Session, SignedIn

PATH = "/api/v1/auth/login"


def login_ask(person: Person, region: str | None = None) -> Ask:
    """The request."""
    return Ask("POST", PATH, body={"email": person.email, "password": person.password}, region=region)


def signed_in(answer: Answer) -> SignedIn | None:
    """The session in a login answer; None where it holds none."""
    document = answer.json()
    user, token = document.get("user"), document.get("access_token")
    if answer.status != 200 or not isinstance(user, dict) or not isinstance(token, str):
        return None
    claims = unverified_claims(token)
    return SignedIn(str(user.get("email")), str(user.get("id")), str(claims.get("session_id", "")), token)


def unverified_claims(token: str) -> Mapping[str, object]:
    """What the token says of itself; empty where it is no JWS. The gate compares claims, the service verifies them."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        claims = msgspec.json.decode(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, msgspec.DecodeError):
        return {}
    return claims if isinstance(claims, dict) else {}


class Login:
    """Distinct users in turn, so that no answer can come from a cache keyed by the user."""

    name = "login"
    checks: tuple[str, ...] = ("login is 200", "token response is whole", "token belongs to the user")
    measures_regions = False

    def __init__(self, people: Sequence[Person]) -> None:
        self._people = people

    def attempt(self, session: Session, attempt: Attempt) -> None:
        person = attempt.rng.choice(self._people)
        session.exchange(login_ask(person), lambda answer: judge_login(answer, person, attempt), attempt)


def judge_login(answer: Answer, person: Person, attempt: Attempt) -> None:
    """The three checks of a login answer."""
    if not attempt.check("login is 200", answer.status == 200, answer.summary()):
        return
    document = answer.json()
    kinds = {"access_token": str, "refresh_token": str, "token_type": str, "expires_in": int, "user": dict}
    missing = [name for name, kind in kinds.items() if not isinstance(document.get(name), kind) or not document[name]]
    if not attempt.check("token response is whole", not missing, f"missing or of another type: {', '.join(missing)}"):
        return
    found = signed_in(answer)
    assert found is not None  # the fields were checked above
    claims = unverified_claims(found.access_token)
    is_theirs = found.email == person.email and bool(found.user_id) and claims.get("sub") == found.user_id
    attempt.check("token belongs to the user", is_theirs, f"asked for {person.email}, got {found.email}")
