"""Proof key for code exchange (RFC 7636) around links sent by mail: SQL on auth.flow_state, and the checks."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from infra.localcloud.supabase_api.database import Executor
from infra.localcloud.supabase_api.errors import ApiError, validation_failed

CHALLENGE_CHARACTERS_MIN, CHALLENGE_CHARACTERS_MAX = 43, 128  # RFC 7636 section 4.2
CHALLENGE = re.compile(r"[a-zA-Z._~0-9-]+")
METHODS = ("s256", "plain")
EXPIRES_AFTER = timedelta(seconds=300)


def check_challenge(method: str, challenge: str) -> None:
    """Raises ApiError validation_failed; both empty is the implicit flow."""
    if bool(method) != bool(challenge):
        raise validation_failed("PKCE flow requires code_challenge_method and code_challenge")
    if not challenge:
        return
    if not CHALLENGE_CHARACTERS_MIN <= len(challenge) <= CHALLENGE_CHARACTERS_MAX:
        bounds = f"between {CHALLENGE_CHARACTERS_MIN} and {CHALLENGE_CHARACTERS_MAX}"
        raise validation_failed(f"code challenge has to be {bounds} characters")
    if not CHALLENGE.fullmatch(challenge):
        what = "alphanumeric characters, hyphens, periods, underscores and tildes"
        raise validation_failed(f"code challenge can only contain {what}")


def is_proven(method: str, challenge: str, verifier: str) -> bool:
    given = verifier
    if method == "s256":
        given = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    return hmac.compare_digest(challenge.encode(), given.encode())


async def begin(connection: Executor, user_id: UUID, kind: str, method: str, challenge: str) -> None:
    """Remembers the challenge until the link is followed. `kind` is GoTrue's authentication method."""
    if method.lower() not in METHODS:
        # GoTrue lets this one out unworded.
        raise ApiError(500, "unexpected_failure", "Unexpected failure, please check server logs for more information")
    sql = """insert into auth.flow_state (id, user_id, auth_code, code_challenge_method, code_challenge, provider_type,
        authentication_method) values ($1, $2, $3, $4, $5, $6, $6)"""
    await connection.execute(sql, uuid4(), user_id, str(uuid4()), method.lower(), challenge, kind)


async def auth_code(connection: Executor, user_id: UUID, kind: str) -> str | None:
    """The code for who followed the link; None where no flow of this kind was begun."""
    sql = """update auth.flow_state set auth_code_issued_at = now() where id = (
        select id from auth.flow_state where user_id = $1 and authentication_method = $2 order by created_at desc limit 1)
        returning auth_code"""
    code: str | None = await connection.fetchval(sql, user_id, kind)
    return code


async def redeem(connection: Executor, code: str, verifier: str, now_for: Callable[[datetime], datetime]) -> tuple[UUID, str]:
    """(user, kind) of the flow, which is over then. Raises ApiError in GoTrue's order."""
    row = await connection.fetchrow(
        """select id, user_id, code_challenge_method, code_challenge, authentication_method, created_at, auth_code_issued_at
        from auth.flow_state where auth_code = $1 for update""",
        code,
    )
    if row is None:
        raise ApiError(404, "flow_state_not_found", "invalid flow state, no valid flow state found")
    is_link = row["authentication_method"] == "magiclink" and row["auth_code_issued_at"] is not None
    begun: datetime = row["auth_code_issued_at"] if is_link else row["created_at"]
    if now_for(begun) > begun + EXPIRES_AFTER:
        raise ApiError(422, "flow_state_expired", "invalid flow state, flow state has expired")
    if not is_proven(row["code_challenge_method"], row["code_challenge"], verifier):
        raise ApiError(400, "bad_code_verifier", "code challenge does not match previously saved code verifier")
    await connection.execute("delete from auth.flow_state where id = $1", row["id"])
    return row["user_id"], row["authentication_method"]
