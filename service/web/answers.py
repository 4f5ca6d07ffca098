"""Answers as plain data, the same for the raw front and for the framework behind it."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

import msgspec

from service.errors import TokenRejected, TooManyRequests, Unavailable
from service.tokens.identity import Identity

Headers = list[tuple[bytes, bytes]]

HEADER_BYTES = 130  # a tuple and two byte strings, besides their texts
JSON_TYPE = (b"content-type", b"application/json")
NO_STORE = (b"cache-control", b"no-store")
# An API that answers JSON to programs: nothing may be sniffed, framed, or sent on as a referrer (OWASP ASVS 5.0 3.4).
SECURITY_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"strict-transport-security", b"max-age=31536000; includeSubDomains"),
)
# RFC 9110 allows no more in a field value than visible ASCII and blanks; an e-mail address may hold anything.
_HEADER_SAFE = "!#$&'*+-./:;=?@^_`{|}~,()[]\"<> "


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; the front adds process time, CORS and security headers."""

    status: int
    headers: Headers
    body: bytes = b""

    @property
    def size_bytes(self) -> int:
        """What it takes in memory, near enough for a bound."""
        return len(self.body) + sum(HEADER_BYTES + len(name) + len(value) for name, value in self.headers)


def rendered(headers: Headers) -> bytes:
    """As lines on the wire."""
    return b"".join(b"%b: %b\r\n" % header for header in headers)


def identity_headers(identity: Identity) -> Headers:
    """X-Auth-* of a verified token. Characters that a header cannot carry are percent-encoded."""
    return [
        (b"x-auth-user-id", identity.user_id.encode()),
        (b"x-auth-session-id", identity.session_id.encode()),
        (b"x-auth-role", quote(identity.role, safe=_HEADER_SAFE).encode()),
        (b"x-auth-email", quote(identity.email, safe=_HEADER_SAFE).encode()),
    ]


def error_answer(status: int, code: str, message: str, extra: Headers | None = None) -> Answer:
    """GoTrue's error shape: {code, message}."""
    body = msgspec.json.encode({"code": code, "message": message})
    return Answer(status, [JSON_TYPE, (b"content-length", b"%d" % len(body)), NO_STORE, *(extra or [])], body)


def rejection_answer(rejection: TokenRejected) -> Answer:
    """401, with what RFC 6750 section 3 wants said about it."""
    challenge = b"Bearer" if rejection.code == "no_authorization" else b'Bearer error="invalid_token"'
    return error_answer(401, rejection.code, rejection.message, [(b"www-authenticate", challenge)])


def fault_answer(fault: Unavailable) -> Answer:
    """503 with Retry-After: the one answer that auth-js and supabase-py retry instead of logging the user out."""
    return error_answer(503, "temporarily_unavailable", fault.message, [(b"retry-after", b"%d" % fault.retry_after_s)])


def limited_answer(refusal: TooManyRequests) -> Answer:
    """429 in GoTrue's words, with how long to wait."""
    extra = [(b"retry-after", b"%d" % refusal.retry_after_s), *refusal.headers]
    return error_answer(429, "over_request_rate_limit", refusal.message, extra)
