"""The auth configuration of a Supabase project: what may be set, and what a project has that set nothing. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct, structs

from infra.localcloud.hook_address import EXPECTED, HOOK_ADDRESS
from infra.localcloud.world import lookup
from infra.localcloud.world.effects import Change, ReconfigureAuth, with_items
from infra.localcloud.world.errors import BadInput
from infra.localcloud.world.model import World

TEXT_CHARACTERS_MAX = 4096
SECRET = frozenset({"security_captcha_secret", "smtp_pass", "hook_custom_access_token_secrets"})
"""Shown as a hash, as the Management API does: that one is set can be seen, and whether it is the same, but not what it is."""

DEFAULTS: Mapping[str, bool | int | str | None] = {
    "disable_signup": False,
    "external_anonymous_users_enabled": False,
    "external_email_enabled": True,
    "external_phone_enabled": False,
    "hook_custom_access_token_enabled": False,
    "hook_custom_access_token_secrets": None,
    "hook_custom_access_token_uri": None,
    "jwt_exp": 3600,
    "mailer_autoconfirm": True,  # as in a local stack: who tries something out has no mailbox
    "mailer_otp_exp": 3600,
    "mailer_otp_length": 6,
    "mailer_secure_email_change_enabled": True,
    "mfa_max_enrolled_factors": 10,
    "mfa_totp_enroll_enabled": True,
    "mfa_totp_verify_enabled": True,
    "password_hibp_enabled": False,
    "password_min_length": 6,
    "password_required_characters": None,
    "rate_limit_anonymous_users": 30,
    "rate_limit_email_sent": 2,
    "rate_limit_otp": 30,
    "rate_limit_sms_sent": 30,
    "rate_limit_token_refresh": 150,
    "rate_limit_verify": 30,
    "rate_limit_web3": 30,
    "refresh_token_rotation_enabled": True,
    "security_captcha_enabled": False,
    "security_captcha_provider": None,
    "security_captcha_secret": None,
    "security_manual_linking_enabled": False,
    "security_refresh_token_reuse_interval": 10,
    "security_sb_forwarded_for_enabled": False,
    "security_update_password_require_reauthentication": False,
    "sessions_inactivity_timeout": 0,
    "sessions_single_per_user": False,
    "sessions_timebox": 0,
    "site_url": "http://localhost:3000",
    "smtp_admin_email": None,
    "smtp_host": None,
    "smtp_max_frequency": 60,
    "smtp_pass": None,
    "smtp_port": None,
    "smtp_sender_name": None,
    "smtp_user": None,
    "uri_allow_list": "",
}
BOUNDS: Mapping[str, tuple[int, int]] = {
    "jwt_exp": (1, 604_800),
    "mailer_otp_exp": (0, 2_147_483_647),
    "mailer_otp_length": (6, 10),
    "mfa_max_enrolled_factors": (0, 100),
    "password_min_length": (6, 32_767),
    "security_refresh_token_reuse_interval": (0, 2_147_483_647),
    **{name: (1, 2_147_483_647) for name in DEFAULTS if name.startswith("rate_limit_")},
}


class ConfigureAuth(Struct, frozen=True):
    ref: str
    changes: dict[str, Any]


def configure_auth(world: World, command: ConfigureAuth) -> Change:
    project = lookup.supabase_project(world, command.ref)
    checked = {name: _checked(name, value) for name, value in command.changes.items()}
    _check_hook({**project.auth_config, **checked})
    updated = structs.replace(project, auth_config={**project.auth_config, **checked})
    return Change(with_items(world, supabase={project.ref: updated}), (ReconfigureAuth(ref=project.ref),))


def _checked(name: str, value: Any) -> Any:
    """BadInput for what is not known or not of its type; null goes back to the default. No message shows the value."""
    if name not in DEFAULTS:
        raise BadInput(f"{name[:60]}: not known to the local cloud")
    default = DEFAULTS[name]
    if value is None:
        return default
    wanted = str if default is None else type(default)
    if name in ("sessions_timebox", "sessions_inactivity_timeout") and isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
        raise BadInput(f"{name}: expected {_TYPES[wanted]}")
    least, most = BOUNDS.get(name, (0, 2_147_483_647))
    if isinstance(value, int) and not isinstance(value, bool) and not least <= value <= most:
        raise BadInput(f"{name}: expected {least} to {most}")
    if isinstance(value, str) and len(value) > TEXT_CHARACTERS_MAX:
        raise BadInput(f"{name}: expected at most {TEXT_CHARACTERS_MAX} characters")
    return value


def _check_hook(config: Mapping[str, Any]) -> None:
    """Refused here, where whoever sets it learns it: the gateway would not start with it."""
    if not config.get("hook_custom_access_token_enabled"):
        return
    if HOOK_ADDRESS.fullmatch(config.get("hook_custom_access_token_uri") or "") is None:
        raise BadInput(f"hook_custom_access_token_uri: {EXPECTED}; the local cloud calls no hook over HTTP")


_TYPES = {bool: "a boolean", int: "an integer", str: "a string"}


def auth_config(set_by_user: Mapping[str, Any]) -> dict[str, Any]:
    """The whole configuration, in the clear: for the processes that go by it."""
    return {**DEFAULTS, **set_by_user}


def shown(set_by_user: Mapping[str, Any]) -> dict[str, Any]:
    """The whole configuration as the API answers it."""
    whole = auth_config(set_by_user)
    return {name: _hashed(value) if name in SECRET and value else value for name, value in whole.items()}


def _hashed(value: Any) -> str:
    return hashlib.sha256(str(value).encode()).hexdigest()


TRANSITIONS: dict[type, Callable[[World, Any], Change]] = {ConfigureAuth: configure_auth}
