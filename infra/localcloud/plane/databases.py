"""Real PostgreSQL servers: a primary, or a standby that streams from it through the link between their regions.

Three roles exist in each cluster. `plane_admin` is the superuser that only the plane uses, `plane_replicator` may only
stream; their random passwords are the home's own and live in cloud/databases.json (0600). `postgres` is the customer's:
as on Supabase it owns the database and may create roles, yet is no superuser, so that what works here works there.
Passwords never appear on a command line or in the server's log.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import shutil
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]
import msgspec

from infra.localcloud.plane.claim import require_free
from infra.localcloud.plane.documents import flush_filesystem, read_document, write_document
from infra.localcloud.plane.health import until_ready
from infra.localcloud.plane.interface import DatabaseSpec, PlaneError
from infra.localcloud.plane.postgres_programs import Postgres, locate_postgres
from infra.localcloud.plane.processes import Supervisor, ended_within, settled, start_failed
from infra.localcloud.plane.spawning import Command
from infra.localcloud.plane.staging import discard_staging, sweep_stagings

PORT = 5432
READY_TIMEOUT_S = 30.0
TOOL_TIMEOUT_S = 120.0
STOP_S = 15.0
QUERY_TIMEOUT_S = 10.0
ADMIN, REPLICATOR = "plane_admin", "plane_replicator"

# Small memory, real durability: fsync and synchronous_commit keep their defaults (on) on purpose.
SETTINGS = {
    "port": str(PORT),
    "unix_socket_directories": "",
    "shared_buffers": "32MB",
    "max_connections": "200",
    "wal_level": "logical",
    "max_wal_senders": "10",
    "max_replication_slots": "10",
    "max_slot_wal_keep_size": "256MB",
    "recovery_init_sync_method": "syncfs" if sys.platform == "linux" else "fsync",  # after a crash: all files at once
    "hot_standby": "on",
    "hot_standby_feedback": "on",
    "wal_receiver_status_interval": "1s",
    "wal_retrieve_retry_interval": "500ms",  # after a cut link is whole again
    "jit": "off",
    "log_min_messages": "warning",
    "log_statement": "none",
    "log_line_prefix": "%q%u@%d ",
    "dynamic_shared_memory_type": "mmap",
    "max_wal_size": "256MB",
}

HBA = "host all all 127.0.0.0/8 scram-sha-256\nhost replication all 127.0.0.0/8 scram-sha-256\n"

OWNER_STATEMENTS = (
    "CREATE ROLE postgres LOGIN CREATEROLE CREATEDB REPLICATION BYPASSRLS",
    "GRANT pg_monitor, pg_read_all_data, pg_signal_backend TO postgres WITH ADMIN OPTION",
    "ALTER DATABASE postgres OWNER TO postgres",
    f"CREATE ROLE {REPLICATOR} LOGIN REPLICATION",
)

# Ends whoever uses the slot, and says whether somebody did.
SLOT_IN_USE = "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1 AND active"
DROP_SLOT = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1"
ALTER_STATEMENT = "SELECT format('ALTER ROLE %I PASSWORD %L', $1::text, $2::text)"


class StoredDatabase(msgspec.Struct, frozen=True):
    address: str
    region: str
    primary_key: str | None


class DatabaseBook(msgspec.Struct, frozen=True):
    admin_password: str
    replicator_password: str
    databases: dict[str, StoredDatabase]


class Databases:
    """Ensures, ends and removes servers. `near_end(region, address)` says where a region reaches another's primary."""

    def __init__(self, directory: Path, supervisor: Supervisor, near_end: Callable[[str, str], Awaitable[str]]) -> None:
        self._directory = directory
        self._path = directory / "databases.json"
        self._supervisor, self._near_end = supervisor, near_end
        self._located: Postgres | None = None
        self._book = DatabaseBook(secrets.token_urlsafe(24), secrets.token_urlsafe(24), {})
        self._locks: dict[str, asyncio.Lock] = {}
        self._flushing: set[asyncio.Task[None]] = set()

    def open(self) -> None:
        """Reads what an earlier daemon knew, once the home is claimed."""
        self._book = read_document(self._path, DatabaseBook, self._book)

    async def ensure(self, spec: DatabaseSpec) -> None:
        """Ready for connections with `spec.password` when this returns; what exists already is kept."""
        async with self._locks.setdefault(spec.key, asyncio.Lock()):
            await self._locate()
            known = self._book.databases.get(spec.key)
            wanted = StoredDatabase(spec.address, spec.region, spec.primary_key)
            if known is not None and known != wanted:
                raise PlaneError(f"database {spec.key!r} exists as {known}: remove it before it can become {wanted}")
            self._remember(self._book.databases | {spec.key: wanted})
            if self._supervisor.find(spec.key) is None:
                require_free(spec.address, PORT)
                if spec.primary_key is not None and not await self._can_follow(spec.primary_key, spec.key):
                    await asyncio.to_thread(shutil.rmtree, self._data_of(spec.key), ignore_errors=True)
                is_new = not (self._data_of(spec.key) / "PG_VERSION").exists()
                if is_new:
                    await self._create(spec)
                await self._run(spec)
                if is_new:
                    self._flush_later(spec.key)
            if spec.primary_key is None:
                await self._set_password(spec)

    async def remove(self, key: str) -> None:
        """Ends the server and deletes its data; for a standby also its slot, which would hold back the primary's log."""
        async with self._locks.setdefault(key, asyncio.Lock()):
            await self._locate()
            known = self._book.databases.get(key)
            await self._supervisor.stop(key, STOP_S)
            await asyncio.to_thread(shutil.rmtree, self._data_of(key), ignore_errors=True)
            if known is not None and known.primary_key is not None:
                await self._drop_slot(known.primary_key, key)
            self._remember({name: stored for name, stored in self._book.databases.items() if name != key})

    async def set_replay_delay(self, key: str, delay_ms: int) -> None:
        """Kept by the standby itself, in its postgresql.auto.conf."""
        known = self._book.databases.get(key)
        if known is None or known.primary_key is None or self._supervisor.find(key) is None:
            raise PlaneError(f"{key}: expected a running standby; see `python -m infra.localcloud status`")
        connection = await self._connect(known.address)
        try:
            await connection.execute(f"ALTER SYSTEM SET recovery_min_apply_delay = {int(delay_ms)}")
            await connection.execute("SELECT pg_reload_conf()")
        finally:
            await connection.close()

    def _flush_later(self, key: str) -> None:
        """Brings a new cluster's files to the disk beside its first use.

        initdb and pg_basebackup would do that first, file by file: up to two seconds each on a busy disk. Every commit is
        still flushed; a power cut in these first moments may lose the whole new cluster, which can be made again.
        """
        task = asyncio.get_running_loop().create_task(asyncio.to_thread(flush_filesystem, self._data_of(key)))
        self._flushing.add(task)
        task.add_done_callback(self._flushing.discard)

    async def close(self) -> None:
        """After all servers ended: leaves nothing outside the home when no database is left."""
        await asyncio.gather(*self._flushing)
        await asyncio.to_thread(sweep_stagings)
        if not self._book.databases:
            await asyncio.to_thread(discard_staging, self._directory)

    @property
    def _postgres(self) -> Postgres:
        assert self._located is not None
        return self._located

    async def _locate(self) -> None:
        """On the first database, not before: as root it makes a directory outside the home."""
        if self._located is None:
            self._located = await asyncio.to_thread(locate_postgres, self._directory, os.environ)

    def is_known(self, key: str) -> bool:
        return key in self._book.databases

    async def _create(self, spec: DatabaseSpec) -> None:
        data = self._data_of(spec.key)
        shutil.rmtree(data, ignore_errors=True)  # what an interrupted attempt left: without PG_VERSION it is no cluster
        partial = data.with_name(f"{data.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        if spec.primary_key is None:
            await self._create_primary(spec, partial)
        else:
            await self._create_standby(spec, spec.primary_key, partial)
        partial.rename(data)

    async def _create_primary(self, spec: DatabaseSpec, target: Path) -> None:
        password_file = self._postgres.data / f"{target.name}.password"
        self._write_private(password_file, self._book.admin_password)
        try:
            await self._tool(
                f"{spec.key}.initdb",
                ("initdb", "-D", str(target), "-U", ADMIN, "--auth=scram-sha-256", f"--pwfile={password_file}"),
                ("--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8", "--no-instructions", "--no-sync"),
            )
        finally:
            password_file.unlink(missing_ok=True)
        hba = target / "pg_hba.conf"
        hba.write_text(HBA, encoding="ascii")

    async def _can_follow(self, primary_key: str, key: str) -> bool:
        """Whether the primary still has the log this standby needs; with the primary down, nothing better is possible."""
        primary = self._book.databases.get(primary_key)
        if primary is None or self._supervisor.find(primary_key) is None:
            return True
        connection = await self._connect(primary.address)
        try:
            status = await connection.fetchval("SELECT wal_status FROM pg_replication_slots WHERE slot_name = $1", _slot(key))
        finally:
            await connection.close()
        return status not in (None, "lost", "unreserved")

    async def _create_standby(self, spec: DatabaseSpec, primary_key: str, target: Path) -> None:
        primary = self._book.databases.get(primary_key)
        if primary is None or primary.primary_key is not None:
            raise PlaneError(f"standby {spec.key!r}: expected a primary named {primary_key!r}; ensure it first")
        await self._drop_slot(primary_key, spec.key)
        host = await self._near_end(spec.region, primary.address)
        conninfo = f"host={host} port={PORT} user={REPLICATOR} application_name={_slot(spec.key)} keepalives_idle=5"
        await self._tool(
            f"{spec.key}.pg_basebackup",
            ("pg_basebackup", "-D", str(target), "-d", conninfo, "--write-recovery-conf", "--wal-method=stream"),
            ("--create-slot", f"--slot={_slot(spec.key)}", "--checkpoint=fast", "--no-password", "--no-sync"),
            {"PGPASSWORD": self._book.replicator_password},
        )

    async def _run(self, spec: DatabaseSpec) -> None:
        data = self._data_of(spec.key)
        (data / "postmaster.pid").unlink(missing_ok=True)  # reconciled: whoever wrote it has ended
        settings = SETTINGS | {"listen_addresses": spec.address}
        argv = [self._postgres.program("postgres"), "-D", str(data)]
        for name, value in settings.items():
            argv += ["-c", f"{name}={value}"]
        child = await self._supervisor.start(spec.key, self._command(tuple(argv), {}))
        child.is_wanted_end = True
        try:
            await until_ready(child, lambda: self._question(spec.address), READY_TIMEOUT_S, interval_s=0.05)
        except BaseException:
            await self._supervisor.stop(spec.key, STOP_S)
            raise
        settled(child)

    async def _question(self, address: str) -> str | None:
        try:
            connection = await self._connect(address)
        except asyncpg.CannotConnectNowError as exc:
            return str(exc)
        await connection.close()
        return None

    async def _set_password(self, spec: DatabaseSpec) -> None:
        """Makes the customer's role on first sight; sets the password only where it is not that already."""
        try:
            connection = await self._connect(spec.address, "postgres", spec.password)
        except asyncpg.InvalidAuthorizationSpecificationError:  # wrong password, or no such role yet
            await self._write_roles(spec)
        else:
            await connection.close()

    async def _write_roles(self, spec: DatabaseSpec) -> None:
        connection = await self._connect(spec.address)
        try:
            # A statement that fails is logged with its text; this one holds a password.
            await connection.execute("SET log_min_error_statement TO panic")
            async with connection.transaction():
                if await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = 'postgres'") is None:
                    for statement in OWNER_STATEMENTS:
                        await connection.execute(statement)
                for role, password in (("postgres", spec.password), (REPLICATOR, self._book.replicator_password)):
                    await connection.execute(await connection.fetchval(ALTER_STATEMENT, role, password))
        finally:
            await connection.close()

    async def _drop_slot(self, primary_key: str, standby_key: str) -> None:
        primary = self._book.databases.get(primary_key)
        if primary is None or self._supervisor.find(primary_key) is None:
            return
        connection = await self._connect(primary.address)
        try:
            async with asyncio.timeout(QUERY_TIMEOUT_S):
                # The sender may not have noticed the end yet; the server offers nothing to wait for.
                while await connection.fetchrow(SLOT_IN_USE, _slot(standby_key)) is not None:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            await connection.execute(DROP_SLOT, _slot(standby_key))
        except TimeoutError:
            raise PlaneError(f"{standby_key}: its replication slot on {primary_key} is still in use; remove it again") from None
        finally:
            await connection.close()

    async def _connect(self, address: str, user: str = ADMIN, password: str | None = None) -> asyncpg.Connection:
        return await asyncpg.connect(
            host=address,
            port=PORT,
            user=user,
            password=self._book.admin_password if password is None else password,
            database="postgres",
            timeout=QUERY_TIMEOUT_S,
            ssl=False,
        )

    async def _tool(
        self, key: str, argv: tuple[str, ...], more: tuple[str, ...], environment: dict[str, str] | None = None
    ) -> None:
        command = self._command((self._postgres.program(argv[0]), *argv[1:], *more), environment or {})
        child = await self._supervisor.start(key, command)
        child.is_wanted_end = True
        try:
            exit_code = await ended_within(child, TOOL_TIMEOUT_S)
        finally:
            await self._supervisor.stop(key, 0.0)
        if exit_code is None:
            raise start_failed(child, f"{argv[0]} did not end within {TOOL_TIMEOUT_S:g} s")
        if exit_code != 0:
            raise start_failed(child, f"{argv[0]} ended with exit code {exit_code}")

    def _command(self, argv: tuple[str, ...], environment: dict[str, str]) -> Command:
        own = {"HOME": str(self._postgres.data), "LC_ALL": "C"} | environment
        return Command(
            argv, self._postgres.data, own, self._postgres.identity, stop_signal=signal.SIGINT, death_signal=signal.SIGINT
        )

    def _write_private(self, path: Path, text: str) -> None:
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        if self._postgres.identity is not None:
            os.chown(path, self._postgres.identity.user, self._postgres.identity.group)

    def _data_of(self, key: str) -> Path:
        return self._postgres.data / _slot(key)

    def _remember(self, databases: dict[str, StoredDatabase]) -> None:
        self._book = msgspec.structs.replace(self._book, databases=databases)
        write_document(self._path, self._book)


def _slot(key: str) -> str:
    """A key as a directory and replication slot name: lower case letters, digits, underscores; told apart by a digest."""
    plain = "".join(character if character.isascii() and character.isalnum() else "_" for character in key.lower())[:40]
    return f"{plain}_{hashlib.sha256(key.encode()).hexdigest()[:10]}"
