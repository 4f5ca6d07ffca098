"""The drop-in behind the limits: what opens or renews a session under /auth/v1 is counted like the endpoints of our own.

What is let through goes on as it came, and its answer is the issuer's, without headers of ours. To know whose log-in it is, the
body of POST /token and of POST /verify (a code of six digits is guessed sooner than a password) is read first, as the issuer will
read it: Go's decoder takes member names in any case and the last of
several, so a body that names the account twice is refused, lest we count one account while the issuer tries another. So is one
that we cannot read: Go's decoder skips members it does not know, however deep or long, at which Python's gives up.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from urllib.parse import parse_qs

from service.errors import TooManyRequests, Unavailable
from service.limits.gate import Attempt, Gate, outcome_of
from service.upstream.auth_api import UpstreamAnswer, error_of
from service.web.callers import address_of
from service.web.drop_in import LOGOUT, PREFIX, Asked, DropIn, Message, Receive, Scope, Send, error_answer

TOKEN, VERIFY = f"{PREFIX}token", f"{PREFIX}verify"
# Of the two that are read before they are handed on; all callers together must not fill our memory with what waits.
READ_BYTES_MAX = 65_536
CODE_BYTES_MAX = 4096
_ACCOUNT_MEMBERS = ("email", "phone")


class _Ambiguous(Exception):
    """The caller's mistake: the body names more than one account."""


class _TooLong(Exception):
    """The caller's mistake: no log-in takes that much, and unread it would be counted for nobody."""


class _Unreadable(Exception):
    """The body is no JSON that we can read. Whose log-in it is cannot be told, so it must not reach the issuer."""


@dataclass(frozen=True, slots=True)
class _Body:
    """A body that was read: `messages` are what to hand on."""

    content: bytes
    messages: list[Message]
    is_whole: bool


class LimitedDropIn:
    """An ASGI application like DropIn, which it has behind it."""

    def __init__(self, drop_in: DropIn, gate: Gate) -> None:
        self._drop_in = drop_in
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> int:
        if scope["method"] != "POST" or scope["path"] == LOGOUT:
            return await self._drop_in(scope, receive, send)
        asked = _asked(scope)
        try:
            return await self._limited(asked, scope, receive, send)
        except TooManyRequests as refusal:
            extra = [(b"retry-after", b"%d" % refusal.retry_after_s), *refusal.headers, *_cors(asked)]
            answer = error_answer(asked, 429, "over_request_rate_limit", refusal.message, extra)
        except Unavailable as fault:
            extra = [(b"retry-after", b"%d" % fault.retry_after_s), *_cors(asked)]
            answer = error_answer(asked, 503, "temporarily_unavailable", fault.message, extra)
        except _Ambiguous:
            answer = error_answer(asked, 400, "validation_failed", "the account is named more than once", _cors(asked))
        except _TooLong:
            answer = error_answer(asked, 413, "request_entity_too_large", "Request body too large", _cors(asked))
        except _Unreadable:
            answer = error_answer(asked, 400, "bad_json", "Could not parse request body as JSON", _cors(asked))
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
        await send({"type": "http.response.body", "body": answer.body})
        return answer.status

    async def _limited(self, asked: Asked, scope: Scope, receive: Receive, send: Send) -> int:
        if asked.path not in (TOKEN, VERIFY):
            await self._gate.ask(asked.client_address)
            return await self._drop_in(scope, receive, send)
        if asked.path == TOKEN and parse_qs(asked.query.decode("latin-1")).get("grant_type") == ["refresh_token"]:
            await self._gate.refresh(asked.client_address)
            return await self._drop_in(scope, receive, send)
        body = await _read(receive)
        account = account_of(body.content) if body.is_whole else None
        if account is None:
            await self._gate.ask(asked.client_address)
            return await self._drop_in(scope, _replay(body, receive), send)
        attempt = await self._gate.log_in(account, asked.client_address)
        return await self._watched(attempt, scope, _replay(body, receive), send)

    async def _watched(self, attempt: Attempt, scope: Scope, receive: Receive, send: Send) -> int:
        """Hands on and tells the limits how it ended. Its end is told before the last byte is: the next try cannot be quicker."""
        status, headers, content, is_told = 0, {}, b"", False

        async def noting(message: Message) -> None:
            nonlocal status, headers, content, is_told
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in message["headers"]}
            else:
                content = (content + message.get("body", b""))[:CODE_BYTES_MAX]
                if not message.get("more_body", False):
                    is_told = True
                    code = "" if status < 400 else error_of(UpstreamAnswer(status, headers, content))[0]
                    await attempt.ended(outcome_of(status, code))
            await send(message)

        try:
            return await self._drop_in(scope, receive, noting)
        finally:
            if not is_told:  # the answer broke off, or a fault of ours: nobody's failure
                await attempt.ended("neither")


def account_of(body: bytes) -> str | None:
    """Whom a POST /token or /verify tries to log in; None where it names nobody. _Ambiguous, _Unreadable."""
    if not body:
        return None
    try:
        members = json.loads(body.decode("utf-8", "replace"), object_pairs_hook=list)
    except (ValueError, RecursionError) as exc:
        raise _Unreadable from exc
    if not isinstance(members, list) or not all(isinstance(member, tuple) for member in members):
        return None
    named = [value for name, value in members if name.lower() in _ACCOUNT_MEMBERS and value not in (None, "")]
    if len(named) > 1:
        raise _Ambiguous
    return named[0] if named and isinstance(named[0], str) else None


def _asked(scope: Scope) -> Asked:
    peer = scope["client"][0] if scope.get("client") else ""
    headers: list[tuple[bytes, bytes]] = list(scope["headers"])
    query = scope["query_string"]
    return Asked(scope["method"], scope["path"], query, scope["raw_path"], headers, address_of(headers, peer))


async def _read(receive: Receive) -> _Body:
    """The body. What is broken off is handed on as it came so far: the drop-in refuses it. _TooLong."""
    parts: list[bytes] = []
    messages: list[Message] = []
    size, is_whole = 0, False
    while not is_whole:
        message = await receive()
        messages.append(message)
        part: bytes = message.get("body", b"")
        parts.append(part)
        size += len(part)
        if size > READ_BYTES_MAX:
            raise _TooLong
        is_whole = not message.get("more_body", False)
    is_broken_off = messages[-1]["type"] == "http.disconnect"
    return _Body(b"".join(parts), messages, is_whole and not is_broken_off)


def _replay(body: _Body, receive: Receive) -> Receive:
    waiting = list(reversed(body.messages))

    async def replayed() -> Message:
        return waiting.pop() if waiting else await receive()

    return replayed


def _cors(asked: Asked) -> list[tuple[bytes, bytes]]:
    """The issuer's own CORS answers are for any origin; a browser that may not read a refusal takes it for a lost network."""
    has_origin = any(name == b"origin" for name, _ in asked.headers)
    exposed: list[tuple[bytes, bytes]] = [
        (b"access-control-expose-headers", b"Retry-After, X-RateLimit-Remaining, X-Sb-Error-Code")
    ]
    return [(b"access-control-allow-origin", b"*"), *exposed] if has_origin else []
