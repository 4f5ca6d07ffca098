"""preflight: a browser asks whether it may. The answer's headers decide, as the Fetch standard says (section 3.2)."""

from __future__ import annotations

from loadtests.scenarios.interface import Answer, Ask, Attempt, Session

PATH = "/api/v1/auth/login"
METHOD = "POST"
HEADERS = "authorization,content-type"


class Preflight:
    """OPTIONS for a login from an allowed origin."""

    name = "preflight"
    checks: tuple[str, ...] = (
        "preflight is 200 or 204",
        "allow-origin is the asking origin",
        "allow-credentials is true",
        "allow-methods has the method",
        "allow-headers has the headers",
        "max-age is set",
    )
    measures_regions = False

    def __init__(self, origin: str) -> None:
        self._origin = origin

    def attempt(self, session: Session, attempt: Attempt) -> None:
        asked = {"Origin": self._origin, "Access-Control-Request-Method": METHOD, "Access-Control-Request-Headers": HEADERS}
        session.exchange(Ask("OPTIONS", PATH, asked), lambda answer: judge_preflight(answer, self._origin, attempt), attempt)


def judge_preflight(answer: Answer, origin: str, attempt: Attempt) -> None:
    """Each header by itself, so that the report says which one is wrong."""
    if not attempt.check("preflight is 200 or 204", answer.status in (200, 204), answer.summary()):
        return

    def words(name: str) -> set[str]:
        return {word.strip().lower() for word in answer.headers.get(f"access-control-{name}", "").split(",") if word.strip()}

    def value(name: str) -> str:
        return answer.headers.get(f"access-control-{name}", "")

    # With credentials the wildcard means the literal "*", so it must be the origin itself.
    attempt.check("allow-origin is the asking origin", value("allow-origin") == origin, f"{value('allow-origin')!r}")
    attempt.check("allow-credentials is true", value("allow-credentials") == "true", f"{value('allow-credentials')!r}")
    attempt.check("allow-methods has the method", METHOD.lower() in words("allow-methods"), f"{value('allow-methods')!r}")
    has_headers = set(HEADERS.split(",")) <= words("allow-headers")
    attempt.check("allow-headers has the headers", has_headers, f"{value('allow-headers')!r}")
    age = value("max-age")
    attempt.check("max-age is set", age.isdigit() and int(age) > 0, f"{age!r}")
