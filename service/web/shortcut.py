"""The whole answer to a hot request, from bytes to bytes, without an await: what the protocol asks before it does anything else.

Theory of operation
-------------------
A hit costs what is done around it, so as little as possible is. The head of a request is the same for all users of one client
but for the token in it. So a head is parted at its token; what stands before and after it is its *shape*. Whether a shape is one
plain hot request, and what the answer depends on besides the token, is read by llhttp (web/plain_head.py) once and remembered.
The token itself is only ever looked up. That is safe because what is found was verified: it is base64url and dots, and in
whatever shape it stands between "Bearer " and the line's end, it does not change how the rest is read.

Everything else (a header that is spelt otherwise, a body, half a head, a token that is not in memory) is None here and takes the
long way through ASGI to the same answer; tests hold the two side by side. The laws are asked on each hit
(cache/authenticator.py).

An edge that gives each request a number makes each head a shape of its own; then llhttp reads every one, which costs some 3 us.
`GET /api/v1/auth/me` has no shortcut: it reads roles and permissions anew each time, so it has to wait for a database.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from service.cache.entries import Entry
from service.cache.introspection import Verifier
from service.clocks import Clock
from service.metrics.counters import DURATION_BUCKETS_S, Counters
from service.web.answers import SECURITY_HEADERS, Headers, rendered
from service.web.auth_endpoints import TIER_HEADERS
from service.web.cors import Cors
from service.web.drop_in import USER, VARIES_BY, KeptUser, Variant
from service.web.plain_head import HEAD_BYTES_MAX, Found, PlainHeads

Lines = TypeVar("Lines", bytes, Variant)
Shape = tuple[bytes, bytes]
AtOnce = Callable[[bytes, Headers], bytes | None]

VERIFY = "/api/v1/auth/verify"
SHAPES_MAX = 128

_AUTHORIZATION = b"uthorization: Bearer "  # the first letter comes in both cases
_VERIFY_LINE = b"GET %b HTTP/1.1\r\n" % VERIFY.encode()
_USER_LINE = b"GET %b HTTP/1.1\r\n" % USER.encode()
_STATUS_LINE = b"HTTP/1.1 200 OK\r\n"
_L1_LINES = rendered([TIER_HEADERS["l1"], *SECURITY_HEADERS])
_LAST_LINES = b"x-process-time: %.6f\r\n\r\n"
# To write a float costs more than to look an entry up. What takes less than the first bucket's bound is written already.
_QUICK_US = round(DURATION_BUCKETS_S[0] * 1e6)
_QUICK_LAST_LINES = tuple(_LAST_LINES % (us / 1e6) for us in range(_QUICK_US))


class Shortcut:
    """`at_once(chunk, server_headers)`: the whole answer where the chunk is a plain hot request with a token that is in memory.

    server_headers: what the server adds to each answer; another list when they change.
    kept_user: what web/drop_in.py has in memory for a token and a variant, if it may be served.
    """

    def __init__(
        self,
        verifier: Verifier,
        kept_user: Callable[[bytes, Variant], KeptUser | None],
        cors: Cors,
        counters: Counters,
        clock: Clock,
    ) -> None:
        self._kept_user = kept_user
        self._cors = cors
        self._counters = counters
        self._monotonic = clock.monotonic
        self._read_plain = PlainHeads(frozenset({b"authorization", *VARIES_BY})).read
        self._verify_shapes: dict[Shape, bytes] = {}  # and the lines that the answers to each have in common
        self._user_shapes: dict[Shape, Variant] = {}
        self.at_once = self._answering(verifier.cached_at)

    def _answering(self, cached_at: Callable[[bytes, float], Entry | None]) -> AtOnce:
        """A closure, since CPython 3.11 has a variable at hand and looks for an attribute that is called in the class first."""
        monotonic, shapes = self._monotonic, self._verify_shapes
        note_s, route = self._counters.recent_s.append, self._counters.route(VERIFY)
        durations, statuses = route.durations, route.statuses
        quick = durations.counts
        statuses.setdefault(200, 0)
        status_lines = _STATUS_LINE
        had_headers: Headers = []

        def at_once(data: bytes, server_headers: Headers) -> bytes | None:
            nonlocal status_lines, had_headers
            before, authorization, rest = data.partition(_AUTHORIZATION)
            if not authorization or len(data) > HEAD_BYTES_MAX:
                return None
            began = monotonic()
            token, _, after = rest.partition(b"\r")
            shape = (before, after)
            if server_headers is not had_headers:
                status_lines, had_headers = _STATUS_LINE + rendered(server_headers), server_headers
            lines = shapes.get(shape)
            is_new = lines is None
            if lines is None:
                lines = self._read_verify(data, token)
                if lines is None:
                    return self._user_at_once(data, token, shape, status_lines, began)
            entry = cached_at(token, began)
            if entry is None:
                return None
            if is_new:
                _remember(shapes, shape, lines)
            elapsed = monotonic() - began
            note_s(elapsed)
            took_us = int(elapsed * 1e6)
            if took_us < _QUICK_US:
                quick[0] += 1  # `route.count`, written out
                durations.sum_s += elapsed
                statuses[200] += 1
                return b"".join((status_lines, entry.verify_lines, lines, _QUICK_LAST_LINES[took_us]))
            route.count(200, elapsed)
            return b"".join((status_lines, entry.verify_lines, lines, _LAST_LINES % elapsed))

        return at_once

    def _read_verify(self, data: bytes, token: bytes) -> bytes | None:
        """Lines of the answer where `data` is one plain GET /verify with this token."""
        headers = self._read(data, token, _VERIFY_LINE)
        return None if headers is None else _L1_LINES + self._cors.rendered_for(headers.get(b"origin"))

    def _user_at_once(self, data: bytes, token: bytes, shape: Shape, status_lines: bytes, began: float) -> bytes | None:
        variant = self._user_shapes.get(shape)
        if variant is None:
            headers = self._read(data, token, _USER_LINE)
            if headers is None:
                return None
            variant = tuple(headers.get(name) for name in VARIES_BY)
        kept = self._kept_user(token, variant)
        if kept is None or not kept.head_lines:
            return None
        _remember(self._user_shapes, shape, variant)
        elapsed = self._monotonic() - began
        self._counters.route(USER).count(200, elapsed)
        self._counters.recent_s.append(elapsed)
        return b"".join((status_lines, kept.head_lines, kept.answer.body))

    def _read(self, data: bytes, token: bytes, request_line: bytes) -> Found | None:
        """The told headers where `data` is one plain request, and the first token in it that of its Authorization header."""
        name_ends = data.find(_AUTHORIZATION)
        if not data.startswith(request_line) or data[name_ends - 3 : name_ends] not in (b"\r\nA", b"\r\na"):
            return None  # X-Authorization is another header, and what it holds another token
        headers = self._read_plain(data)
        return headers if headers is not None and headers.get(b"authorization") == b"Bearer " + token else None


def _remember(shapes: dict[Shape, Lines], shape: Shape, lines: Lines) -> None:
    """Only what a good token came in. All are let go of at once: where shapes do not come back, none is worth keeping."""
    if len(shapes) >= SHAPES_MAX and shape not in shapes:
        shapes.clear()
    shapes[shape] = lines
