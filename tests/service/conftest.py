"""Real servers for the session, a database of its own for each test; a front with real parts behind it."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import asyncpg
import pytest

from loadtests.bench.replica_stack import running_postgres, running_valkey
from service.database.migrate import migrate
from service.settings import Settings, read_settings
from tests.service.environment import good_environment
from tests.service.standby import Pair, lagging_pair


def settings_with(**changes: str) -> Settings:
    return read_settings(good_environment(**changes))


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    with running_postgres() as (url, _):
        yield url


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_valkey(tmp_path_factory.mktemp("cache")) as server:
        yield server.connection_url


@contextlib.asynccontextmanager
async def fresh_database(postgres: str, template: str = "template1") -> AsyncIterator[str]:
    name = f"test_{secrets.token_hex(6)}"
    connection = await asyncpg.connect(postgres)
    try:
        await connection.execute(f'create database "{name}" template "{template}"')
        yield urlsplit(postgres)._replace(path=f"/{name}").geturl()
        await connection.execute(f'drop database "{name}" with (force)')
    finally:
        await connection.close()


@pytest.fixture
async def empty_database(postgres: str, anyio_backend: str) -> AsyncIterator[str]:
    async with fresh_database(postgres) as url:
        yield url


@pytest.fixture(scope="session")
def migrated(postgres: str) -> str:
    """The name of a database to copy: a migration is a process, a copy is not."""

    async def make() -> str:
        connection = await asyncpg.connect(postgres)
        await connection.execute("create database migrated")
        await connection.close()
        await migrate(urlsplit(postgres)._replace(path="/migrated").geturl())
        return "migrated"

    return asyncio.run(make())


@pytest.fixture
async def database_url(postgres: str, migrated: str, anyio_backend: str) -> AsyncIterator[str]:
    async with fresh_database(postgres, migrated) as url:
        yield url


@pytest.fixture
async def pair(database_url: str) -> AsyncIterator[Pair]:
    """A migrated primary and a real standby whose replay is stopped."""
    async with lagging_pair(database_url) as pair:
        yield pair
