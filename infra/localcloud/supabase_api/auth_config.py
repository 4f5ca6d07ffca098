"""The part of a project's auth configuration that the stand-in goes by, under the Management API's names."""

from __future__ import annotations

from typing import Annotated

import msgspec

Seconds = Annotated[int, msgspec.Meta(ge=0, le=604_800)]
Limit = Annotated[int, msgspec.Meta(ge=1)] | None
Hours = Annotated[int, msgspec.Meta(ge=0, le=87_600)]
Text = Annotated[str, msgspec.Meta(max_length=4096)]


class AuthConfigInvalid(Exception):
    """The message names the wrong field."""


class AuthConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`uri_allow_list` has globs separated by commas. Times in seconds. Rate limits that are None do not exist."""

    site_url: Text = "http://localhost:3000"
    uri_allow_list: Text = ""
    disable_signup: bool = False
    external_email_enabled: bool = True
    external_anonymous_users_enabled: bool = False
    hook_custom_access_token_enabled: bool = False
    hook_custom_access_token_uri: Text = ""
    jwt_exp: Annotated[int, msgspec.Meta(ge=1, le=604_800)] = 3600
    mailer_autoconfirm: bool = True
    mailer_otp_exp: Annotated[int, msgspec.Meta(ge=0, le=604_800)] = 3600
    mailer_otp_length: Annotated[int, msgspec.Meta(ge=6, le=10)] = 6
    mailer_secure_email_change_enabled: bool = True
    mfa_max_enrolled_factors: Annotated[int, msgspec.Meta(ge=0, le=100)] = 10
    mfa_totp_enroll_enabled: bool = True
    mfa_totp_verify_enabled: bool = True
    password_min_length: Annotated[int, msgspec.Meta(ge=6, le=72)] = 6
    rate_limit_anonymous_users: Limit = None
    rate_limit_otp: Limit = None
    rate_limit_token_refresh: Limit = None
    rate_limit_verify: Limit = None
    refresh_token_rotation_enabled: bool = True
    security_manual_linking_enabled: bool = False
    security_refresh_token_reuse_interval: Seconds = 10
    security_sb_forwarded_for_enabled: bool = False
    security_update_password_require_reauthentication: bool = False
    sessions_inactivity_timeout: Hours = 0
    sessions_single_per_user: bool = False
    sessions_timebox: Hours = 0
    smtp_max_frequency: Seconds = 60


def parsed(text: str | bytes) -> AuthConfig:
    """Raises AuthConfigInvalid."""
    try:
        return msgspec.json.decode(text, type=AuthConfig)
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise AuthConfigInvalid(str(exc)) from exc
