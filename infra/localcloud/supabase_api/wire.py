"""What goes over the wire: request bodies as GoTrue reads them, users and token answers as it writes them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from infra.localcloud.supabase_api.errors import ApiError


class User(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """GoTrue's user object (internal/models/user.go), fields in its order. Metadata and identities are JSON text as stored."""

    id: UUID
    aud: str
    role: str
    email: str
    email_confirmed_at: datetime | None = None
    invited_at: datetime | None = None
    phone: str
    phone_confirmed_at: datetime | None = None
    confirmed_at: datetime | None = None
    last_sign_in_at: datetime | None = None
    app_metadata: msgspec.Raw
    user_metadata: msgspec.Raw
    identities: msgspec.Raw
    created_at: datetime
    updated_at: datetime
    banned_until: datetime | None = None
    deleted_at: datetime | None = None
    is_anonymous: bool

    def is_banned(self, now: datetime) -> bool:
        return self.banned_until is not None and now < self.banned_until


class TokenAnswer(msgspec.Struct, frozen=True):
    access_token: str
    token_type: str
    expires_in: int
    expires_at: int
    refresh_token: str
    user: User


class Params(msgspec.Struct):
    """Base of request bodies: unknown fields are ignored and null means absent, as in Go."""


class SignupParams(Params):
    email: str | None = None
    phone: str | None = None
    password: str | None = None
    data: dict[str, Any] | None = None


class PasswordGrantParams(Params):
    email: str | None = None
    phone: str | None = None
    password: str | None = None


class RefreshGrantParams(Params):
    refresh_token: str | None = None


class UserUpdateParams(Params):
    email: str | None = None
    phone: str | None = None
    password: str | None = None
    data: dict[str, Any] | None = None
    app_metadata: dict[str, Any] | None = None


class AdminUserParams(Params):
    """`ban_duration` is a Go duration ("24h", "1h30m") or "none"."""

    id: str | None = None
    role: str | None = None
    email: str | None = None
    phone: str | None = None
    password: str | None = None
    password_hash: str | None = None
    email_confirm: bool | None = None
    phone_confirm: bool | None = None
    user_metadata: dict[str, Any] | None = None
    app_metadata: dict[str, Any] | None = None
    ban_duration: str | None = None


class AdminDeleteParams(Params):
    should_soft_delete: bool | None = None


P = TypeVar("P", bound=Params)


def parse(body: bytes, params: type[P]) -> P:
    """The body as `params`; raises ApiError bad_json."""
    try:
        return msgspec.json.decode(body, type=params)
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise ApiError(400, "bad_json", f"Could not parse request body as JSON: {exc}") from exc
