"""SQL on auth.sessions and auth.refresh_tokens, and the grants built from it."""

from __future__ import annotations

import secrets
import string
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from uuid import UUID, uuid4

import msgspec

from infra.localcloud.supabase_api import refresh, users
from infra.localcloud.supabase_api.database import Connection, Database, Executor, LockNotAvailable, Record
from infra.localcloud.supabase_api.errors import ApiError
from infra.localcloud.supabase_api.session_limits import SessionLimits, SessionTimes
from infra.localcloud.supabase_api.signing import Signer
from infra.localcloud.supabase_api.users import Account
from infra.localcloud.supabase_api.wire import TokenAnswer, User
from infra.localcloud.world_clock import Ageing

TOKEN_ALPHABET = string.ascii_lowercase + string.digits
SECOND_FACTORS = {"totp", "mfa/phone", "mfa/webauthn"}
TOKEN_CHARACTERS = 20  # 103 bits; GoTrue's own are 12 characters


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as it is written beside the session."""

    user_agent: str
    address: IPv4Address | IPv6Address | None


def new_refresh_token() -> str:
    return "".join(secrets.choice(TOKEN_ALPHABET) for _ in range(TOKEN_CHARACTERS))


@dataclass(frozen=True, slots=True)
class Granted:
    """A session's next tokens. `is_reused` is None where a log-in made them, False where they are new, True where the client
    gets those again that it was given before."""

    answer: TokenAnswer
    session_id: UUID
    is_reused: bool | None = None

    @property
    def headers(self) -> dict[str, str]:
        """What GoTrue tells its operators beside the body (tokens.Service)."""
        reuse = {"sb-auth-refresh-token-reuse": "false"} if self.is_reused is False else {}
        return {
            "sb-auth-user-id": str(self.answer.user.id),
            "sb-auth-session-id": str(self.session_id),
            "sb-auth-refresh-token-prefix": self.answer.refresh_token[:5],
            **reuse,
        }


def aal_of(amr: bytes | str) -> str:
    """aal2 once a second factor was shown (models.Session.CalculateAALAndAMR)."""
    methods = {entry["method"] for entry in msgspec.json.decode(amr)}
    return "aal2" if methods & SECOND_FACTORS else "aal1"


OPEN = """
with s as (
    insert into auth.sessions (id, user_id, user_agent, ip) values ($1, $2, nullif($3, ''), $4)
), a as (
    insert into auth.mfa_amr_claims (session_id, authentication_method) values ($1, $6)
), t as (
    insert into auth.refresh_tokens (token, user_id, session_id) values ($5, $2::uuid::text, $1)
)
update auth.users set last_sign_in_at = now() where id = $2 returning last_sign_in_at"""


async def access_token(
    connection: Executor, signer: Signer, user: User, session_id: UUID, amr: msgspec.Raw, aal: str, caller: Caller, method: str
) -> tuple[str, int]:
    """A signed token and its `exp` (seconds since the epoch), once the project's hook has seen it. Raises ApiError."""
    claims = signer.claims_for(user, session_id, amr, aal)
    expires = int(claims["exp"])
    if signer.hook is not None:
        claims = await signer.hook.customized(connection, claims, method, str(caller.address or ""))
    return signer.signed(claims), expires


async def open_session(database: Executor, signer: Signer, account: Account, caller: Caller, method: str = "password") -> Granted:
    """A new session after its user proved who they are. `method` is what the tokens say about how."""
    acquire = getattr(database, "acquire", None)
    if signer.hook is None or acquire is None:
        return await _opened(database, signer, account, caller, method)
    async with acquire() as connection, connection.transaction():  # a hook that refuses undoes the session
        return await _opened(connection, signer, account, caller, method)


async def _opened(database: Executor, signer: Signer, account: Account, caller: Caller, method: str) -> Granted:
    session_id, token = uuid4(), new_refresh_token()
    signed_in = await database.fetchval(OPEN, session_id, account.user.id, caller.user_agent, caller.address, token, method)
    if signed_in is None:
        raise ApiError(400, "invalid_credentials", "Invalid login credentials")  # deleted between the check and now
    user = msgspec.structs.replace(account.user, last_sign_in_at=signed_in)
    amr = msgspec.Raw(msgspec.json.encode([{"method": method, "timestamp": int(signed_in.timestamp())}]))
    signed, expires = await access_token(database, signer, user, session_id, amr, "aal1", caller, method)
    return Granted(TokenAnswer(signed, "bearer", signer.jwt_exp_s, expires, token, user), session_id)


FIND = "select session_id from auth.refresh_tokens where token = $1"
LOCK = """
select s.user_id, s.not_after, s.created_at, s.refreshed_at at time zone 'utc' as refreshed_at, clock_timestamp() as now,
    coalesce((
    select jsonb_agg(jsonb_build_object('method', a.authentication_method,
                                        'timestamp', floor(extract(epoch from a.updated_at))::bigint)
                     order by a.updated_at desc)
    from auth.mfa_amr_claims a where a.session_id = s.id), '[]') as amr
from auth.sessions s where s.id = $1 for no key update of s"""
PRESENTED = "select t.id, t.token, t.parent, t.revoked, t.updated_at from auth.refresh_tokens t where t.token = $1"
ACTIVE = """select t.id, t.token, t.parent, t.revoked, t.updated_at from auth.refresh_tokens t
    where t.session_id = $1 and not t.revoked order by t.id desc limit 1"""
EXCHANGE = """
with old as (
    update auth.refresh_tokens set revoked = true, updated_at = now() where id = $1 and not revoked
)
insert into auth.refresh_tokens (token, parent, user_id, session_id) values ($2, $3, $4, $5)"""
TOUCH = """
update auth.sessions set refreshed_at = now() at time zone 'utc', updated_at = now(), user_agent = nullif($2, ''), ip = $3
where id = $1"""
LOCK_WAIT = "set local lock_timeout = '5s'"


async def refreshed(
    database: Database, signer: Signer, presented: str, caller: Caller, rules: refresh.Rules, ageing: Ageing
) -> Granted:
    """The next access token of the session that `presented` belongs to. Raises ApiError.

    The session's row is locked first and everything else is read after: under READ COMMITTED a joined row that is not locked
    would be the one from before the wait, and two requests with one token would both find it unused.
    """
    session_id = await database.fetchval(FIND, presented)
    if session_id is None:
        raise _not_found()
    async with database.acquire() as connection, connection.transaction():
        session = await _locked(connection, session_id)
        account = await users.by_id(connection, session["user_id"])
        now: datetime = session["now"]
        if account is None:
            raise _not_found()
        if account.user.is_banned(ageing.now_for(account.user.updated_at)):
            raise ApiError(400, "user_banned", "Invalid Refresh Token: User Banned")
        if session["not_after"] is not None and now > session["not_after"]:
            raise _expired("Session Expired")
        await _check_limits(connection, session, session_id, rules.limits, ageing)
        issued = await _next_token(connection, session_id, account.user.id, presented, ageing, rules)
        await connection.execute(TOUCH, session_id, caller.user_agent, caller.address)
        amr, aal = msgspec.Raw(session["amr"]), aal_of(session["amr"])
        if issued is not None:
            signed, expires = await access_token(connection, signer, account.user, session_id, amr, aal, caller, "token_refresh")
    # Raised after the commit: the deletion of the stolen session has to stay.
    if issued is None:
        raise ApiError(400, "refresh_token_already_used", "Invalid Refresh Token: Already Used")
    token, is_reused = issued
    answer = TokenAnswer(signed, "bearer", signer.jwt_exp_s, expires, token, account.user)
    return Granted(answer, session_id, is_reused)


OTHERS = "select created_at, refreshed_at at time zone 'utc' as refreshed_at from auth.sessions where user_id = $1 and id <> $2"


async def _check_limits(connection: Connection, session: Record, session_id: UUID, limits: SessionLimits, ageing: Ageing) -> None:
    """Raises ApiError session_expired."""
    times = _times_of(session)
    if (reason := limits.reason(times, ageing.now_for)) is not None:
        raise _expired(reason)
    if limits.is_single:
        others = [_times_of(row) for row in await connection.fetch(OTHERS, session["user_id"], session_id)]
        if not limits.is_newest(times, others, ageing.now_for):
            raise _expired("Session Expired (Revoked by Newer Login)")


def _times_of(row: Record) -> SessionTimes:
    return SessionTimes(row["created_at"], row["refreshed_at"])


def _expired(reason: str) -> ApiError:
    return ApiError(400, "session_expired", f"Invalid Refresh Token: {reason}")


def _not_found() -> ApiError:
    return ApiError(400, "refresh_token_not_found", "Invalid Refresh Token: Refresh Token Not Found")


async def _locked(connection: Connection, session_id: UUID) -> Record:
    await connection.execute(LOCK_WAIT)
    try:
        session = await connection.fetchrow(LOCK, session_id)
    except LockNotAvailable as exc:
        message = "Too many concurrent token refresh requests on the same session or refresh token"
        raise ApiError(409, "conflict", message) from exc
    if session is None:
        raise _not_found()
    return session


async def _next_token(
    connection: Connection, session_id: UUID, user_id: UUID, presented: str, ageing: Ageing, rules: refresh.Rules
) -> tuple[str, bool] | None:
    """The token to hand out and whether it was handed out before; None when it is refused. The caller has locked the session."""
    mine = _token_of(await connection.fetchrow(PRESENTED, presented))
    if mine is None:
        raise _not_found()
    active = _token_of(await connection.fetchrow(ACTIVE, session_id))
    match refresh.judge(mine, active, ageing.now_for(mine.updated), rules):
        case refresh.HandOut(token):
            return token, True
        case refresh.Refuse():
            return None
        case refresh.EndSession():
            await connection.execute(END, session_id)
            return None
        case refresh.Exchange():
            token = new_refresh_token()
            await connection.execute(EXCHANGE, mine.id, token, mine.token, str(user_id), session_id)
            return token, False


RAISE = """
with c as (
    insert into auth.mfa_amr_claims as a (session_id, authentication_method) values ($1, $2)
    on conflict (session_id, authentication_method) do update set updated_at = clock_timestamp()
)
update auth.sessions set aal = 'aal2', factor_id = $3, updated_at = now() where id = $1"""
END_WEAKER = "delete from auth.sessions where user_id = $1 and aal < 'aal2'"


async def raised(
    connection: Connection, signer: Signer, account: Account, session_id: UUID, method: str, factor_id: UUID, caller: Caller
) -> Granted:
    """The session after its user showed a second factor: new tokens for it, and the user's weaker sessions end."""
    await connection.execute(RAISE, session_id, method, factor_id)
    session = await _locked(connection, session_id)
    active = _token_of(await connection.fetchrow(ACTIVE, session_id))
    if active is None:
        raise _not_found()
    token = new_refresh_token()
    await connection.execute(EXCHANGE, active.id, token, active.token, str(account.user.id), session_id)
    await connection.execute(END_WEAKER, account.user.id)
    amr = msgspec.Raw(session["amr"])
    signed, expires = await access_token(connection, signer, account.user, session_id, amr, "aal2", caller, method)
    return Granted(TokenAnswer(signed, "bearer", signer.jwt_exp_s, expires, token, account.user), session_id)


def _token_of(row: Record | None) -> refresh.RefreshToken | None:
    return refresh.RefreshToken(row["id"], row["token"], row["parent"], row["revoked"], row["updated_at"]) if row else None


END = "delete from auth.sessions where id = $1"
END_ALL = "delete from auth.sessions where user_id = $1"
END_OTHERS = "delete from auth.sessions where user_id = $1 and id is distinct from $2"


async def end(database: Executor, user_id: UUID, session_id: UUID | None, scope: str) -> None:
    """Log out: `scope` is global, local or others. Without a session every scope means global, as in GoTrue."""
    if session_id is None or scope == "global":
        await database.execute(END_ALL, user_id)
    elif scope == "local":
        await database.execute(END, session_id)
    else:
        await database.execute(END_OTHERS, user_id, session_id)
