"""POST /admin/generate_link: the code and the link of a mail that nobody sends; the administrator delivers it."""

from __future__ import annotations

import secrets
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from infra.localcloud.supabase_api import letters, registration, users
from infra.localcloud.supabase_api.bearer import params_of, redirect_of, require_admin
from infra.localcloud.supabase_api.database import Connection
from infra.localcloud.supabase_api.errors import ApiError, json_response, unexpected, validation_failed
from infra.localcloud.supabase_api.mail_routes import EMAIL_TAKEN
from infra.localcloud.supabase_api.one_time import Code, Purpose, new_code
from infra.localcloud.supabase_api.passwords import check_strength
from infra.localcloud.supabase_api.project import Project, project_of
from infra.localcloud.supabase_api.users import Account
from infra.localcloud.supabase_api.validation import checked_email
from infra.localcloud.supabase_api.wire import GenerateLinkParams

PURPOSES = {
    "signup": Purpose.CONFIRMATION,
    "invite": Purpose.CONFIRMATION,
    "magiclink": Purpose.RECOVERY,
    "recovery": Purpose.RECOVERY,
    "email_change_current": Purpose.EMAIL_CHANGE_CURRENT,
    "email_change_new": Purpose.EMAIL_CHANGE_NEW,
}
EMAIL_CHANGES = ("email_change_current", "email_change_new")


async def generate_link(request: Request) -> Response:
    await require_admin(request)
    params, project = await params_of(request, GenerateLinkParams), project_of(request)
    email, kind = checked_email(params.email or ""), params.type or ""
    known = await users.by_email(project.database, email)
    if known is None and kind == "magiclink":
        kind, params.password = "signup", secrets.token_urlsafe(40)
    if known is None and kind in ("recovery", *EMAIL_CHANGES):
        raise ApiError(404, "user_not_found", "User with this email not found")
    if kind not in PURPOSES:
        raise validation_failed(f"Invalid email action link type requested: {kind[:80]}")
    password_hash = await _password_hash(project, kind, known, params.password or "")
    length = project.settings.auth.mailer_otp_length
    async with project.database.acquire() as connection, connection.transaction():
        account = await _target(connection, kind, email, password_hash, params)
        address = await _address(project, connection, account, kind, params)
        code = new_code(address, length)
        await letters.remember(connection, account.user.id, PURPOSES[kind], code, address)
        account = await users.by_id(connection, account.user.id) or account
    return json_response(_shown(project, account, code, kind, redirect_of(request, params.redirect_to or "")))


async def _password_hash(project: Project, kind: str, known: Account | None, password: str) -> str:
    if kind != "signup" or known is not None:
        return ""
    if not password:
        raise validation_failed("Signup requires a valid password")
    check_strength(password, project.settings.auth.password_min_length)
    return await project.passwords.hashed(password)


async def _target(connection: Connection, kind: str, email: str, password_hash: str, params: GenerateLinkParams) -> Account:
    """The user whom the link is for; made where sign-up and invitation find nobody."""
    account = await users.by_email(connection, email)
    if account is None:
        new = registration.email_user(email, password_hash, params.data or {}, is_confirmed=False, is_by_admin=True)
        account = await users.insert(connection, new)
        if account is None:
            raise unexpected("Database error saving new user")
    elif kind in ("signup", "invite") and account.user.is_email_confirmed:
        raise EMAIL_TAKEN
    elif kind == "signup" and params.data:
        account = await users.update(connection, account.user.id, users.Changes(user_metadata=params.data)) or account
    if kind == "invite":
        await users.mark_sent(connection, account.user.id, "invited_at")
    return account


async def _address(project: Project, connection: Connection, account: Account, kind: str, params: GenerateLinkParams) -> str:
    """Which address the code belongs to; a change of address begins with it."""
    if kind not in EMAIL_CHANGES:
        return account.user.email
    if kind == "email_change_current" and not project.settings.auth.mailer_secure_email_change_enabled:
        raise validation_failed("Enable secure email change to generate link for current email")
    new_email = checked_email(params.new_email or "")
    other = await users.by_email(connection, new_email)
    if other is not None and other.user.id != account.user.id:
        raise EMAIL_TAKEN
    await users.begin_email_change(connection, account.user.id, new_email)
    return new_email if kind == "email_change_new" else account.user.email


def _shown(project: Project, account: Account, code: Code, kind: str, redirect: str) -> dict[str, Any]:
    linked = "email_change" if kind in EMAIL_CHANGES else kind
    user: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(account.user))
    return {
        **user,
        "action_link": letters.action_link(project.settings, code.hash, linked, redirect),
        "email_otp": code.otp,
        "hashed_token": code.hash,
        "verification_type": kind,
        "redirect_to": redirect,
    }


routes = [Route("/generate_link", generate_link, methods=["POST"])]
