"""The part of asyncpg that is used here, as types: asyncpg itself comes without any.

Only this file and `project` import it for anything but its exceptions.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import asyncpg  # type: ignore[import-untyped]

LockNotAvailable: type[Exception] = asyncpg.LockNotAvailableError
UniqueViolation: type[Exception] = asyncpg.UniqueViolationError
DataError: type[Exception] = asyncpg.DataError
DatabaseErrors: tuple[type[Exception], ...] = (asyncpg.PostgresError, asyncpg.InterfaceError, ConnectionError)
NotReadyErrors: tuple[type[Exception], ...] = (OSError, asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError)


class Record(Protocol):
    def __getitem__(self, column: str) -> Any: ...


class Executor(Protocol):
    """What runs statements: a pool (one connection per statement) or one connection."""

    async def execute(self, query: str, *arguments: Any) -> str: ...
    async def fetch(self, query: str, *arguments: Any) -> Sequence[Record]: ...
    async def fetchrow(self, query: str, *arguments: Any) -> Record | None: ...
    async def fetchval(self, query: str, *arguments: Any) -> Any: ...


class Connection(Executor, Protocol):
    def transaction(self) -> AbstractAsyncContextManager[None]: ...


class Database(Executor, Protocol):
    """A bounded pool of connections."""

    def acquire(self) -> AbstractAsyncContextManager[Connection]: ...
    async def close(self) -> None: ...
    def terminate(self) -> None: ...


async def _keep_session(_connection: object) -> None:
    """asyncpg would reset the session at each return to the pool: a round trip for nothing, as no statement leaves anything."""


async def open_pool(url: str, size_max: int, command_timeout_s: float) -> Database:
    """Connects once before it returns; raises one of NotReadyErrors while the server is starting."""
    pool: Database = await asyncpg.create_pool(
        url,
        min_size=1,
        max_size=size_max,
        command_timeout=command_timeout_s,
        reset=_keep_session,
        server_settings={"application_name": "supabase-auth", "timezone": "UTC"},
    )
    return pool
