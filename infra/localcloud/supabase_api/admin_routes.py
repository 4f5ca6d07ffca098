"""/auth/v1/admin/users: what a holder of the service key may do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from infra.localcloud.supabase_api import durations, factors, generate_link, passwords, users
from infra.localcloud.supabase_api.bearer import NIL, body_of, params_of, require_admin
from infra.localcloud.supabase_api.database import UniqueViolation
from infra.localcloud.supabase_api.errors import ApiError, json_response, unexpected, validation_failed
from infra.localcloud.supabase_api.passwords import check_strength
from infra.localcloud.supabase_api.project import Project, project_of
from infra.localcloud.supabase_api.sessions import new_refresh_token
from infra.localcloud.supabase_api.users import Account, Changes, NewUser
from infra.localcloud.supabase_api.validation import checked_email, checked_phone, parsed_uuid
from infra.localcloud.supabase_api.wire import AdminDeleteParams, AdminUserParams, FactorUpdateParams, parse

PER_PAGE_DEFAULT = 50
PER_PAGE_MAX = 1000
PAGE_MAX = 1_000_000
EMAIL_TAKEN = "A user with this email address has already been registered"
PHONE_TAKEN = "Phone number already registered by another user"


async def collection(request: Request) -> Response:
    await require_admin(request)
    return await (_create(request) if request.method == "POST" else _list(request))


async def single(request: Request) -> Response:
    await require_admin(request)
    account = await _named(request)
    if request.method == "PUT":
        return await _update(request, account)
    if request.method == "DELETE":
        return await _delete(request, account)
    return json_response(account.user)


async def _named(request: Request) -> Account:
    try:
        user_id = UUID(request.path_params["user_id"])
    except ValueError as exc:
        raise validation_failed("user_id must be an UUID", 404) from exc
    account = await users.by_id(project_of(request).database, user_id)
    if account is None:
        raise ApiError(404, "user_not_found", "User not found")
    return account


async def _create(request: Request) -> Response:
    params, project = await params_of(request, AdminUserParams), project_of(request)
    if not params.email and not params.phone:
        raise validation_failed("Cannot create a user without either an email or phone")
    email = checked_email(params.email) if params.email else ""
    phone = checked_phone(params.phone) if params.phone else ""
    if params.password is not None and params.password_hash:
        raise validation_failed("Only a password or a password hash should be provided")
    if email and await users.by_email(project.database, email) is not None:
        raise ApiError(422, "email_exists", EMAIL_TAKEN)
    user_id, ban = _custom_id(params.id), _ban_end(params.ban_duration)
    new = _new_user(email, phone, await _stored_hash(project, params), params, user_id, ban)
    account = await users.insert(project.database, new)
    if account is None:
        raise await _taken(project, email, user_id)
    # The generated column is not read again after the insert: GoTrue's answer does not have it yet.
    return json_response(msgspec.structs.replace(account.user, confirmed_at=None))


async def _stored_hash(project: Project, params: AdminUserParams) -> str:
    if not params.password_hash:
        # Without any password the user gets one nobody knows, as in GoTrue.
        return await project.passwords.hashed(_within_limit(params.password or new_refresh_token()))
    if not passwords.is_importable(params.password_hash):
        raise unexpected("Error creating user")
    return params.password_hash


def _within_limit(password: str) -> str:
    if len(password.encode()) > passwords.BYTES_MAX:
        raise validation_failed("bcrypt: password length exceeds 72 bytes")
    return password


def _new_user(
    email: str, phone: str, password_hash: str, params: AdminUserParams, user_id: UUID | None, ban: datetime | None
) -> NewUser:
    verified = {"email_verified": False, "phone_verified": False}
    identities = {"email": {"email": email, **verified}} if email else {}
    if phone:
        identities["phone"] = {"phone": phone, **verified}
    providers = list(identities)
    app_metadata: dict[str, Any] = {"provider": providers[0], "providers": providers, **(params.app_metadata or {})}
    user_metadata = {**(params.user_metadata or {}), **({"email_verified": True} if params.email_confirm else {})}
    return NewUser(
        email=email,
        phone=phone,
        password_hash=password_hash,
        role=params.role or "authenticated",
        app_metadata={key: value for key, value in app_metadata.items() if value is not None},
        user_metadata=user_metadata,
        identity_data=identities,
        is_email_confirmed=bool(params.email_confirm),
        is_phone_confirmed=bool(params.phone_confirm),
        banned_until=ban,
        id=user_id,
    )


async def _taken(project: Project, email: str, user_id: UUID | None) -> ApiError:
    if email and await users.by_email(project.database, email):
        return ApiError(422, "email_exists", EMAIL_TAKEN)
    if user_id is not None and await users.by_id(project.database, user_id):
        return unexpected("Database error creating new user")
    return ApiError(422, "phone_exists", PHONE_TAKEN)


def _custom_id(text: str | None) -> UUID | None:
    if not text:
        return None
    try:
        custom = UUID(text)
    except ValueError as exc:
        raise validation_failed("ID must conform to the uuid v4 format") from exc
    if custom == NIL:
        raise validation_failed("ID cannot be a nil uuid")
    return custom


def _ban_end(text: str | None) -> datetime | None:
    """When the ban of `ban_duration` ends; None for no ban ("none", zero or absent)."""
    if not text or text == "none":
        return None
    try:
        duration = durations.parse(text)
        return datetime.now(UTC) + duration if duration != timedelta(0) else None
    except durations.DurationInvalid as exc:
        raise validation_failed(f"invalid format for ban duration: {exc}") from exc
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


async def _update(request: Request, account: Account) -> Response:
    params, project = await params_of(request, AdminUserParams), project_of(request)
    email = checked_email(params.email) if params.email else None
    phone = checked_phone(params.phone) if params.phone else None
    ban = _ban_end(params.ban_duration)
    if params.password is not None:
        check_strength(params.password, project.settings.auth.password_min_length)
    password_hash = await project.passwords.hashed(params.password) if params.password else None
    changes = Changes(
        password_hash=password_hash,
        email=email,
        phone=phone,
        role=params.role or None,
        confirms_email=bool(params.email_confirm),
        confirms_phone=bool(params.phone_confirm),
        app_metadata=params.app_metadata,
        user_metadata=params.user_metadata,
        ban=ban,
        lifts_ban=bool(params.ban_duration) and ban is None,
    )
    try:
        changed = await _apply(project, account.user.id, changes)
    except UniqueViolation as exc:
        return as_from_database(exc)
    if changed is None:
        raise ApiError(404, "user_not_found", "User not found")
    return json_response(changed.user)


def as_from_database(error: Exception) -> Response:
    """GoTrue lets an administrator see what PostgreSQL said (utilities.PostgresError)."""
    shown = {name: getattr(error, name, None) for name in ("message", "detail", "hint")}
    body = {"code": "23505", **{name: text for name, text in shown.items() if text}}
    return json_response(body, 500, {"x-sb-error-code": "unexpected_failure"})


async def _apply(project: Project, user_id: UUID, changes: Changes) -> Account | None:
    """A password set by an administrator ends every session of the user (models.User.UpdatePassword)."""
    async with project.database.acquire() as connection, connection.transaction():
        changed = await users.update(connection, user_id, changes)
        if changes.password_hash is not None:
            await connection.execute("delete from auth.sessions where user_id = $1", user_id)
    return changed


async def _delete(request: Request, account: Account) -> Response:
    body = await body_of(request)
    params = parse(body, AdminDeleteParams) if body else AdminDeleteParams()
    remove = users.soft_delete if params.should_soft_delete else users.delete
    await remove(project_of(request).database, account.user.id)
    return json_response({})


async def _list(request: Request) -> Response:
    page, per_page = _whole(request, "page", 1, PAGE_MAX), _whole(request, "per_page", PER_PAGE_DEFAULT, PER_PAGE_MAX)
    search = request.query_params.get("filter", "")
    found, total = await users.listing(project_of(request).database, page, per_page, search)
    pages = -(-total // per_page)
    following = f'{_page_link(request, page + 1)}; rel="next", ' if pages > page else ""
    link = f'{following}{_page_link(request, pages)}; rel="last"'
    return json_response({"users": found, "aud": "authenticated"}, headers={"link": link, "x-total-count": str(total)})


def _whole(request: Request, name: str, default: int, highest: int) -> int:
    text = request.query_params.get(name) or str(default)
    if not text.isascii() or not text.isdigit():
        raise validation_failed(f'Bad Pagination Parameters: strconv.ParseUint: parsing "{text[:32]}": invalid syntax')
    return min(max(int(text[:18]), 1), highest)


def _page_link(request: Request, page: int) -> str:
    query = sorted({**request.query_params, "page": str(page)}.items())
    return f"</admin/users?{urlencode(query)}>"


async def user_factors(request: Request) -> Response:
    await require_admin(request)
    account = await _named(request)
    return json_response(account.user.factors or ())


async def user_factor(request: Request) -> Response:
    """PUT renames it, DELETE takes it away and the sessions it raised down to aal1."""
    await require_admin(request)
    account, factor_id = await _named(request), parsed_uuid(request.path_params["factor_id"])
    if factor_id is None:
        raise validation_failed("factor_id must be an UUID", 404)
    user_id = account.user.id
    async with project_of(request).database.acquire() as connection, connection.transaction():
        found = next((one for one in await factors.of_user(connection, user_id) if one.id == factor_id), None)
        if found is None:
            raise ApiError(404, "mfa_factor_not_found", "Factor not found")
        if request.method == "DELETE":
            await factors.remove(connection, user_id, found)
        else:
            params = await params_of(request, FactorUpdateParams)
            if params.friendly_name:
                await factors.rename(connection, factor_id, params.friendly_name)
            account = await users.by_id(connection, user_id) or account
    return json_response(next(one for one in account.user.factors or () if one.id == factor_id))


routes = [
    *generate_link.routes,
    Route("/users", collection, methods=["GET", "POST"]),
    Route("/users/{user_id}", single, methods=["GET", "PUT", "DELETE"]),
    Route("/users/{user_id}/factors", user_factors, methods=["GET"]),
    Route("/users/{user_id}/factors/{factor_id}", user_factor, methods=["PUT", "DELETE"]),
]
