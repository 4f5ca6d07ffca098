"""A project's Auth: how it behaves. Only the SDK is imported here."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from infra.provider.resource_class import Attribute, NativeResource


class AuthConfiguration(NativeResource):
    """What is left out stays as it is. Names are those of the Management API (GET /v1/projects/{ref}/config/auth)."""

    project_ref = Attribute[str]()

    def __init__(
        self,
        resource_name: str,
        *,
        project_ref: pulumi.Input[str],
        site_url: pulumi.Input[str] | None = None,
        uri_allow_list: pulumi.Input[Sequence[pulumi.Input[str]]] | None = None,
        jwt_exp: pulumi.Input[int] | None = None,
        password_min_length: pulumi.Input[int] | None = None,
        password_required_characters: pulumi.Input[str] | None = None,
        mailer_otp_exp: pulumi.Input[int] | None = None,
        security_refresh_token_reuse_interval: pulumi.Input[int] | None = None,
        security_captcha_provider: pulumi.Input[str] | None = None,
        security_captcha_secret: pulumi.Input[str] | None = None,
        sessions_timebox: pulumi.Input[int] | None = None,
        sessions_inactivity_timeout: pulumi.Input[int] | None = None,
        hook_custom_access_token_uri: pulumi.Input[str] | None = None,
        hook_custom_access_token_secrets: pulumi.Input[str] | None = None,
        smtp_host: pulumi.Input[str] | None = None,
        smtp_port: pulumi.Input[str] | None = None,
        smtp_user: pulumi.Input[str] | None = None,
        smtp_pass: pulumi.Input[str] | None = None,
        smtp_admin_email: pulumi.Input[str] | None = None,
        smtp_sender_name: pulumi.Input[str] | None = None,
        smtp_max_frequency: pulumi.Input[int] | None = None,
        disable_signup: pulumi.Input[bool] | None = None,
        external_email_enabled: pulumi.Input[bool] | None = None,
        external_phone_enabled: pulumi.Input[bool] | None = None,
        external_anonymous_users_enabled: pulumi.Input[bool] | None = None,
        hook_custom_access_token_enabled: pulumi.Input[bool] | None = None,
        mailer_autoconfirm: pulumi.Input[bool] | None = None,
        mailer_secure_email_change_enabled: pulumi.Input[bool] | None = None,
        mfa_totp_enroll_enabled: pulumi.Input[bool] | None = None,
        mfa_totp_verify_enabled: pulumi.Input[bool] | None = None,
        password_hibp_enabled: pulumi.Input[bool] | None = None,
        refresh_token_rotation_enabled: pulumi.Input[bool] | None = None,
        security_captcha_enabled: pulumi.Input[bool] | None = None,
        security_manual_linking_enabled: pulumi.Input[bool] | None = None,
        security_sb_forwarded_for_enabled: pulumi.Input[bool] | None = None,
        security_update_password_require_reauthentication: pulumi.Input[bool] | None = None,
        sessions_single_per_user: pulumi.Input[bool] | None = None,
        rate_limit_anonymous_users: pulumi.Input[int] | None = None,
        rate_limit_email_sent: pulumi.Input[int] | None = None,
        rate_limit_otp: pulumi.Input[int] | None = None,
        rate_limit_sms_sent: pulumi.Input[int] | None = None,
        rate_limit_token_refresh: pulumi.Input[int] | None = None,
        rate_limit_verify: pulumi.Input[int] | None = None,
        rate_limit_web3: pulumi.Input[int] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "project_ref": project_ref,
            "site_url": site_url,
            "uri_allow_list": uri_allow_list,
            "jwt_exp": jwt_exp,
            "password_min_length": password_min_length,
            "password_required_characters": password_required_characters,
            "mailer_otp_exp": mailer_otp_exp,
            "security_refresh_token_reuse_interval": security_refresh_token_reuse_interval,
            "security_captcha_provider": security_captcha_provider,
            "security_captcha_secret": _secret(security_captcha_secret),
            "sessions_timebox": sessions_timebox,
            "sessions_inactivity_timeout": sessions_inactivity_timeout,
            "hook_custom_access_token_uri": hook_custom_access_token_uri,
            "hook_custom_access_token_secrets": _secret(hook_custom_access_token_secrets),
            "smtp_host": smtp_host,
            "smtp_port": smtp_port,
            "smtp_user": smtp_user,
            "smtp_pass": _secret(smtp_pass),
            "smtp_admin_email": smtp_admin_email,
            "smtp_sender_name": smtp_sender_name,
            "smtp_max_frequency": smtp_max_frequency,
            "disable_signup": disable_signup,
            "external_email_enabled": external_email_enabled,
            "external_phone_enabled": external_phone_enabled,
            "external_anonymous_users_enabled": external_anonymous_users_enabled,
            "hook_custom_access_token_enabled": hook_custom_access_token_enabled,
            "mailer_autoconfirm": mailer_autoconfirm,
            "mailer_secure_email_change_enabled": mailer_secure_email_change_enabled,
            "mfa_totp_enroll_enabled": mfa_totp_enroll_enabled,
            "mfa_totp_verify_enabled": mfa_totp_verify_enabled,
            "password_hibp_enabled": password_hibp_enabled,
            "refresh_token_rotation_enabled": refresh_token_rotation_enabled,
            "security_captcha_enabled": security_captcha_enabled,
            "security_manual_linking_enabled": security_manual_linking_enabled,
            "security_sb_forwarded_for_enabled": security_sb_forwarded_for_enabled,
            "security_update_password_require_reauthentication": security_update_password_require_reauthentication,
            "sessions_single_per_user": sessions_single_per_user,
            "rate_limit_anonymous_users": rate_limit_anonymous_users,
            "rate_limit_email_sent": rate_limit_email_sent,
            "rate_limit_otp": rate_limit_otp,
            "rate_limit_sms_sent": rate_limit_sms_sent,
            "rate_limit_token_refresh": rate_limit_token_refresh,
            "rate_limit_verify": rate_limit_verify,
            "rate_limit_web3": rate_limit_web3,
        }
        super().__init__("supabase:index:AuthConfiguration", resource_name, inputs, (), opts)


def _secret(value: pulumi.Input[str] | None) -> pulumi.Input[str] | None:
    return None if value is None else pulumi.Output.secret(value)
