"""What sends a code or a link: /otp, /magiclink, /recover, /resend, /reauthenticate, /invite.

An address that nobody has answers as one that somebody has, but for /otp with create_user false, as in GoTrue.
"""

from __future__ import annotations

import secrets

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from infra.localcloud.supabase_api import letters, pkce, registration, users
from infra.localcloud.supabase_api.bearer import authenticated, counted, params_of, require_admin
from infra.localcloud.supabase_api.errors import ApiError, json_response, validation_failed
from infra.localcloud.supabase_api.project import Project, project_of
from infra.localcloud.supabase_api.users import Account
from infra.localcloud.supabase_api.validation import checked_email
from infra.localcloud.supabase_api.wire import InviteParams, OtpParams, PkceParams, ResendParams, SignupParams

EMAIL_TAKEN = ApiError(422, "email_exists", "A user with this email address has already been registered")
SENT: dict[str, str] = {}


async def otp(request: Request) -> Response:
    params = await params_of(request, OtpParams)
    if params.email and params.phone:
        raise validation_failed("Only an email address or phone number should be provided")
    if params.email and params.channel:
        raise validation_failed("Channel should only be specified with Phone OTP")
    pkce.check_challenge(*params.challenge)
    is_for_known = params.create_user is False and bool(params.email)
    if is_for_known and await users.by_email(project_of(request).database, checked_email(params.email or "")) is None:
        raise ApiError(422, "otp_disabled", "Signups not allowed for otp")
    if params.phone:
        raise ApiError(400, "phone_provider_disabled", "Unsupported phone provider")
    if not params.email:
        raise validation_failed("One of email or phone must be set")
    return await _magic_link(request, params)


async def magic_link(request: Request) -> Response:
    return await _magic_link(request, await params_of(request, OtpParams))


async def _magic_link(request: Request, params: OtpParams) -> Response:
    """A link that signs in; somebody new is registered first, with a password nobody knows."""
    project = project_of(request)
    if not project.settings.auth.external_email_enabled:
        raise ApiError(422, "email_provider_disabled", "Email logins are disabled")
    if not params.email:
        raise validation_failed("Password recovery requires an email", 422)
    email = checked_email(params.email)
    pkce.check_challenge(*params.challenge)
    account = await users.by_email(project.database, email)
    if account is None or not account.user.is_email_confirmed:
        account = await _registered(request, project, email, params)
        if account is None:  # the mail that confirms the address signs in too
            return json_response(SENT)
    await _send(request, project, account, "magiclink", params)
    return json_response(SENT)


async def _registered(request: Request, project: Project, email: str, params: OtpParams) -> Account | None:
    """The new account where sign-ups are confirmed at once, else None: its confirmation is on the way."""
    registration.require_signups(project)
    new = SignupParams(
        email=email,
        password=secrets.token_urlsafe(33),
        data=params.data,
        code_challenge_method=params.code_challenge_method,
        code_challenge=params.code_challenge,
    )
    registered = await registration.register(request, project, new)
    return registered.account if registered.user.is_email_confirmed else None


async def _send(request: Request, project: Project, account: Account, kind: str, params: PkceParams) -> None:
    is_pkce = bool(params.code_challenge)
    async with project.database.acquire() as connection, connection.transaction():
        if is_pkce:
            method = {"signup": "email/signup"}.get(kind, kind)
            await pkce.begin(connection, account.user.id, method, *params.challenge)
        await letters.send(request, connection, account, kind, is_pkce=is_pkce)


async def recover(request: Request) -> Response:
    project = project_of(request)
    if not project.settings.auth.external_email_enabled:
        raise ApiError(400, "email_provider_disabled", "Email logins are disabled")
    params = await params_of(request, OtpParams)
    if not params.email:
        raise validation_failed("Password recovery requires an email")
    email = checked_email(params.email)
    pkce.check_challenge(*params.challenge)
    account = await users.by_email(project.database, email)
    if account is not None:
        await _send(request, project, account, "recovery", params)
    return json_response(SENT)


RESENT = ("signup", "email_change", "sms", "phone_change")


async def resend(request: Request) -> Response:
    params, project = await params_of(request, ResendParams), project_of(request)
    email = _resent_address(params, is_email_enabled=project.settings.auth.external_email_enabled)
    account = await users.by_email(project.database, email)
    if account is None:
        return json_response(SENT)
    if params.type == "signup" and not account.user.is_email_confirmed:
        await _send(request, project, account, "signup", params)
    if params.type == "email_change" and account.user.new_email:
        is_pkce = bool(params.code_challenge)
        async with project.database.acquire() as connection, connection.transaction():
            if is_pkce:
                await pkce.begin(connection, account.user.id, "email_change", *params.challenge)
            await letters.send_email_change(request, connection, account, account.user.new_email, is_pkce=is_pkce)
    return json_response(SENT)


def _resent_address(params: ResendParams, *, is_email_enabled: bool) -> str:
    """Raises ApiError in GoTrue's order."""
    if params.type not in RESENT:
        raise validation_failed("Missing one of these types: signup, email_change, sms, phone_change")
    if params.type in ("signup", "email_change"):
        pkce.check_challenge(*params.challenge)
    if params.type == "signup" and not params.email:
        raise validation_failed("Type provided requires an email address")
    if params.type == "sms" and not params.phone:
        raise validation_failed("Type provided requires a phone number")
    if params.email and params.phone:
        raise validation_failed("Only an email address or phone number should be provided.")
    if params.phone:
        raise ApiError(400, "phone_provider_disabled", "Phone logins are disabled")
    if not params.email:
        raise validation_failed("Missing email address or phone number")
    if not is_email_enabled:
        raise ApiError(400, "email_provider_disabled", "Email logins are disabled")
    return checked_email(params.email)


async def reauthenticate(request: Request) -> Response:
    """A code that allows a change of the password, where the project asks for one."""
    caller, project = await authenticated(request), project_of(request)
    user = caller.account.user
    if not user.email and not user.phone:
        raise validation_failed("Reauthentication requires the user to have an email or a phone number")
    if user.email and not user.is_email_confirmed:
        raise ApiError(422, "email_not_confirmed", "Please verify your email first.")
    if not user.email:
        raise ApiError(400, "phone_provider_disabled", "Unsupported phone provider")
    async with project.database.acquire() as connection, connection.transaction():
        await letters.send(request, connection, caller.account, "reauthentication")
    return json_response(SENT)


async def invite(request: Request) -> Response:
    await require_admin(request)
    params, project = await params_of(request, InviteParams), project_of(request)
    email = checked_email(params.email or "")
    async with project.database.acquire() as connection, connection.transaction():
        account = await users.by_email(connection, email)
        if account is not None and account.user.is_email_confirmed:
            raise EMAIL_TAKEN
        if account is None:
            new = registration.email_user(email, "", params.data or {}, is_confirmed=False, is_by_admin=True)
            account = await users.insert(connection, new)
        if account is None:  # another request was first
            raise EMAIL_TAKEN
        await users.mark_sent(connection, account.user.id, "invited_at")
        await letters.send(request, connection, account, "invite")
        account = await users.by_id(connection, account.user.id) or account
    return json_response(account.user)


routes = [
    Route("/otp", counted("otp", otp), methods=["POST"]),
    Route("/magiclink", counted("magiclink", magic_link), methods=["POST"]),
    Route("/recover", counted("recover", recover), methods=["POST"]),
    Route("/resend", counted("resend", resend), methods=["POST"]),
    Route("/reauthenticate", reauthenticate, methods=["GET"]),
    Route("/invite", invite, methods=["POST"]),
]
