"""/verify: a code or a link comes back. POST answers with the session, GET sends the browser on with it.

Order and words are GoTrue's (internal/api/verify.go).
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from infra.localcloud.supabase_api import one_time, pkce, redirects, sessions, users
from infra.localcloud.supabase_api.bearer import caller_of, counted, is_banned, params_of, redirect_of
from infra.localcloud.supabase_api.database import Connection
from infra.localcloud.supabase_api.errors import ApiError, json_response, validation_failed
from infra.localcloud.supabase_api.one_time import PKCE_PREFIX, Issued, Purpose, hash_of
from infra.localcloud.supabase_api.project import Project, project_of
from infra.localcloud.supabase_api.registration import granted_response
from infra.localcloud.supabase_api.sessions import Granted
from infra.localcloud.supabase_api.users import Account
from infra.localcloud.supabase_api.validation import checked_email, checked_phone
from infra.localcloud.supabase_api.wire import VerifyParams

HALF_CONFIRMED = "Confirmation link accepted. Please proceed to confirm link sent to the other email"
LINK_EXPIRED = ApiError(403, "otp_expired", "Email link is invalid or has expired")
CODE_EXPIRED = ApiError(403, "otp_expired", "Token has expired or is invalid")
PURPOSES = {
    "signup": (Purpose.CONFIRMATION,),
    "invite": (Purpose.CONFIRMATION,),
    "recovery": (Purpose.RECOVERY,),
    "magiclink": (Purpose.RECOVERY,),
    "email_change": (Purpose.EMAIL_CHANGE_CURRENT, Purpose.EMAIL_CHANGE_NEW),
    "email": (Purpose.CONFIRMATION, Purpose.RECOVERY),  # a code whose sender does not know which of the two it was
}
FLOWS = {"signup": "email/signup", "email": "email/signup"}  # the authentication method of a link's kind, where it differs
OAUTH_ERRORS = {
    400: "invalid_request",
    401: "unauthorized_client",
    403: "access_denied",
    500: "server_error",
    503: "temporarily_unavailable",
}


@dataclass(frozen=True, slots=True)
class Presented:
    """A code that was found and is in time."""

    account: Account
    issued: Issued


async def verify_post(request: Request) -> Response:
    params, project = await params_of(request, VerifyParams), project_of(request)
    address = _checked(params)
    async with project.database.acquire() as connection, connection.transaction():
        if params.token:
            found = await _by_code(project, connection, params.type or "", address, params.token)
        else:
            found = await _by_hash(project, connection, params.type or "", params.token_hash or "")
        account = await _accepted(project, connection, found)
        granted = await _signed_in(request, project, connection, account) if account else None
    if granted is None:
        return json_response({"msg": HALF_CONFIRMED, "code": "200"})
    return granted_response(granted)


def _checked(params: VerifyParams) -> str:
    """The address that a code was sent to, "" for a link. Raises ApiError."""
    if not params.type:
        raise validation_failed("Verify requires a verification type")
    if bool(params.token) == bool(params.token_hash):
        raise validation_failed("Verify requires either a token or a token hash")
    if params.token_hash:
        if params.email or params.phone or params.redirect_to:
            raise validation_failed("Only the token_hash and type should be provided")
        return ""
    if params.phone and not params.email:
        checked_phone(params.phone)
        raise CODE_EXPIRED  # no code was ever sent to a phone from here
    if params.phone or not params.email:
        raise validation_failed("Only an email address or phone number should be provided on verify")
    try:
        return checked_email(params.email)
    except ApiError as exc:
        raise validation_failed("Invalid email format", 422) from exc


async def _by_hash(project: Project, connection: Connection, kind: str, code_hash: str) -> Presented:
    """The user whom the link was sent to. Raises ApiError."""
    purposes = PURPOSES.get(kind)
    if purposes is None:
        raise validation_failed("Invalid email verification type")
    issued = await one_time.find(connection, code_hash, *purposes)
    account = await users.by_id(connection, issued.user_id) if issued else None
    if issued is None or account is None:
        raise LINK_EXPIRED
    if is_banned(project, account.user):
        raise ApiError(403, "user_banned", "User is banned")
    if issued.is_expired(project.ageing.now_for, project.settings.auth.mailer_otp_exp):
        raise LINK_EXPIRED
    return Presented(account, issued)


async def _by_code(project: Project, connection: Connection, kind: str, email: str, otp: str) -> Presented:
    """The user who has that address and was sent that code. Raises ApiError."""
    hashes = (hash_of(email, otp), PKCE_PREFIX + hash_of(email, otp))
    for code_hash in hashes:
        issued = await one_time.find(connection, code_hash, *PURPOSES.get(kind, ()))
        account = await users.by_id(connection, issued.user_id) if issued else None
        if issued is None or account is None or not _is_theirs(account, issued, email):
            continue
        if is_banned(project, account.user):
            raise ApiError(403, "user_banned", "User is banned")
        if not issued.is_expired(project.ageing.now_for, project.settings.auth.mailer_otp_exp):
            return Presented(account, issued)
    known = await users.by_email(connection, email)
    if known is not None and is_banned(project, known.user):
        raise ApiError(403, "user_banned", "User is banned")
    raise CODE_EXPIRED


def _is_theirs(account: Account, issued: Issued, email: str) -> bool:
    return email == (account.user.new_email if issued.purpose is Purpose.EMAIL_CHANGE_NEW else account.user.email)


async def _accepted(project: Project, connection: Connection, found: Presented) -> Account | None:
    """What the code was for is done. None where the other address has to agree too."""
    user_id, purpose = found.account.user.id, found.issued.purpose
    if purpose in (Purpose.EMAIL_CHANGE_CURRENT, Purpose.EMAIL_CHANGE_NEW):
        if not await _change_email(project, connection, found):
            return None
    elif purpose is Purpose.CONFIRMATION:
        if found.account.password_hash is None and found.account.user.invited_at is not None:
            await users.void_pending(connection, user_id)  # GoTrue gives the invited a password nobody knows
        await users.confirm(connection, user_id, marks_identity=True)
        await one_time.clear(connection, user_id)
    else:
        await one_time.clear(connection, user_id)
        if not found.account.user.is_email_confirmed:
            await users.confirm(connection, user_id, marks_identity=False)
    await users.note_providers(connection, user_id)
    account = await users.by_id(connection, user_id)
    assert account is not None, "locked by the updates above"
    return account


async def _change_email(project: Project, connection: Connection, found: Presented) -> bool:
    config, account = project.settings.auth, found.account
    needs_both = not config.mailer_autoconfirm and config.mailer_secure_email_change_enabled and bool(account.user.email)
    if needs_both and not account.is_email_change_half_confirmed:
        await one_time.clear(connection, account.user.id, found.issued.purpose)
        await users.half_confirm_email_change(connection, account.user.id)
        return False
    await users.finish_email_change(connection, account.user.id, account.user.new_email)
    await one_time.clear(connection, account.user.id)
    return True


async def _signed_in(request: Request, project: Project, connection: Connection, account: Account) -> Granted:
    return await sessions.open_session(connection, project.signer, account, caller_of(request), "otp")


async def verify_get(request: Request) -> Response:
    """303 to where the link leads: with the session in the fragment, with an auth code, or with what went wrong."""
    kind, token = request.query_params.get("type", ""), request.query_params.get("token", "")
    if not kind:
        raise validation_failed("Verify requires a verification type")
    if not token:
        raise validation_failed("Verify requires a token or a token hash")
    redirect, is_pkce = redirect_of(request), token.startswith(PKCE_PREFIX)
    try:
        location, headers = await _followed(request, kind, token, redirect, is_pkce=is_pkce)
        return see_other(location, headers)
    except ApiError as exc:
        return see_other(_refused(exc, redirect, is_pkce=is_pkce))


async def _followed(request: Request, kind: str, token: str, redirect: str, *, is_pkce: bool) -> tuple[str, dict[str, str]]:
    project = project_of(request)
    async with project.database.acquire() as connection, connection.transaction():
        found = await _by_hash(project, connection, kind, token)
        account = await _accepted(project, connection, found)
        if account is None:
            message = {"message": HALF_CONFIRMED}
            return redirects.with_fragment(redirects.with_query(redirect, message) if is_pkce else redirect, message), {}
        if is_pkce:
            return redirects.with_query(redirect, {"code": await _auth_code(connection, account.user.id, kind)}), {}
        granted = await _signed_in(request, project, connection, account)
    answer = granted.answer
    values = {
        "access_token": answer.access_token,
        "token_type": answer.token_type,
        "expires_in": str(answer.expires_in),
        "expires_at": str(answer.expires_at),
        "refresh_token": answer.refresh_token,
        "type": kind,
    }
    return redirects.with_fragment(redirect, values), granted.headers


async def _auth_code(connection: Connection, user_id: UUID, kind: str) -> str:
    code = await pkce.auth_code(connection, user_id, FLOWS.get(kind, kind))
    if code is None:
        message = "No associated flow state found. No valid flow state found for user."
        raise ApiError(400, "flow_state_not_found", message)
    return code


def _refused(error: ApiError, redirect: str, *, is_pkce: bool) -> str:
    values = {"error_code": error.code, "error_description": error.message}
    if error.status in OAUTH_ERRORS:
        values["error"] = OAUTH_ERRORS[error.status]
    return redirects.with_fragment(redirects.with_query(redirect, values) if is_pkce else redirect, values)


def see_other(location: str, headers: dict[str, str] | None = None) -> Response:
    body = f'<a href="{html.escape(location)}">See Other</a>.\n\n'
    return Response(body, 303, {"location": location, **(headers or {})}, media_type="text/html; charset=utf-8")


routes = [
    Route("/verify", counted("verify", verify_post), methods=["POST"]),
    Route("/verify", counted("verify", verify_get), methods=["GET"]),
]
