"""SQL on auth.users and auth.identities. Nearly every function is one statement, so each is atomic without a transaction."""

# ruff: noqa: S608 - the f-strings below join constants of this file; every value goes by parameter.

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import msgspec

from infra.localcloud.supabase_api.database import Executor, Record
from infra.localcloud.supabase_api.wire import Factor, User

encode = msgspec.json.encode

UTC_TEXT = """'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'"""
IDENTITY_JSON = f"""jsonb_build_object(
    'identity_id', i.id, 'id', i.provider_id, 'user_id', i.user_id,
    'provider', i.provider,
    'last_sign_in_at', to_char(i.last_sign_in_at at time zone 'utc', {UTC_TEXT}),
    'created_at', to_char(i.created_at at time zone 'utc', {UTC_TEXT}),
    'updated_at', to_char(i.updated_at at time zone 'utc', {UTC_TEXT}))
    || case when i.identity_data = '{{}}' then '{{}}' else jsonb_build_object('identity_data', i.identity_data) end
    || case when i.email is null then '{{}}' else jsonb_build_object('email', i.email) end"""
BARE_COLUMNS = """u.id, u.aud, u.role, u.email, u.email_confirmed_at, u.invited_at, u.phone, u.phone_confirmed_at,
    u.confirmed_at, u.last_sign_in_at, u.raw_app_meta_data, u.raw_user_meta_data, u.created_at, u.updated_at,
    u.banned_until, u.deleted_at, u.is_anonymous, u.encrypted_password, u.confirmation_sent_at, u.recovery_sent_at,
    u.email_change, u.email_change_sent_at, u.email_change_confirm_status, u.reauthentication_sent_at, u.phone_change"""
FACTOR_JSON = f"""jsonb_build_object(
    'id', f.id, 'created_at', to_char(f.created_at at time zone 'utc', {UTC_TEXT}),
    'updated_at', to_char(f.updated_at at time zone 'utc', {UTC_TEXT}), 'status', f.status,
    'factor_type', f.factor_type, 'phone', coalesce(f.phone, ''),
    'last_challenged_at', to_char(f.last_challenged_at at time zone 'utc', {UTC_TEXT}))
    || case when coalesce(f.friendly_name, '') = '' then '{{}}' else jsonb_build_object('friendly_name', f.friendly_name) end"""
FACTORS = f"""(select jsonb_agg({FACTOR_JSON} order by f.created_at) from auth.mfa_factors f where f.user_id = u.id) as factors"""
COLUMNS = f"""{BARE_COLUMNS}, {FACTORS}, coalesce((select jsonb_agg({IDENTITY_JSON} order by i.created_at)
    from auth.identities i where i.user_id = u.id), '[]') as identities"""


@dataclass(frozen=True, slots=True)
class Account:
    """A user and what never leaves the process."""

    user: User
    password_hash: str | None
    is_email_change_half_confirmed: bool = False

    @property
    def has_verified_factor(self) -> bool:
        return any(factor.status == "verified" for factor in self.user.factors or ())

    @staticmethod
    def of(row: Record) -> Account:
        user = User(
            id=row["id"],
            aud=row["aud"],
            role=row["role"],
            email=row["email"] or "",
            email_confirmed_at=row["email_confirmed_at"],
            invited_at=row["invited_at"],
            phone=row["phone"] or "",
            phone_confirmed_at=row["phone_confirmed_at"],
            confirmation_sent_at=row["confirmation_sent_at"],
            confirmed_at=row["confirmed_at"],
            recovery_sent_at=row["recovery_sent_at"],
            new_email=row["email_change"],
            new_phone=row["phone_change"],
            email_change_sent_at=row["email_change_sent_at"],
            reauthentication_sent_at=row["reauthentication_sent_at"],
            last_sign_in_at=row["last_sign_in_at"],
            app_metadata=msgspec.Raw(row["raw_app_meta_data"]),
            user_metadata=msgspec.Raw(row["raw_user_meta_data"]),
            factors=msgspec.json.decode(row["factors"], type=tuple[Factor, ...]) if row["factors"] else None,
            identities=msgspec.Raw(row["identities"]),
            created_at=row["created_at"],
            updated_at=row["updated_at"],
            banned_until=row["banned_until"],
            deleted_at=row["deleted_at"],
            is_anonymous=row["is_anonymous"],
        )
        return Account(user, row["encrypted_password"] or None, row["email_change_confirm_status"] == 1)


@dataclass(frozen=True, slots=True)
class NewUser:
    """Exactly one of email and phone may be empty. `identity_data` maps a provider to the identity's own JSON."""

    email: str
    phone: str
    password_hash: str
    role: str
    app_metadata: Mapping[str, Any]
    user_metadata: Mapping[str, Any]
    identity_data: Mapping[str, Mapping[str, Any]]
    is_email_confirmed: bool
    is_phone_confirmed: bool
    banned_until: datetime | None = None
    id: UUID | None = None
    is_anonymous: bool = False


INSERT = f"""
with u as (
    insert into auth.users as u (id, aud, role, email, phone, encrypted_password, raw_app_meta_data, raw_user_meta_data,
        email_confirmed_at, phone_confirmed_at, banned_until, is_anonymous)
    values ($1, 'authenticated', $2, nullif($3, ''), nullif($4, ''), $5, $6, $7,
        case when $8 then now() end, case when $9 then now() end, $10, $12)
    on conflict do nothing
    returning {BARE_COLUMNS}
), i as (
    insert into auth.identities as i (provider_id, user_id, identity_data, provider, last_sign_in_at)
    select u.id::text, u.id, data.value || jsonb_build_object('sub', u.id), data.key, now()
    from u, jsonb_each($11::jsonb) data
    returning i.*
)
select u.*, null::jsonb as factors, coalesce((select jsonb_agg({IDENTITY_JSON}) from i), '[]') as identities from u"""


async def insert(database: Executor, new: NewUser) -> Account | None:
    """The new user, or None when id, address or phone number are taken."""
    row = await database.fetchrow(
        INSERT,
        new.id or uuid4(),
        new.role,
        new.email,
        new.phone,
        new.password_hash,
        encode(new.app_metadata).decode(),
        encode(new.user_metadata).decode(),
        new.is_email_confirmed,
        new.is_phone_confirmed,
        new.banned_until,
        encode(new.identity_data).decode(),
        new.is_anonymous,
    )
    return Account.of(row) if row else None


async def by_id(database: Executor, user_id: UUID) -> Account | None:
    row = await database.fetchrow(f"select {COLUMNS} from auth.users u where u.id = $1", user_id)
    return Account.of(row) if row else None


async def by_email(database: Executor, email: str) -> Account | None:
    sql = f"select {COLUMNS} from auth.users u where u.email = $1 and u.is_sso_user = false and u.aud = 'authenticated'"
    row = await database.fetchrow(sql, email.lower())
    return Account.of(row) if row else None


async def by_phone(database: Executor, phone: str) -> Account | None:
    row = await database.fetchrow(f"select {COLUMNS} from auth.users u where u.phone = $1", phone)
    return Account.of(row) if row else None


@dataclass(frozen=True, slots=True)
class Session:
    """What a request is judged by. `aal` is the authenticator assurance level, "aal1" or "aal2"."""

    id: UUID
    aal: str
    created_at: datetime
    issued_at: datetime
    """When it was last given tokens."""


async def with_session(database: Executor, user_id: UUID, session_id: UUID | None) -> tuple[Account, Session | None] | None:
    """The user, and that session if it still exists; None without such a user."""
    sql = f"""select {COLUMNS}, s.id as session_id, s.aal as session_aal, s.created_at as session_created_at,
        s.updated_at as session_issued_at
        from auth.users u left join auth.sessions s on s.id = $2 where u.id = $1"""
    row = await database.fetchrow(sql, user_id, session_id)
    if row is None:
        return None
    has_session = row["session_id"] is not None
    names = ("session_id", "session_aal", "session_created_at", "session_issued_at")
    session = Session(*(row[name] for name in names)) if has_session else None
    return Account.of(row), session


@dataclass(frozen=True, slots=True)
class Changes:
    """What to change; None leaves a field alone. Metadata is merged, and a null in it removes that key.

    A new password voids what was sent by mail before: who has the old one may have asked for it (models.User.UpdatePassword).

    `ban`: a time bans until then; `lifts_ban` ends one.
    """

    password_hash: str | None = None
    email: str | None = None
    phone: str | None = None
    role: str | None = None
    confirms_email: bool = False
    confirms_phone: bool = False
    app_metadata: Mapping[str, Any] | None = None
    user_metadata: Mapping[str, Any] | None = None
    ban: datetime | None = None
    lifts_ban: bool = False


UPDATE = f"""
with u as (
    update auth.users as u set
        encrypted_password = coalesce($2, u.encrypted_password),
        confirmation_sent_at = case when $2::text is null then u.confirmation_sent_at end,
        recovery_sent_at = case when $2::text is null then u.recovery_sent_at end,
        email_change_sent_at = case when $2::text is null then u.email_change_sent_at end,
        reauthentication_sent_at = case when $2::text is null then u.reauthentication_sent_at end,
        email = coalesce($3, u.email),
        phone = coalesce($4, u.phone),
        role = coalesce($5, u.role),
        email_confirmed_at = case when $6 then now() else u.email_confirmed_at end,
        phone_confirmed_at = case when $7 then now() else u.phone_confirmed_at end,
        raw_app_meta_data = (u.raw_app_meta_data || $8::jsonb) - $9::text[],
        raw_user_meta_data = (u.raw_user_meta_data || $10::jsonb) - $11::text[],
        banned_until = case when $13 then null else coalesce($12, u.banned_until) end,
        updated_at = now()
    where u.id = $1
    returning {BARE_COLUMNS}
), t as (
    delete from auth.one_time_tokens where user_id = $1 and $2::text is not null
), i as (
    update auth.identities as i set
        identity_data = i.identity_data || jsonb_build_object('email', $3::text, 'email_verified', $6::boolean),
        updated_at = now()
    where i.user_id = $1 and i.provider = 'email' and $3::text is not null
    returning i.*
)
select u.*, {FACTORS}, coalesce((select jsonb_agg({IDENTITY_JSON} order by i.created_at) from (
        select * from i union all select * from auth.identities i2 where i2.user_id = $1 and i2.id not in (select id from i)
    ) i), '[]') as identities from u"""


async def update(database: Executor, user_id: UUID, changes: Changes) -> Account | None:
    """The user afterwards; None without such a user. Raises UniqueViolation when an address is taken."""
    app_set, app_removed = _merge(changes.app_metadata)
    user_set, user_removed = _merge(changes.user_metadata)
    if changes.confirms_email:
        user_set["email_verified"] = True  # GoTrue notes it there too (models.User.Confirm)
    row = await database.fetchrow(
        UPDATE,
        user_id,
        changes.password_hash,
        changes.email,
        changes.phone,
        changes.role,
        changes.confirms_email,
        changes.confirms_phone,
        encode(app_set).decode(),
        app_removed,
        encode(user_set).decode(),
        user_removed,
        changes.ban,
        changes.lifts_ban,
    )
    return Account.of(row) if row else None


def _merge(updates: Mapping[str, Any] | None) -> tuple[dict[str, Any], list[str]]:
    updates = updates or {}
    return {k: v for k, v in updates.items() if v is not None}, [k for k, v in updates.items() if v is None]


async def listing(database: Executor, page: int, per_page: int, search: str) -> tuple[list[User], int]:
    """One page of users, newest first, and how many there are in all."""
    where = (
        "u.aud = 'authenticated' and ($1 = '' or strpos(u.email, $1) > 0 or strpos(u.raw_user_meta_data ->> 'full_name', $1) > 0)"
    )
    rows = await database.fetch(
        f"select {COLUMNS} from auth.users u where {where} order by u.created_at desc, u.id limit $2 offset $3",
        search,
        per_page,
        (page - 1) * per_page,
    )
    count: int = await database.fetchval(f"select count(*) from auth.users u where {where}", search)
    return [Account.of(row).user for row in rows], count


async def delete(database: Executor, user_id: UUID) -> None:
    """Removes the user; identities, sessions and refresh tokens follow by foreign key."""
    await database.execute("delete from auth.users where id = $1", user_id)


OBFUSCATED = "rtrim(translate(encode(sha256(convert_to({value}, 'utf8')), 'base64'), '+/', '-_'), '=')"
SOFT_DELETE = f"""
with u as (
    update auth.users set email = {OBFUSCATED.format(value="id::text || coalesce(email, '')")},
        phone = left({OBFUSCATED.format(value="id::text || coalesce(phone, '')")}, 15),
        email_change = {OBFUSCATED.format(value="id::text || email_change")},
        phone_change = left({OBFUSCATED.format(value="id::text || phone_change")}, 15),
        encrypted_password = null, raw_app_meta_data = '{{}}', raw_user_meta_data = '{{}}', deleted_at = now(), updated_at = now()
    where id = $1 and deleted_at is null returning id
), i as (
    update auth.identities set identity_data = '{{}}', updated_at = now(),
        provider_id = {OBFUSCATED.format(value="user_id::text || provider || ':' || provider_id")}
    where user_id in (select id from u)
), t as (
    delete from auth.one_time_tokens where user_id in (select id from u)
)
delete from auth.sessions where user_id in (select id from u)"""


async def soft_delete(database: Executor, user_id: UUID) -> None:
    """Keeps the row, without a password, a readable address, metadata or sessions."""
    await database.execute(SOFT_DELETE, user_id)


async def void_pending(connection: Executor, user_id: UUID) -> None:
    """What was sent by mail before works no longer."""
    sql = """
        with t as (delete from auth.one_time_tokens where user_id = $1)
        update auth.users set confirmation_sent_at = null, recovery_sent_at = null, email_change_sent_at = null,
            reauthentication_sent_at = null where id = $1"""
    await connection.execute(sql, user_id)


async def mark_sent(connection: Executor, user_id: UUID, column: str) -> None:
    """`column` is one of one_time.SENT_AT."""
    await connection.execute(f"update auth.users set {column} = now(), updated_at = now() where id = $1", user_id)


CONFIRM = """
with u as (
    update auth.users set email_confirmed_at = coalesce(email_confirmed_at, now()), updated_at = now(),
        raw_user_meta_data = raw_user_meta_data || '{"email_verified": true}'
    where id = $1 returning id, email
)
update auth.identities i set identity_data = i.identity_data || '{"email_verified": true}', updated_at = now()
from u where i.user_id = u.id and i.email = u.email and $2"""


async def confirm(connection: Executor, user_id: UUID, *, marks_identity: bool) -> None:
    """The address is the user's own. `marks_identity`: whether its identity is noted as verified too."""
    await connection.execute(CONFIRM, user_id, marks_identity)


BEGIN_EMAIL_CHANGE = """update auth.users set email_change = $2, email_change_confirm_status = 0, email_change_sent_at = now(),
    updated_at = now() where id = $1"""
HALF_CONFIRM = "update auth.users set email_change_confirm_status = 1, updated_at = now() where id = $1"
FINISH_EMAIL_CHANGE = """
with u as (
    update auth.users set email = $2, email_change = '', email_change_confirm_status = 0, is_anonymous = false,
        email_confirmed_at = coalesce(email_confirmed_at, now()), updated_at = now(),
        raw_user_meta_data = raw_user_meta_data || case when email_confirmed_at is null then '{"email_verified": true}'::jsonb
            else '{}' end
    where id = $1 returning id
)
insert into auth.identities as i (provider_id, user_id, identity_data, provider, last_sign_in_at)
select u.id::text, u.id, $3::jsonb, 'email', now() from u
on conflict (provider_id, provider) do update set updated_at = now(),
    identity_data = i.identity_data || jsonb_build_object('email', $2::text, 'email_verified', true)"""


async def begin_email_change(connection: Executor, user_id: UUID, email: str) -> None:
    await connection.execute(BEGIN_EMAIL_CHANGE, user_id, email)


async def half_confirm_email_change(connection: Executor, user_id: UUID) -> None:
    await connection.execute(HALF_CONFIRM, user_id)


async def finish_email_change(connection: Executor, user_id: UUID, email: str) -> None:
    """The new address is in force, with its identity. Raises UniqueViolation when it was taken meanwhile."""
    identity = {"sub": str(user_id), "email": email, "email_verified": True, "phone_verified": False}
    await connection.execute(FINISH_EMAIL_CHANGE, user_id, email, encode(identity).decode())


PROVIDERS = """
with p as (select coalesce(jsonb_agg(distinct provider), '[]') as names, min(provider) as first from auth.identities
    where user_id = $1)
update auth.users set raw_app_meta_data = raw_app_meta_data || jsonb_build_object('providers', p.names)
    || case when p.first is null then '{}'::jsonb else jsonb_build_object('provider', p.first) end
from p where id = $1"""


async def note_providers(connection: Executor, user_id: UUID) -> None:
    """app_metadata.provider and .providers, from the identities there are."""
    await connection.execute(PROVIDERS, user_id)


def identities_of(account: Account) -> list[UUID]:
    return [UUID(one["identity_id"]) for one in msgspec.json.decode(account.user.identities, type=list[dict[str, Any]])]


async def delete_identity(connection: Executor, user_id: UUID, identity_id: UUID) -> None:
    await connection.execute("delete from auth.identities where user_id = $1 and id = $2", user_id, identity_id)
