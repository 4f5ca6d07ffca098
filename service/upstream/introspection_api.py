"""RFC 7662: what an authorization server says of a token that says nothing by itself. One POST for each question, nothing kept.

The server must be the issuer whose users we know: an `iss` or `aud` that it names must be ours, so that nobody's `sub` at one
server is taken for a user of another. A refresh token is as active as an access token and is none, which servers tell in one of
three members. What the endpoint says of *us* (401: wrong client) is a fault of ours and no word about the token.
"""

from __future__ import annotations

import asyncio
import base64
import re
import time
from collections.abc import Callable
from urllib.parse import quote, quote_plus, urlencode, urlsplit

import msgspec
import structlog

from service.breaker import Breaker
from service.errors import TokenRejected, Unavailable
from service.metrics.counters import Counters
from service.tokens.identity import IssuerUser
from service.tokens.parsing import UUID_PATTERN
from service.tokens.verification import Policy
from service.tracing.tracer import asking
from service.upstream.auth_api import FAILURES_MAX, PAUSE_S, USER_TIMEOUT_S
from service.upstream.auth_api import UNDER_WAY_MAX as LANES
from service.upstream.exchanges import ExchangeFailed, Server

UNDER_WAY_MAX = LANES["opaque"]
ANSWER_BYTES_MAX = 65_536
_KINDS = {"token_type": {"bearer"}, "token_use": {"access_token", "access"}, "typ": {"bearer", "jwt", "at+jwt"}}
_AS_THEY_ARE = "/?%:@!$&'()*+,;=[]~"  # in a URL's path and query (RFC 3986 section 2.2)
_UUID = re.compile(UUID_PATTERN)

log = structlog.get_logger("service.introspection")


class _Answer(msgspec.Struct):
    """A wrong type anywhere is an answer that we do not understand."""

    active: bool
    sub: str = ""
    exp: float | None = None
    iat: float | None = None
    nbf: float | None = None
    iss: str | None = None
    aud: str | list[str] | None = None
    email: str | None = None
    role: str | None = None
    session_id: str | None = None
    token_type: str | None = None
    token_use: str | None = None
    typ: str | None = None


class IntrospectionApi:
    """Create inside the running loop; `close` ends the connections. `wall`: seconds since 1970."""

    def __init__(
        self, url: str, client_id: str, client_secret: str, policy: Policy, wall: Callable[[], float], counters: Counters
    ) -> None:
        parts = urlsplit(url)
        self._target = quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), safe=_AS_THEY_ARE)
        self._policy = policy
        self._wall = wall
        self._counters = counters
        self._under_way = 0
        self.breaker = Breaker(FAILURES_MAX, PAUSE_S, time.monotonic)
        # RFC 6749 section 2.3.1: both are form-encoded before they are joined.
        credentials = base64.b64encode(f"{quote_plus(client_id)}:{quote_plus(client_secret)}".encode()).decode()
        self._headers = {
            "authorization": f"Basic {credentials}",
            "accept": "application/json",
            "content-type": "application/x-www-form-urlencoded",
            "user-agent": "cached-auth",
        }
        self._server = Server(url)

    async def user(self, token: bytes) -> IssuerUser:
        """Whom the token speaks for. TokenRejected if it is definitely not good here; Unavailable if that cannot be told."""
        answer = await self._asked(token)
        if not answer.active:
            raise TokenRejected("bad_jwt", "token is not active")
        self._check(answer)
        shown = {"id": answer.sub, "email": answer.email, "role": answer.role, "iat": answer.iat, "session_id": answer.session_id}
        return IssuerUser(answer.sub, msgspec.json.encode({name: value for name, value in shown.items() if value is not None}))

    async def close(self) -> None:
        await self._server.close()

    def _check(self, answer: _Answer) -> None:
        """RFC 7662 section 4: whoever asks checks what the answer says, as of a token that could be read."""
        now, policy = self._wall(), self._policy
        audiences = [answer.aud] if isinstance(answer.aud, str) else answer.aud
        if answer.iss not in (None, policy.issuer):
            raise TokenRejected("bad_jwt", "token is from another issuer")
        if audiences is not None and policy.audience not in audiences:
            raise TokenRejected("bad_jwt", "token is for another audience")
        if answer.exp is not None and now >= answer.exp:
            raise TokenRejected("bad_jwt", "token is expired")
        if answer.nbf is not None and answer.nbf > now + policy.clock_skew_s:
            raise TokenRejected("bad_jwt", "token is not valid yet")
        for name, good in _KINDS.items():
            kind = getattr(answer, name)
            if kind is not None and kind.lower() not in good:
                raise TokenRejected("bad_jwt", "not an access token")
        if _UUID.fullmatch(answer.sub) is None:
            raise TokenRejected("bad_jwt", "token is of no user")

    async def _asked(self, token: bytes) -> _Answer:
        if self._under_way >= UNDER_WAY_MAX or self.breaker.is_open:
            self._counters.sheds += 1
            raise Unavailable("upstream", "no more introspections at the moment")
        self._under_way += 1
        began = time.monotonic()
        form = urlencode({"token": token.decode("ascii"), "token_type_hint": "access_token"}).encode()
        try:
            with asking("issuer introspection"):
                async with asyncio.timeout(USER_TIMEOUT_S):
                    response = await self._server.exchange("POST", self._target, self._headers, form)
        except (ExchangeFailed, TimeoutError) as exc:
            self.breaker.failed()
            self._counters.upstream_failures += 1
            raise Unavailable("upstream", "the introspection endpoint does not answer") from exc
        finally:
            self._under_way -= 1
            self._counters.upstream("introspection").observe(time.monotonic() - began)
        # As of the issuer's other answers: what a caller may find a token to bring about with must not open the breaker.
        if response.status in (502, 503, 504):
            self.breaker.failed()
        else:
            self.breaker.succeeded()
        if response.status != 200 or len(response.body) > ANSWER_BYTES_MAX:
            self._counters.upstream_failures += 1
            log.warning("introspection_refused", status=response.status)
            raise Unavailable("upstream", "the introspection endpoint does not tell")
        try:
            return msgspec.json.decode(response.body, type=_Answer)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise Unavailable("upstream", "the introspection endpoint's answer is none") from exc
