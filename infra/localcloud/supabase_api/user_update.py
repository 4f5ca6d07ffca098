"""PUT /user: metadata, password and address of the signed-in user. Order and words are GoTrue's (internal/api/user.go)."""

from __future__ import annotations

from datetime import timedelta

from starlette.requests import Request
from starlette.responses import Response

from infra.localcloud.supabase_api import letters, one_time, pkce, sessions, users
from infra.localcloud.supabase_api.bearer import Authenticated, params_of
from infra.localcloud.supabase_api.database import Connection
from infra.localcloud.supabase_api.errors import ApiError, json_response, validation_failed
from infra.localcloud.supabase_api.mail_routes import EMAIL_TAKEN
from infra.localcloud.supabase_api.one_time import Purpose, hash_of
from infra.localcloud.supabase_api.passwords import check_strength
from infra.localcloud.supabase_api.project import Project, project_of
from infra.localcloud.supabase_api.users import Account, Changes
from infra.localcloud.supabase_api.validation import checked_email, checked_phone
from infra.localcloud.supabase_api.wire import UserUpdateParams

RECENT = timedelta(hours=24)
WRONG_NONCE = ApiError(422, "reauthentication_not_valid", "Nonce has expired or is invalid")


async def updated(request: Request, caller: Authenticated) -> Response:
    """A new password ends all other sessions of the user; a new address comes into force when its mail is answered."""
    params, project = await params_of(request, UserUpdateParams), project_of(request)
    new_email = await _checked(project, caller, params)
    async with project.database.acquire() as connection, connection.transaction():
        if params.password is not None:
            await _require_reauthentication(project, connection, caller, params.nonce or "")
        password_hash = await _new_password_hash(project, caller.account, params.password) if params.password else None
        changes = Changes(password_hash=password_hash, user_metadata=params.data)
        changed = await users.update(connection, caller.account.user.id, changes)
        if changed is None:
            raise ApiError(403, "user_not_found", "User from sub claim in JWT does not exist")
        if password_hash is not None:
            await sessions.end(connection, changed.user.id, caller.session_id, "others")
        if new_email:
            await _change_email(request, connection, changed, new_email, params)
            changed = await users.by_id(connection, changed.user.id) or changed
    return json_response(changed.user)


async def _checked(project: Project, caller: Authenticated, params: UserUpdateParams) -> str:
    """The address to change to, "" for none. Raises ApiError."""
    account, user = caller.account, caller.account.user
    email = checked_email(params.email) if params.email else ""
    phone = checked_phone(params.phone) if params.phone else ""
    if params.password is not None:
        check_strength(params.password, project.settings.auth.password_min_length)
    if params.app_metadata is not None:
        raise ApiError(403, "not_admin", "Updating app_metadata requires admin privileges")
    is_moving = email not in ("", user.email) or phone not in ("", user.phone)
    if account.has_verified_factor and not caller.is_aal2 and (params.password or is_moving):
        message = "AAL2 session is required to update email or password when MFA is enabled."
        raise ApiError(401, "insufficient_aal", message)
    if user.is_anonymous and params.password and not email and not phone:
        message = "Updating password of an anonymous user without an email or phone is not allowed"
        raise validation_failed(message, 422)
    if email in ("", user.email):
        email = ""
    elif await users.by_email(project.database, email) is not None:
        raise EMAIL_TAKEN
    if phone not in ("", user.phone):
        raise ApiError(422, "feature_disabled", "Changes of the phone number need an SMS provider; this project has none")
    return email


async def _require_reauthentication(project: Project, connection: Connection, caller: Authenticated, nonce: str) -> None:
    """Where the project wants it, an old session has to show a code that was sent by mail. It is used up by that."""
    if not project.settings.auth.security_update_password_require_reauthentication:
        return
    if caller.session is not None and project.ageing.now_for(caller.session.created_at) <= caller.session.created_at + RECENT:
        return
    if not nonce:
        raise ApiError(400, "reauthentication_needed", "Password update requires reauthentication")
    user = caller.account.user
    issued = await one_time.of_user(connection, user.id, Purpose.REAUTHENTICATION)
    lifetime_s = project.settings.auth.mailer_otp_exp
    if issued is None or issued.is_expired(project.ageing.now_for, lifetime_s) or issued.hash != hash_of(user.email, nonce):
        raise WRONG_NONCE
    await one_time.clear(connection, user.id, Purpose.REAUTHENTICATION)


async def _new_password_hash(project: Project, account: Account, password: str) -> str:
    if await project.passwords.matches(password, account.password_hash):
        raise ApiError(422, "same_password", "New password should be different from the old password.")
    return await project.passwords.hashed(password)


async def _change_email(request: Request, connection: Connection, account: Account, email: str, params: UserUpdateParams) -> None:
    if account.user.is_anonymous and project_of(request).settings.auth.mailer_autoconfirm:
        # As signing up: somebody new has nothing yet that a wrong address could give away.
        await users.finish_email_change(connection, account.user.id, email)
        return
    if params.code_challenge:
        await pkce.begin(connection, account.user.id, "email_change", *params.challenge)
    await letters.send_email_change(request, connection, account, email, is_pkce=bool(params.code_challenge))
