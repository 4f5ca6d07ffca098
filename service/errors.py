"""What can keep a request from its answer.

Errors: ServiceError
          +-- TokenRejected   the caller's token is not good: 401 with a code; definite, never raised for a fault of ours
          +-- Unavailable     we cannot tell at the moment: 503 with Retry-After, because auth-js and supabase-py retry that
                              and nothing else; a 401 here would log a user out for our own fault
          +-- TooManyRequests the caller asks too often to open a session: 429, as the issuer itself would say
"""

from __future__ import annotations


class ServiceError(Exception):
    """Base of what the web layer knows how to answer."""


class TokenRejected(ServiceError):
    """The token is definitely not good. `code` is GoTrue's own vocabulary, plus `session_revoked`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Unavailable(ServiceError):
    """A part we need did not answer in time, or too much is under way already."""

    def __init__(self, part: str, message: str, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.part = part
        self.message = message
        self.retry_after_s = retry_after_s


class TooManyRequests(ServiceError):
    """Never raised for what renews or checks a session: auth-js would take a 429 there for the session's end."""

    def __init__(self, retry_after_s: int, headers: list[tuple[bytes, bytes]]) -> None:
        super().__init__("Request rate limit reached")
        self.message = "Request rate limit reached"
        self.retry_after_s = retry_after_s
        self.headers = headers
