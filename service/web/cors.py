"""CORS (the Fetch standard), decided from plain data: which headers an origin gets, which a preflight.

An origin is on the list or it gets nothing. `Vary: Origin` is on every answer, listed or not, so that no cache hands one
origin's answer to another; a preflight's answer is `private` for the same reason.
"""

from __future__ import annotations

from collections.abc import Iterable

from service.web.answers import Answer, Headers, rendered

METHODS = b"GET, POST, PATCH, OPTIONS"
REQUEST_HEADERS = b"authorization, content-type, apikey, x-client-info, x-supabase-api-version, x-request-id"
EXPOSED_HEADERS = b"X-Process-Time, X-RateLimit-Remaining, X-Cache, Retry-After, X-Sb-Error-Code"
VARY = (b"vary", b"Origin")
# What a preflight's answer may depend on (Fetch standard); a cache that knew only of the origin could mix two questions up.
PREFLIGHT_VARY = (b"vary", b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers")


class Cors:
    """All header lists are made once, here."""

    def __init__(self, origins: Iterable[str], max_age_s: int) -> None:
        age = b"%d" % max_age_s
        self._simple: dict[bytes, Headers] = {}
        self._preflight: dict[bytes, Answer] = {}
        for origin in (text.encode() for text in origins):
            allowed = [(b"access-control-allow-origin", origin), (b"access-control-allow-credentials", b"true")]
            self._simple[origin] = [*allowed, (b"access-control-expose-headers", EXPOSED_HEADERS), VARY]
            self._preflight[origin] = Answer(
                204,
                [
                    *allowed,
                    (b"access-control-allow-methods", METHODS),
                    (b"access-control-allow-headers", REQUEST_HEADERS),
                    (b"access-control-max-age", age),
                    (b"cache-control", b"private, max-age=" + age),
                    PREFLIGHT_VARY,
                ],
            )
        self._unknown: Headers = [VARY]
        self._rendered = {origin: rendered(headers) for origin, headers in self._simple.items()}
        self._unknown_rendered = rendered(self._unknown)
        self._unknown_preflight = Answer(204, [(b"cache-control", b"no-store"), PREFLIGHT_VARY])

    def headers_for(self, origin: bytes | None) -> Headers:
        """What every answer to a request from `origin` carries."""
        return self._unknown if origin is None else self._simple.get(origin, self._unknown)

    def rendered_for(self, origin: bytes | None) -> bytes:
        """The same as lines on the wire, for the answers that are written without a framework."""
        return self._unknown_rendered if origin is None else self._rendered.get(origin, self._unknown_rendered)

    def preflight(self, origin: bytes | None) -> Answer:
        """The answer to OPTIONS; an origin that is not listed learns the methods and nothing else."""
        return self._unknown_preflight if origin is None else self._preflight.get(origin, self._unknown_preflight)
