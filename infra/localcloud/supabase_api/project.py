"""What the handlers share for one project: settings, database, signer, passwords. Opened at start, closed at the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request

from infra.localcloud.supabase_api.address_limits import AddressLimits
from infra.localcloud.supabase_api.auth_config import AuthConfig
from infra.localcloud.supabase_api.database import Database, NotReadyErrors, open_pool
from infra.localcloud.supabase_api.hooks import TokenHook
from infra.localcloud.supabase_api.mailer import Mailer, NoMailer, SmtpMailer
from infra.localcloud.supabase_api.passwords import Passwords
from infra.localcloud.supabase_api.settings import Settings
from infra.localcloud.supabase_api.signing import Signer, load_or_create
from infra.localcloud.world_clock import Ageing

SCHEMA = Path(__file__).with_name("schema.sql")
SCHEMA_LOCK = 0x676F_7472_7565  # "gotrue": two processes on one database take turns
COMMAND_TIMEOUT_S = 8.0
RETRY_S = 0.05


class DatabaseUnreachable(Exception):
    """The database did not answer before the deadline."""


@dataclass(frozen=True, slots=True)
class Project:
    settings: Settings
    database: Database
    signer: Signer
    passwords: Passwords
    mailer: Mailer
    ageing: Ageing
    limits: AddressLimits


def project_of(request: Request) -> Project:
    project: Project = request.app.state.project
    return project


@asynccontextmanager
async def opened(settings: Settings, mailer: Mailer | None = None) -> AsyncIterator[Project]:
    """A project that can serve. Raises DatabaseUnreachable, SigningKeyInvalid."""
    ageing = Ageing(settings.clock_file)
    limits = AddressLimits(settings.auth, ageing)
    key = load_or_create(settings.signing_key_file)
    signer = Signer(key, settings.jwt_secret, settings.issuer, settings.auth.jwt_exp, ageing, _hook(settings.auth))
    settings.storage_dir.mkdir(parents=True, exist_ok=True)
    passwords = Passwords(settings.bcrypt_cost)
    database = await _connected(settings)
    try:
        yield Project(settings, database, signer, passwords, mailer or _mailer(settings), ageing, limits)
    finally:
        passwords.close()
        try:
            async with asyncio.timeout(settings.drain_s):
                await database.close()
        except TimeoutError:
            database.terminate()


def _hook(config: AuthConfig) -> TokenHook | None:
    return TokenHook.at(config.hook_custom_access_token_uri) if config.hook_custom_access_token_enabled else None


def _mailer(settings: Settings) -> Mailer:
    return SmtpMailer(settings.smtp_host, settings.smtp_port) if settings.smtp_host else NoMailer()


async def _connected(settings: Settings) -> Database:
    """The pool, with the schema in place. A database that is starting up or not there yet is asked again until the deadline."""
    reason = "no attempt made"
    try:
        async with asyncio.timeout(settings.database_wait_s):
            while True:
                try:
                    return await _prepared(settings)
                except NotReadyErrors as exc:
                    reason = type(exc).__name__
                await asyncio.sleep(RETRY_S)
    except TimeoutError as exc:
        raise DatabaseUnreachable(f"database: no answer in {settings.database_wait_s:g} s ({reason})") from exc


async def _prepared(settings: Settings) -> Database:
    pool = await open_pool(settings.database_url, settings.pool_size_max, COMMAND_TIMEOUT_S)
    try:
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("select pg_advisory_xact_lock($1)", SCHEMA_LOCK)
            await connection.execute(SCHEMA.read_text())
    except BaseException:
        pool.terminate()
        raise
    return pool
