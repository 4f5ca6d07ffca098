"""One-time codes and links: what is sent by mail and comes back to /verify. SQL on auth.one_time_tokens.

A code is never stored: a row holds the SHA-224 of the address and the code, which is also what a link carries. A hash that
starts with `pkce_` belongs to a flow whose client will exchange an auth code for the session (RFC 7636).
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from infra.localcloud.supabase_api.database import Executor
from infra.localcloud.supabase_api.errors import ApiError

NowFor = Callable[[datetime], datetime]
PKCE_PREFIX = "pkce_"


class Purpose(StrEnum):
    """GoTrue's auth.one_time_token_type."""

    CONFIRMATION = "confirmation_token"
    REAUTHENTICATION = "reauthentication_token"
    RECOVERY = "recovery_token"
    EMAIL_CHANGE_NEW = "email_change_token_new"
    EMAIL_CHANGE_CURRENT = "email_change_token_current"


SENT_AT = {
    Purpose.CONFIRMATION: "confirmation_sent_at",
    Purpose.REAUTHENTICATION: "reauthentication_sent_at",
    Purpose.RECOVERY: "recovery_sent_at",
    Purpose.EMAIL_CHANGE_NEW: "email_change_sent_at",
    Purpose.EMAIL_CHANGE_CURRENT: "email_change_sent_at",
}


@dataclass(frozen=True, slots=True)
class Code:
    """`otp` is for the reader of the mail, `hash` for the link and the database."""

    otp: str
    hash: str


@dataclass(frozen=True, slots=True)
class Issued:
    """A row: whose it is, what for, and when it was sent."""

    user_id: UUID
    purpose: Purpose
    hash: str
    sent_at: datetime

    def is_expired(self, now_for: NowFor, lifetime_s: int) -> bool:
        return now_for(self.sent_at) > self.sent_at + timedelta(seconds=lifetime_s)


def new_code(address: str, length: int, *, is_pkce: bool = False) -> Code:
    otp = f"{secrets.randbelow(10**length):0{length}d}"
    return Code(otp, (PKCE_PREFIX if is_pkce else "") + hash_of(address, otp))


def hash_of(address: str, otp: str) -> str:
    return hashlib.sha224(f"{address}{otp}".encode()).hexdigest()


def check_frequency(sent_at: datetime | None, now_for: NowFor, seconds: int) -> None:
    """Raises ApiError over_email_send_rate_limit while the last mail of this kind is younger than `seconds`."""
    left = 0.0 if sent_at is None else (sent_at + timedelta(seconds=seconds) - now_for(sent_at)).total_seconds()
    if left > 0:
        message = f"For security purposes, you can only request this after {int(left)} seconds."
        raise ApiError(429, "over_email_send_rate_limit", message)


PUT = """insert into auth.one_time_tokens (user_id, token_type, token_hash, relates_to) values ($1, $2, $3, lower($4))
    on conflict (user_id, token_type) do update set token_hash = excluded.token_hash, relates_to = excluded.relates_to,
    created_at = now(), updated_at = now()"""
FIND = """select user_id, token_type, token_hash, created_at from auth.one_time_tokens
    where token_hash = $1 and token_type = any($2) for update"""
OF_USER = """select user_id, token_type, token_hash, created_at from auth.one_time_tokens
    where user_id = $1 and token_type = $2"""


async def put(connection: Executor, user_id: UUID, purpose: Purpose, code_hash: str, relates_to: str) -> None:
    """Replaces what this user had for the same purpose: only the newest mail works."""
    await connection.execute(PUT, user_id, purpose.value, code_hash, relates_to)


async def find(connection: Executor, code_hash: str, *purposes: Purpose) -> Issued | None:
    return _issued(await connection.fetchrow(FIND, code_hash, [purpose.value for purpose in purposes]))


async def of_user(connection: Executor, user_id: UUID, purpose: Purpose) -> Issued | None:
    return _issued(await connection.fetchrow(OF_USER, user_id, purpose.value))


def _issued(row: Any) -> Issued | None:
    if row is None:
        return None
    return Issued(row["user_id"], Purpose(row["token_type"]), row["token_hash"], row["created_at"])


async def clear(connection: Executor, user_id: UUID, purpose: Purpose | None = None) -> None:
    """One purpose's token, or all of a user's: one that was used makes the others void too."""
    sql = "delete from auth.one_time_tokens where user_id = $1 and ($2::text is null or token_type = $2)"
    await connection.execute(sql, user_id, purpose.value if purpose else None)
