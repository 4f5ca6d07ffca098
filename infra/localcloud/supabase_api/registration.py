"""POST /signup, and the making of accounts that other doors share: magic links, invitations, links of administrators."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from infra.localcloud.supabase_api import letters, pkce, sessions, users
from infra.localcloud.supabase_api.bearer import caller_of, params_of
from infra.localcloud.supabase_api.errors import ApiError, HookFailed, json_response, unexpected, validation_failed
from infra.localcloud.supabase_api.passwords import check_strength
from infra.localcloud.supabase_api.project import Project, project_of
from infra.localcloud.supabase_api.sessions import Granted
from infra.localcloud.supabase_api.users import Account, NewUser
from infra.localcloud.supabase_api.validation import checked_email
from infra.localcloud.supabase_api.wire import SignupParams, User


def granted_response(granted: Granted) -> Response:
    return json_response(granted.answer, headers=granted.headers)


async def signup(request: Request) -> Response:
    """200 with tokens, or with the user alone where the address has to be confirmed first; 422, 400, 429."""
    params, project = await params_of(request, SignupParams), project_of(request)
    if not params.email and not params.phone:
        return granted_response(await _anonymous(request, project, params))
    project.limits.check("signup", caller_of(request).address)
    require_signups(project)
    registered = await register(request, project, params)
    if registered.user.is_email_confirmed and registered.is_new:
        # The generated column is not read again after the insert: GoTrue's answer does not have it yet.
        account = Account(msgspec.structs.replace(registered.user, confirmed_at=None), registered.account.password_hash)
        opened = await sessions.open_session(project.database, project.signer, account, caller_of(request))
        return granted_response(opened)
    return json_response(registered.user)


def require_signups(project: Project) -> None:
    if project.settings.auth.disable_signup:
        raise ApiError(422, "signup_disabled", "Signups not allowed for this instance")


async def _anonymous(request: Request, project: Project, params: SignupParams) -> Granted:
    if not project.settings.auth.external_anonymous_users_enabled:
        raise ApiError(422, "anonymous_provider_disabled", "Anonymous sign-ins are disabled")
    project.limits.check("anonymous", caller_of(request).address)
    require_signups(project)
    new = NewUser(
        email="",
        phone="",
        password_hash="",
        role="authenticated",
        app_metadata={},
        user_metadata=params.data or {},
        identity_data={},
        is_email_confirmed=False,
        is_phone_confirmed=False,
        is_anonymous=True,
    )
    try:
        async with project.database.acquire() as connection, connection.transaction():
            account = await users.insert(connection, new)
            assert account is not None, "nothing unique in it but its random id"
            return await sessions.open_session(connection, project.signer, account, caller_of(request), "anonymous")
    except HookFailed as exc:
        raise unexpected("Database error creating anonymous user") from exc


class Registered(msgspec.Struct, frozen=True):
    """`user` is what may be shown; `is_new` tells whether this request made the account."""

    account: Account
    user: User
    is_new: bool


async def register(request: Request, project: Project, params: SignupParams) -> Registered:
    """Checks and makes the account, or sends the confirmation again. Raises ApiError."""
    config = project.settings.auth
    email = _checked(params, config.password_min_length, is_email_enabled=config.external_email_enabled)
    # The hash comes first: an address that is taken must not answer sooner than a free one.
    password_hash = await project.passwords.hashed(params.password or "")
    async with project.database.acquire() as connection, connection.transaction():
        new = email_user(email, password_hash, params.data or {}, is_confirmed=config.mailer_autoconfirm)
        account = await users.insert(connection, new)
        is_new = account is not None
        if account is None:
            account = await users.by_email(connection, email)
        if account is None or (not is_new and (config.mailer_autoconfirm or account.user.is_email_confirmed)):
            return _taken(account, email, params, is_told=config.mailer_autoconfirm)
        if not config.mailer_autoconfirm:
            if params.challenge[1]:
                await pkce.begin(connection, account.user.id, "email/signup", *params.challenge)
            await letters.send(request, connection, account, "signup", is_pkce=bool(params.challenge[1]))
            account = await users.by_id(connection, account.user.id) or account
    return Registered(account, account.user, is_new)


def _checked(params: SignupParams, characters_min: int, *, is_email_enabled: bool) -> str:
    """The address; raises ApiError in GoTrue's order."""
    if not params.password:
        raise validation_failed("Signup requires a valid password")
    check_strength(params.password, characters_min)
    if params.email and params.phone:
        raise validation_failed("Only an email address or phone number should be provided on signup.")
    if params.phone and params.code_challenge:
        raise validation_failed("PKCE not supported for phone signups")
    pkce.check_challenge(*params.challenge)
    if params.phone:
        raise ApiError(400, "phone_provider_disabled", "Phone signups are disabled")
    if not is_email_enabled:
        raise ApiError(400, "email_provider_disabled", "Email signups are disabled")
    return checked_email(params.email or "")


def _taken(account: Account | None, email: str, params: SignupParams, *, is_told: bool) -> Registered:
    """Where sign-ups are confirmed at once the caller learns it; elsewhere the answer is that of a new address."""
    if is_told or account is None:
        raise ApiError(422, "user_already_exists", "User already registered")
    now = datetime.now(UTC)
    shown = User(
        id=uuid4(),
        aud="authenticated",
        role="",
        email=email,
        phone="",
        confirmation_sent_at=now,
        app_metadata=msgspec.Raw(b'{"provider":"email","providers":["email"]}'),
        user_metadata=msgspec.Raw(msgspec.json.encode(params.data or {})),
        identities=msgspec.Raw(b"[]"),
        created_at=now,
        updated_at=now,
        is_anonymous=False,
    )
    return Registered(account, shown, is_new=False)


def email_user(email: str, password_hash: str, data: dict[str, Any], *, is_confirmed: bool, is_by_admin: bool = False) -> NewUser:
    """`is_by_admin`: their data is the account's only and says nothing about the identity."""
    user_id = uuid4()
    claims = {"sub": str(user_id), "email": email, "email_verified": False, "phone_verified": False}
    identity = claims if is_by_admin else {**data, **claims}
    metadata = data if is_by_admin else {**identity, "email_verified": is_confirmed}
    return NewUser(
        email=email,
        phone="",
        password_hash=password_hash,
        role="authenticated",
        app_metadata={"provider": "email", "providers": ["email"]},
        user_metadata=metadata,
        identity_data={"email": identity},
        is_email_confirmed=is_confirmed,
        is_phone_confirmed=False,
        id=user_id,
    )
