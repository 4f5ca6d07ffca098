"""The settings of a project's Auth that a program may set, as data: ours and the API's name are one, but for their case.

Left out on purpose: mail templates and the two dozen external providers, which are content and accounts elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from infra.provider.fields import Field
from infra.provider.rules import Choice, ListOf, Rule, Text, Truth, Whole

_COUNT = Whole(1, 2_147_483_647)
_SECONDS = Whole(0, 2_147_483_647)
_URL = Text(1, 2048, r"\S+", "a URL")


@dataclass(frozen=True, slots=True)
class Setting:
    """`api` is the name in the Management API; `is_list` is a list of ours and one text with commas there."""

    api: str
    rule: Rule
    is_secret: bool = False
    is_list: bool = False

    @property
    def wire(self) -> str:
        first, *others = self.api.split("_")
        return first + "".join(each.capitalize() for each in others)

    def field(self) -> Field:
        return Field(self.wire, self.rule, is_secret=self.is_secret, is_kept_when_absent=True)

    def sent(self, value: Any) -> Any:
        return ",".join(value) if self.is_list else value

    def told(self, value: Any) -> Any:
        """The API's value as an input; None where nothing is set."""
        if not self.is_list:
            return value
        return [each for each in str(value or "").split(",") if each]


def _each(rule: Rule, *names: str) -> Iterable[Setting]:
    return (Setting(name, rule) for name in names)


SETTINGS: tuple[Setting, ...] = (
    Setting("site_url", _URL),
    Setting("uri_allow_list", ListOf(Text(1, 2048, r"[^,\s]+", "a URL without commas"), items_max=200), is_list=True),
    Setting("jwt_exp", Whole(1, 604_800)),
    Setting("password_min_length", Whole(6, 32_767)),
    Setting("password_required_characters", Text(0, 200)),
    Setting("mailer_otp_exp", _SECONDS),
    Setting("security_refresh_token_reuse_interval", _SECONDS),
    Setting("security_captcha_provider", Choice(("hcaptcha", "turnstile"))),
    Setting("security_captcha_secret", Text(), is_secret=True),
    Setting("sessions_timebox", _SECONDS),
    Setting("sessions_inactivity_timeout", _SECONDS),
    Setting("hook_custom_access_token_uri", _URL),
    Setting("hook_custom_access_token_secrets", Text(), is_secret=True),
    Setting("smtp_host", Text(1, 255)),
    Setting("smtp_port", Text(1, 5, r"[0-9]+", "a port")),
    Setting("smtp_user", Text(1, 255)),
    Setting("smtp_pass", Text(1, 1024), is_secret=True),
    Setting("smtp_admin_email", Text(3, 255, r"\S+@\S+", "an email address")),
    Setting("smtp_sender_name", Text(1, 255)),
    Setting("smtp_max_frequency", _SECONDS),
    *_each(
        Truth(),
        "disable_signup",
        "external_email_enabled",
        "external_phone_enabled",
        "external_anonymous_users_enabled",
        "hook_custom_access_token_enabled",
        "mailer_autoconfirm",
        "mailer_secure_email_change_enabled",
        "mfa_totp_enroll_enabled",
        "mfa_totp_verify_enabled",
        "password_hibp_enabled",
        "refresh_token_rotation_enabled",
        "security_captcha_enabled",
        "security_manual_linking_enabled",
        "security_sb_forwarded_for_enabled",
        "security_update_password_require_reauthentication",
        "sessions_single_per_user",
    ),
    *_each(
        _COUNT,
        "rate_limit_anonymous_users",
        "rate_limit_email_sent",
        "rate_limit_otp",
        "rate_limit_sms_sent",
        "rate_limit_token_refresh",
        "rate_limit_verify",
        "rate_limit_web3",
    ),
)
