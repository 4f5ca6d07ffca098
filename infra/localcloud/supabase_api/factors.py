"""SQL on auth.mfa_factors and auth.mfa_challenges. Secrets lie in the database in the clear, as GoTrue's do by default."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv6Address
from uuid import UUID, uuid4

from infra.localcloud.supabase_api.database import Executor, UniqueViolation

EXPIRES_AFTER_S = 300  # an unverified factor nobody was challenged for, and a challenge (GoTrue's defaults)


class NameTaken(Exception):
    """Another factor of the user has that name; only a race gets here."""


@dataclass(frozen=True, slots=True)
class StoredFactor:
    id: UUID
    kind: str
    status: str
    secret: str
    friendly_name: str

    @property
    def is_verified(self) -> bool:
        return self.status == "verified"


@dataclass(frozen=True, slots=True)
class Challenge:
    id: UUID
    created_at: datetime
    verified_at: datetime | None
    address: IPv4Address | IPv6Address | None

    @property
    def expires_at(self) -> datetime:
        return self.created_at + timedelta(seconds=EXPIRES_AFTER_S)


async def of_user(connection: Executor, user_id: UUID) -> list[StoredFactor]:
    sql = """select id, factor_type, status, coalesce(secret, '') as secret, coalesce(friendly_name, '') as friendly_name
        from auth.mfa_factors where user_id = $1 order by created_at"""
    rows = await connection.fetch(sql, user_id)
    return [StoredFactor(row["id"], row["factor_type"], row["status"], row["secret"], row["friendly_name"]) for row in rows]


async def drop_expired(connection: Executor) -> None:
    sql = """delete from auth.mfa_factors f where f.status <> 'verified' and f.created_at < now() - make_interval(secs => $1)
        and not exists (select from auth.mfa_challenges c where c.factor_id = f.id)"""
    await connection.execute(sql, float(EXPIRES_AFTER_S))


async def add(connection: Executor, user_id: UUID, kind: str, name: str, secret: str) -> UUID:
    """Raises NameTaken."""
    factor_id = uuid4()
    sql = """insert into auth.mfa_factors (id, user_id, friendly_name, factor_type, status, secret)
        values ($1, $2, $3, $4, 'unverified', $5)"""
    try:
        await connection.execute(sql, factor_id, user_id, name, kind, secret)
    except UniqueViolation as exc:
        raise NameTaken from exc
    return factor_id


async def challenge(connection: Executor, factor_id: UUID, address: IPv4Address | IPv6Address | None) -> Challenge:
    sql = """
        with f as (update auth.mfa_factors set last_challenged_at = now() where id = $2)
        insert into auth.mfa_challenges (id, factor_id, ip_address) values ($1, $2, $3) returning created_at"""
    challenge_id = uuid4()
    created: datetime = await connection.fetchval(sql, challenge_id, factor_id, address)
    return Challenge(challenge_id, created, None, address)


async def find_challenge(connection: Executor, factor_id: UUID, challenge_id: UUID) -> Challenge | None:
    """Locked: one challenge is answered once."""
    sql = """select id, created_at, verified_at, ip_address from auth.mfa_challenges
        where factor_id = $1 and id = $2 for update"""
    row = await connection.fetchrow(sql, factor_id, challenge_id)
    return Challenge(row["id"], row["created_at"], row["verified_at"], row["ip_address"]) if row else None


async def verified(connection: Executor, user_id: UUID, factor: StoredFactor, challenge_id: UUID) -> None:
    """The factor counts from now on."""
    await connection.execute("update auth.mfa_challenges set verified_at = now() where id = $1", challenge_id)
    sql = "update auth.mfa_factors set status = 'verified', updated_at = now() where id = $1 and status <> 'verified'"
    await connection.execute(sql, factor.id)


async def drop_unfinished(connection: Executor, user_id: UUID, factor: StoredFactor) -> None:
    """Others of its kind that were never verified."""
    leftovers = "delete from auth.mfa_factors where user_id = $1 and factor_type = $2 and status <> 'verified'"
    await connection.execute(leftovers, user_id, factor.kind)


async def rename(connection: Executor, factor_id: UUID, name: str) -> None:
    await connection.execute("update auth.mfa_factors set friendly_name = $2, updated_at = now() where id = $1", factor_id, name)


async def remove(connection: Executor, user_id: UUID, factor: StoredFactor) -> None:
    """Sessions that it raised fall back to aal1."""
    sql = """
        with s as (select id from auth.sessions where factor_id = $2),
        c as (delete from auth.mfa_amr_claims where authentication_method = $3 and session_id in (select id from s)),
        u as (update auth.sessions set aal = 'aal1', factor_id = null where id in (select id from s))
        delete from auth.mfa_factors where user_id = $1 and id = $2"""
    await connection.execute(sql, user_id, factor.id, factor.kind)
