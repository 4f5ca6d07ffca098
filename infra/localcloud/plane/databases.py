"""Real PostgreSQL servers: a primary, or a standby that streams from it through the link between their regions.

Three roles exist in each cluster. `plane_admin` is the superuser that only the plane uses, `plane_replicator` may only
stream; their random passwords are the home's own and live in cloud/databases.json (0600). `postgres` is the customer's:
as on Supabase it owns the database and may create roles, yet is no superuser, so that what works here works there.
Passwords never appear on a command line or in the server's log.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import msgspec

from infra.localcloud.plane.claim import require_free
from infra.localcloud.plane.cluster_files import HBA, before_of, decide_archiving, slot_of, undo_restore
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
    "wal_keep_size": "128MB",  # so that a standby can follow whoever was promoted in the primary's place
    "archive_mode": "on",  # what is done with the log is decided by archive_command, which can change while it runs
}

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
    exchanges: dict[str, str] = {}  # primary -> standby whose directories are changing places (failover.py)


class Databases:
    """Ensures, ends and removes servers. `near_end(region, address)` says where a region reaches another's primary."""

    def __init__(self, directory: Path, supervisor: Supervisor, near_end: Callable[[str, str], Awaitable[str]]) -> None:
        self._directory = directory
        self._path = directory / "databases.json"
        self.supervisor, self.near_end = supervisor, near_end
        self._located: Postgres | None = None
        self.book = DatabaseBook(secrets.token_urlsafe(24), secrets.token_urlsafe(24), {})
        self._locks: dict[str, asyncio.Lock] = {}
        self._flushing: set[asyncio.Task[None]] = set()

    def open(self) -> None:
        """Reads what an earlier daemon knew, once the home is claimed."""
        self.book = read_document(self._path, DatabaseBook, self.book)

    def exchange(self, primary_key: str, standby_key: str) -> None:
        """The standby's data become the primary's, which are put aside as the standby's former ones."""
        self._write(exchanges={**self.book.exchanges, primary_key: standby_key})
        self._finish_exchanges()

    def _finish_exchanges(self) -> None:
        """Whatever a daemon that was killed had done of it: each rename tells by what is left whether it was done."""
        if not self.book.exchanges:
            return
        for primary_key, standby_key in self.book.exchanges.items():
            primary, standby, former = self.data_of(primary_key), self.data_of(standby_key), self.former_of(standby_key)
            if standby.exists() and primary.exists():
                shutil.rmtree(former, ignore_errors=True)  # of a time before
                primary.rename(former)
            if standby.exists():
                standby.rename(primary)
        self._write(exchanges={})

    def former_of(self, key: str) -> Path:
        """A standby's data of the time when it was the primary."""
        return self.data_of(key).with_name(f"{self.data_of(key).name}.former")

    def spec_of(self, key: str) -> DatabaseSpec:
        """Of a server that is known, for running it: the customer's password is not among what is kept here."""
        known = self.book.databases[key]
        return DatabaseSpec(key, known.region, known.address, "", known.primary_key)

    async def ensure(self, spec: DatabaseSpec) -> None:
        """Ready for connections with `spec.password` when this returns; what exists already is kept."""
        async with self.lock(spec.key):
            await self.locate()
            self._finish_exchanges()
            known = self.book.databases.get(spec.key)
            wanted = StoredDatabase(spec.address, spec.region, spec.primary_key)
            if known is not None and known != wanted:
                raise PlaneError(f"database {spec.key!r} exists as {known}: remove it before it can become {wanted}")
            self.remember(self.book.databases | {spec.key: wanted})
            if self.supervisor.find(spec.key) is None:
                require_free(spec.address, PORT)
                await asyncio.to_thread(undo_restore, self.data_of(spec.key))  # a daemon that was killed may have been at one
                if spec.primary_key is not None and not await self._can_follow(spec.primary_key, spec.key):
                    await asyncio.to_thread(shutil.rmtree, self.data_of(spec.key), ignore_errors=True)
                is_new = not (self.data_of(spec.key) / "PG_VERSION").exists()
                if is_new:
                    await self._create(spec)
                await self.run(spec)
                if is_new:
                    self._flush_later(spec.key)
            if spec.primary_key is None:
                await self.set_password(spec)

    async def remove(self, key: str) -> None:
        """Ends the server and deletes its data; for a standby also its slot, which would hold back the primary's log."""
        async with self.lock(key):
            await self.locate()
            known = self.book.databases.get(key)
            await self.supervisor.stop(key, STOP_S)
            for directory in (self.data_of(key), self.former_of(key), before_of(self.data_of(key))):
                await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)
            if known is not None and known.primary_key is not None:
                await self._drop_slot(known.primary_key, key)
            self.remember({name: stored for name, stored in self.book.databases.items() if name != key})

    async def set_replay_delay(self, key: str, delay_ms: int) -> None:
        """Kept by the standby itself, in its postgresql.auto.conf."""
        known = self.book.databases.get(key)
        if known is None or known.primary_key is None or self.supervisor.find(key) is None:
            raise PlaneError(f"{key}: expected a running standby; see `python -m infra.localcloud status`")
        connection = await self.connect(known.address)
        try:
            await connection.execute(f"ALTER SYSTEM SET recovery_min_apply_delay = {int(delay_ms)}")
            await connection.execute("SELECT pg_reload_conf()")
        finally:
            await connection.close()

    def lock(self, key: str) -> asyncio.Lock:
        """Held by whoever changes this server."""
        return self._locks.setdefault(key, asyncio.Lock())

    def standbys_of(self, primary_key: str) -> list[str]:
        return [key for key, stored in self.book.databases.items() if stored.primary_key == primary_key]

    def is_running(self, key: str) -> bool:
        return self.supervisor.find(key) is not None

    async def stop(self, key: str) -> None:
        await self.supervisor.stop(key, STOP_S)

    def _flush_later(self, key: str) -> None:
        """Brings a new cluster's files to the disk beside its first use.

        initdb and pg_basebackup would do that first, file by file: up to two seconds each on a busy disk. Every commit is
        still flushed; a power cut in these first moments may lose the whole new cluster, which can be made again.
        """
        task = asyncio.get_running_loop().create_task(asyncio.to_thread(flush_filesystem, self.data_of(key)))
        self._flushing.add(task)
        task.add_done_callback(self._flushing.discard)

    async def close(self) -> None:
        """After all servers ended: leaves nothing outside the home when no database is left."""
        await asyncio.gather(*self._flushing)
        await asyncio.to_thread(sweep_stagings)
        if not self.book.databases:
            await asyncio.to_thread(discard_staging, self._directory)

    @property
    def postgres(self) -> Postgres:
        assert self._located is not None
        return self._located

    async def locate(self) -> None:
        """On the first database, not before: as root it makes a directory outside the home."""
        if self._located is None:
            self._located = await asyncio.to_thread(locate_postgres, self._directory, os.environ)

    def is_known(self, key: str) -> bool:
        return key in self.book.databases

    async def _create(self, spec: DatabaseSpec) -> None:
        data = self.data_of(spec.key)
        shutil.rmtree(data, ignore_errors=True)  # what an interrupted attempt left: without PG_VERSION it is no cluster
        partial = data.with_name(f"{data.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(self.former_of(spec.key), ignore_errors=True)
        if spec.primary_key is None:
            await self._create_primary(spec, partial)
        else:
            await self.create_standby(spec, spec.primary_key, partial)
        partial.rename(data)

    async def _create_primary(self, spec: DatabaseSpec, target: Path) -> None:
        password_file = self.postgres.data / f"{target.name}.password"
        self.write_private(password_file, self.book.admin_password)
        try:
            await self.run_tool(
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
        primary = self.book.databases.get(primary_key)
        if primary is None or self.supervisor.find(primary_key) is None:
            return True
        connection = await self.connect(primary.address)
        try:
            status = await connection.fetchval("SELECT wal_status FROM pg_replication_slots WHERE slot_name = $1", slot_of(key))
        finally:
            await connection.close()
        return status not in (None, "lost", "unreserved")

    async def create_standby(self, spec: DatabaseSpec, primary_key: str, target: Path) -> None:
        primary = self.book.databases.get(primary_key)
        if primary is None or primary.primary_key is not None:
            raise PlaneError(f"standby {spec.key!r}: expected a primary named {primary_key!r}; ensure it first")
        await self._drop_slot(primary_key, spec.key)
        host = await self.near_end(spec.region, primary.address)
        conninfo = f"host={host} port={PORT} user={REPLICATOR} application_name={slot_of(spec.key)} keepalives_idle=5"
        await self.run_tool(
            f"{spec.key}.pg_basebackup",
            ("pg_basebackup", "-D", str(target), "-d", conninfo, "--write-recovery-conf", "--wal-method=stream"),
            ("--create-slot", f"--slot={slot_of(spec.key)}", "--checkpoint=fast", "--no-password", "--no-sync"),
            {"PGPASSWORD": self.book.replicator_password},
        )

    async def run(self, spec: DatabaseSpec) -> None:
        data = self.data_of(spec.key)
        (data / "postmaster.pid").unlink(missing_ok=True)  # reconciled: whoever wrote it has ended
        decide_archiving(data)
        settings = SETTINGS | {"listen_addresses": spec.address}
        argv = [self.postgres.program("postgres"), "-D", str(data)]
        for name, value in settings.items():
            argv += ["-c", f"{name}={value}"]
        child = await self.supervisor.start(spec.key, self._command(tuple(argv), {}))
        child.is_wanted_end = True
        try:
            await until_ready(child, lambda: self._question(spec.address), READY_TIMEOUT_S, interval_s=0.05)
        except BaseException:
            await self.supervisor.stop(spec.key, STOP_S)
            raise
        settled(child)

    async def _question(self, address: str) -> str | None:
        try:
            connection = await self.connect(address)
        except asyncpg.CannotConnectNowError as exc:
            return str(exc)
        await connection.close()
        return None

    async def set_password(self, spec: DatabaseSpec) -> None:
        """Makes the customer's role on first sight; sets the password only where it is not that already."""
        try:
            connection = await self.connect(spec.address, "postgres", spec.password)
        except asyncpg.InvalidAuthorizationSpecificationError:  # wrong password, or no such role yet
            await self._write_roles(spec)
        else:
            await connection.close()

    async def _write_roles(self, spec: DatabaseSpec) -> None:
        connection = await self.connect(spec.address)
        try:
            # A statement that fails is logged with its text; this one holds a password.
            await connection.execute("SET log_min_error_statement TO panic")
            async with connection.transaction():
                if await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = 'postgres'") is None:
                    for statement in OWNER_STATEMENTS:
                        await connection.execute(statement)
                for role, password in (("postgres", spec.password), (REPLICATOR, self.book.replicator_password)):
                    await connection.execute(await connection.fetchval(ALTER_STATEMENT, role, password))
        finally:
            await connection.close()

    async def _drop_slot(self, primary_key: str, standby_key: str) -> None:
        primary = self.book.databases.get(primary_key)
        if primary is None or self.supervisor.find(primary_key) is None:
            return
        connection = await self.connect(primary.address)
        try:
            async with asyncio.timeout(QUERY_TIMEOUT_S):
                # The sender may not have noticed the end yet; the server offers nothing to wait for.
                while await connection.fetchrow(SLOT_IN_USE, slot_of(standby_key)) is not None:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            await connection.execute(DROP_SLOT, slot_of(standby_key))
        except TimeoutError:
            raise PlaneError(f"{standby_key}: its replication slot on {primary_key} is still in use; remove it again") from None
        finally:
            await connection.close()

    async def connect(self, address: str, user: str = ADMIN, password: str | None = None) -> asyncpg.Connection:
        return await asyncpg.connect(
            host=address,
            port=PORT,
            user=user,
            password=self.book.admin_password if password is None else password,
            database="postgres",
            timeout=QUERY_TIMEOUT_S,
            ssl=False,
        )

    async def run_tool(
        self, key: str, argv: tuple[str, ...], more: tuple[str, ...], environment: dict[str, str] | None = None
    ) -> None:
        command = self._command((self.postgres.program(argv[0]), *argv[1:], *more), environment or {})
        child = await self.supervisor.start(key, command)
        child.is_wanted_end = True
        try:
            exit_code = await ended_within(child, TOOL_TIMEOUT_S)
        finally:
            await self.supervisor.stop(key, 0.0)
        if exit_code is None:
            raise start_failed(child, f"{argv[0]} did not end within {TOOL_TIMEOUT_S:g} s")
        if exit_code != 0:
            raise start_failed(child, f"{argv[0]} ended with exit code {exit_code}")

    def _command(self, argv: tuple[str, ...], environment: dict[str, str]) -> Command:
        own = {"HOME": str(self.postgres.data), "LC_ALL": "C"} | environment
        return Command(
            argv, self.postgres.data, own, self.postgres.identity, stop_signal=signal.SIGINT, death_signal=signal.SIGINT
        )

    def write_private(self, path: Path, text: str) -> None:
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        if self.postgres.identity is not None:
            os.chown(path, self.postgres.identity.user, self.postgres.identity.group)

    def data_of(self, key: str) -> Path:
        return self.postgres.data / slot_of(key)

    def remember(self, databases: dict[str, StoredDatabase]) -> None:
        self._write(databases=databases)

    def _write(self, **changes: Any) -> None:
        book = msgspec.structs.replace(self.book, **changes)
        if book != self.book or not self._path.exists():
            self.book = book
            write_document(self._path, book)
