"""What goes over the wire: request bodies as GoTrue reads them, users and token answers as it writes them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from infra.localcloud.supabase_api.errors import ApiError


class Factor(msgspec.Struct, frozen=True, kw_only=True):
    """A second factor, as GoTrue shows it (internal/models/factor.go). Times are texts, as the database rendered them."""

    id: UUID
    created_at: str
    updated_at: str
    status: str
    friendly_name: str | msgspec.UnsetType = msgspec.UNSET
    factor_type: str
    phone: str
    last_challenged_at: str | None


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
    confirmation_sent_at: datetime | None = None
    confirmed_at: datetime | None = None
    recovery_sent_at: datetime | None = None
    new_email: str = ""
    email_change_sent_at: datetime | None = None
    new_phone: str = ""
    reauthentication_sent_at: datetime | None = None
    last_sign_in_at: datetime | None = None
    app_metadata: msgspec.Raw
    user_metadata: msgspec.Raw
    factors: tuple[Factor, ...] | None = None
    identities: msgspec.Raw
    created_at: datetime
    updated_at: datetime
    banned_until: datetime | None = None
    deleted_at: datetime | None = None
    is_anonymous: bool

    @property
    def is_email_confirmed(self) -> bool:
        return self.email_confirmed_at is not None

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


class PkceParams(Params):
    """Both empty means the implicit flow: the link itself carries the session."""

    code_challenge_method: str | None = None
    code_challenge: str | None = None

    @property
    def challenge(self) -> tuple[str, str]:
        return self.code_challenge_method or "", self.code_challenge or ""


class SignupParams(PkceParams):
    email: str | None = None
    phone: str | None = None
    password: str | None = None
    data: dict[str, Any] | None = None


class OtpParams(PkceParams):
    email: str | None = None
    phone: str | None = None
    create_user: bool | None = None
    data: dict[str, Any] | None = None
    channel: str | None = None


class ResendParams(PkceParams):
    type: str | None = None
    email: str | None = None
    phone: str | None = None


class VerifyParams(Params):
    type: str | None = None
    token: str | None = None
    token_hash: str | None = None
    email: str | None = None
    phone: str | None = None
    redirect_to: str | None = None


class PkceGrantParams(Params):
    auth_code: str | None = None
    code_verifier: str | None = None


class IdTokenGrantParams(Params):
    provider: str | None = None
    id_token: str | None = None
    client_id: str | None = None
    issuer: str | None = None


class InviteParams(Params):
    email: str | None = None
    data: dict[str, Any] | None = None


class GenerateLinkParams(Params):
    type: str | None = None
    email: str | None = None
    new_email: str | None = None
    password: str | None = None
    data: dict[str, Any] | None = None
    redirect_to: str | None = None


class EnrollParams(Params):
    friendly_name: str | None = None
    factor_type: str | None = None
    issuer: str | None = None
    phone: str | None = None


class FactorVerifyParams(Params):
    challenge_id: UUID | None = None
    code: str | None = None


class FactorUpdateParams(Params):
    friendly_name: str | None = None


class PasswordGrantParams(Params):
    email: str | None = None
    phone: str | None = None
    password: str | None = None


class RefreshGrantParams(Params):
    refresh_token: str | None = None


class UserUpdateParams(PkceParams):
    email: str | None = None
    phone: str | None = None
    password: str | None = None
    data: dict[str, Any] | None = None
    app_metadata: dict[str, Any] | None = None
    nonce: str | None = None


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
        reason = "unexpected end of JSON input" if "truncated" in str(exc) else str(exc)  # the words of Go
        raise ApiError(400, "bad_json", f"Could not parse request body as JSON: {reason}") from exc
