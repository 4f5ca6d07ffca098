"""Who is calling: bearer tokens, sessions, administrators, and the request's body and origin."""

from __future__ import annotations

import hmac
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TypeVar
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from infra.localcloud.supabase_api import redirects, users
from infra.localcloud.supabase_api.errors import ApiError, bad_jwt, validation_failed
from infra.localcloud.supabase_api.project import Project, project_of
from infra.localcloud.supabase_api.sessions import Caller
from infra.localcloud.supabase_api.signing import Claims
from infra.localcloud.supabase_api.users import Account, Session
from infra.localcloud.supabase_api.validation import parsed_uuid
from infra.localcloud.supabase_api.wire import Params, User, parse

BEARER = re.compile(r"bearer (\S+)", re.IGNORECASE)
ADMIN_ROLES = ("service_role", "supabase_admin")
AUDIENCE_HEADER = "x-jwt-aud"
BODY_BYTES_MAX = 1 << 20
NIL = UUID(int=0)
P = TypeVar("P", bound=Params)
Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Authenticated:
    account: Account
    session: Session | None
    claims: Claims

    @property
    def session_id(self) -> UUID | None:
        return self.session.id if self.session else None

    @property
    def is_aal2(self) -> bool:
        return self.session is not None and self.session.aal == "aal2"


def now() -> datetime:
    return datetime.now(UTC)


def is_banned(project: Project, user: User) -> bool:
    """A ban changes its user last of all, as long as nobody else does: from then on it grows shorter when the clock is moved."""
    return user.is_banned(project.ageing.now_for(user.updated_at))


def claims_of(request: Request) -> Claims:
    """Raises ApiError no_authorization, bad_jwt."""
    match = BEARER.fullmatch(request.headers.get("authorization", ""))
    if match is None:
        raise ApiError(401, "no_authorization", "This endpoint requires a valid Bearer token")
    return project_of(request).signer.claims(match[1])


async def authenticated(request: Request) -> Authenticated:
    """The user and session of the bearer token, both still in the database. Raises ApiError, in GoTrue's order."""
    claims = claims_of(request)
    if not claims.sub:
        raise bad_jwt("invalid claim: missing sub claim")
    user_id = parsed_uuid(claims.sub)
    if user_id is None:
        raise ApiError(400, "bad_jwt", "invalid claim: sub claim must be a UUID")
    session_id = parsed_uuid(claims.session_id) if claims.session_id else NIL
    if session_id is None:
        raise bad_jwt("invalid claim: session_id claim must be a UUID")
    found = await users.with_session(project_of(request).database, user_id, session_id)
    if found is None:
        raise ApiError(403, "user_not_found", "User from sub claim in JWT does not exist")
    account, session = found
    if session_id != NIL and session is None:
        raise ApiError(403, "session_not_found", "Session from session_id claim in JWT does not exist")
    if session is not None:
        project_of(request).signer.check_age(claims, session.issued_at)
    if is_banned(project_of(request), account.user):
        raise ApiError(403, "user_banned", "User is banned")
    return Authenticated(account, session, claims)


async def require_admin(request: Request) -> None:
    """Raises ApiError not_admin unless the bearer is a service key, or a live session of an administrator."""
    claims = claims_of(request)
    if claims.session_id:
        await authenticated(request)
    if claims.role not in ADMIN_ROLES:
        raise ApiError(403, "not_admin", "User not allowed")


def require_audience(request: Request, caller: Authenticated) -> None:
    """Raises ApiError validation_failed where X-JWT-AUD asks for another audience than the token has."""
    wanted = request.headers.get(AUDIENCE_HEADER) or caller.claims.audience or "authenticated"
    if wanted != caller.claims.audience:
        raise validation_failed("Token audience doesn't match request audience")


def redirect_of(request: Request, asked: str = "") -> str:
    """Where the answer's link leads afterwards: the wish if it is allowed, the page that asks, else the site."""
    config = project_of(request).settings.auth
    wishes = (asked, request.headers.get("redirect_to", "") or request.query_params.get("redirect_to", ""))
    return redirects.chosen((*wishes, request.headers.get("referer", "")), config.site_url, config.uri_allow_list)


def counted(kind: str, handler: Handler) -> Handler:
    """`handler`, for as many requests of an address as the project allows. Raises ApiError over_request_rate_limit."""

    async def guarded(request: Request) -> Response:
        project_of(request).limits.check(kind, caller_of(request).address)
        return await handler(request)

    return guarded


async def params_of(request: Request, params: type[P]) -> P:
    return parse(await body_of(request), params)


async def body_of(request: Request) -> bytes:
    """The whole body; raises ApiError request_entity_too_large past 1 MB, before reading it all."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise ApiError(413, "request_entity_too_large", f"Request body too large (max {BODY_BYTES_MAX} bytes)")
    return bytes(body)


def caller_of(request: Request) -> Caller:
    """User agent and address; the first address of X-Forwarded-For, as GoTrue takes it (utilities.GetIPAddress).

    Where the project says so, a server of its own may name the address it serves in Sb-Forwarded-For: only with a secret
    key, since anybody has the anon key and could then choose under whose address to be counted.
    """
    candidates = [
        *_told_by_a_server(request),
        *request.headers.get("x-forwarded-for", "").split(","),
        request.client.host if request.client else "",
    ]
    address = next((address for address in map(_address, candidates) if address is not None), None)
    return Caller(request.headers.get("user-agent", "")[:1024], address)


def _told_by_a_server(request: Request) -> list[str]:
    settings = project_of(request).settings
    key = request.headers.get("apikey", "").encode()
    if not settings.auth.security_sb_forwarded_for_enabled or not hmac.compare_digest(key, settings.service_role_key.encode()):
        return []
    return request.headers.get("sb-forwarded-for", "").split(",")


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text.strip().partition("%")[0])
    except ValueError:
        return None
