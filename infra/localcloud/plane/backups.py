"""Backups of a primary and the way back to any moment since: base backups and the archived log.

Theory of operation. The first backup switches the archive on: from then on every finished segment of the log is copied beside
the cluster before the server may reuse it. A restore takes the newest backup from before the moment, replays the archived log
up to it, and goes on from there on a timeline of its own. Standbys are made anew, since their history is another one.

The base backup lies beside the cluster, on the same disk: it guards against what a deploy did to the data, not against the
loss of the machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]
import msgspec

from infra.localcloud.plane.cluster_files import (
    archive_command,
    begin_restore,
    end_restore,
    own_settings,
    restore_command,
    setting_line,
    slot_of,
    undo_restore,
)
from infra.localcloud.plane.databases import PORT, QUERY_TIMEOUT_S, REPLICATOR, Databases
from infra.localcloud.plane.documents import read_document, write_document
from infra.localcloud.plane.interface import Backup, PlaneError, StartFailed

BACKUPS_KEPT = 5
RESTORE_TIMEOUT_S = 120.0
RECOVERY_SETTINGS = ("restore_command", "recovery_target_time", "recovery_target_action")


class StoredBackup(msgspec.Struct, frozen=True):
    id: str
    completed_s: float
    first_segment: str  # the oldest part of the log that it needs


class Backups:
    """One directory per primary: `backups/<slot>/<id>/` and `archive/<slot>/`, beside the clusters."""

    def __init__(self, databases: Databases, directory: Path) -> None:
        self._databases, self._path = databases, directory / "backups.json"

    def completed(self, key: str) -> list[Backup]:
        """Oldest first."""
        return [Backup(found.id, found.completed_s) for found in self._stored().get(key, ())]

    async def create(self, key: str) -> Backup:
        """PlaneError where it is no running primary."""
        databases = self._databases
        async with databases.lock(key), self._primary(key) as connection:
            await self._archive(key, connection)
            now = datetime.now(UTC)
            backup_id = f"{now:%Y%m%dT%H%M%S%fZ}"
            target = self._directory(key) / backup_id
            await self._make_directory(self._directory(key))
            address = databases.book.databases[key].address
            await databases.run_tool(
                f"{key}.pg_basebackup",
                ("pg_basebackup", "-D", str(target), "-d", f"host={address} port={PORT} user={REPLICATOR}"),
                ("--wal-method=stream", "--checkpoint=fast", "--no-password", "--no-sync"),
                {"PGPASSWORD": databases.book.replicator_password},
            )
        first = first_segment((target / "backup_label").read_text(encoding="utf-8"))
        made = StoredBackup(backup_id, datetime.now(UTC).timestamp(), first)
        await self._keep(key, [*self._stored().get(key, ()), made])
        return Backup(made.id, made.completed_s)

    async def restore(self, key: str, at_s: float | None) -> None:
        """The data as they were at `at_s` (seconds since 1970; None: the newest that is archived). Standbys are ended.

        PlaneError where no backup is that old, or the primary does not run.
        """
        async with self._databases.lock(key):
            await self._restore(key, at_s)

    async def _restore(self, key: str, at_s: float | None) -> None:
        databases = self._databases
        standbys = databases.standbys_of(key)
        async with self._primary(key) as connection:
            chosen = newest_before(self._stored().get(key, []), at_s)
            if chosen is None:
                raise PlaneError(
                    f"{key}: no backup from before that moment; `./cached-auth cloud database list` shows what there is"
                )
            # The target has to lie before some commit, else the replay would look for it in vain.
            await connection.execute("SELECT pg_logical_emit_message(true, 'plane', 'restore')")
        for name in (*standbys, key):
            await databases.stop(name)  # a primary archives the rest of its log while it ends
        data = databases.data_of(key)
        partial = data.with_name(f"{data.name}.partial")
        await asyncio.to_thread(shutil.rmtree, partial, ignore_errors=True)
        await databases.run_tool(f"{key}.copy", ("/bin/cp", "-a", str(self._directory(key) / chosen.id), str(partial)), ())
        self._write_recovery(key, partial, at_s)
        begin_restore(data, partial)
        try:
            await self._recover(key)
            await asyncio.to_thread(end_restore, data)
        except BaseException:
            await databases.stop(key)
            await asyncio.to_thread(undo_restore, data)  # nothing is lost by a restore that failed
            raise

    async def hand_over(self, primary_key: str, standby_key: str) -> None:
        """Before a promotion, so that the archive goes on without a gap: the standby's settings are those of the time when it was
        cloned, and the history of its new timeline is the first thing it archives; what a killed primary had not archived yet
        still lies in its log."""
        if not self.completed(primary_key):
            return
        connection = await self._databases.connect(self._databases.book.databases[standby_key].address)
        try:
            await self._archive(primary_key, connection)
        except (asyncpg.PostgresError, OSError) as exc:
            raise PlaneError(f"{standby_key}: {exc}") from exc
        finally:
            await connection.close(timeout=QUERY_TIMEOUT_S)
        log = self._databases.data_of(primary_key) / "pg_wal"
        ready = [str(log / found.stem) for found in sorted((log / "archive_status").glob("*.ready"))]
        if ready:
            command = ("/bin/cp", "-n", "-t", str(self._archive_directory(primary_key)), *ready)
            await self._databases.run_tool(f"{primary_key}.salvage", command, ())

    async def forget(self, key: str) -> None:
        """Deletes all backups of a primary that is removed."""
        if not self.completed(key):
            return
        for directory in (self._directory(key), self._archive_directory(key)):
            await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)
        write_document(self._path, {name: found for name, found in self._stored().items() if name != key})

    async def _recover(self, key: str) -> None:
        databases = self._databases
        spec = databases.spec_of(key)
        try:
            await databases.run(spec)
            connection = await databases.connect(spec.address)
            try:
                async with asyncio.timeout(RESTORE_TIMEOUT_S):
                    # The server offers nothing to wait for.
                    while await connection.fetchval("SELECT pg_is_in_recovery()"):  # noqa: ASYNC110
                        await asyncio.sleep(0.05)
                for name in RECOVERY_SETTINGS:
                    await connection.execute(f"ALTER SYSTEM RESET {name}")
                await self._archive(key, connection)
            finally:
                await connection.close(timeout=QUERY_TIMEOUT_S)
        except (StartFailed, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as exc:
            said = [line.text for line in databases.supervisor.logs(key, 50) if "FATAL" in line.text]
            reason = said[-1].partition("FATAL:")[2].strip() if said else exc or type(exc).__name__
            raise PlaneError(f"{key}: could not be restored ({reason}); its data are as they were") from exc

    def _write_recovery(self, key: str, data: Path, at_s: float | None) -> None:
        settings = {"restore_command": restore_command(self._archive_directory(key))}
        if at_s is not None:
            settings["recovery_target_time"] = datetime.fromtimestamp(at_s, UTC).isoformat()
            settings["recovery_target_action"] = "promote"
        with own_settings(data).open("a", encoding="utf-8") as file:
            file.writelines(setting_line(name, value) for name, value in settings.items())
        self._databases.write_private(data / "recovery.signal", "")

    async def _archive(self, key: str, connection: asyncpg.Connection) -> None:
        archive = self._archive_directory(key)
        await self._make_directory(archive)
        await connection.execute(
            await connection.fetchval(
                "SELECT format('ALTER SYSTEM SET archive_command = %L', $1::text)", archive_command(archive)
            )
        )
        await connection.execute("SELECT pg_reload_conf()")

    async def _make_directory(self, path: Path) -> None:
        await self._databases.run_tool("mkdir", ("/bin/mkdir", "-p", "-m", "700", str(path)), ())

    async def _keep(self, key: str, backups: list[StoredBackup]) -> None:
        """The newest ones, and of the log what they need."""
        kept = backups[-BACKUPS_KEPT:]
        write_document(self._path, {**self._stored(), key: kept})
        for dropped in backups[:-BACKUPS_KEPT]:
            await asyncio.to_thread(shutil.rmtree, self._directory(key) / dropped.id, ignore_errors=True)
        archive = self._archive_directory(key)
        await self._databases.run_tool(f"{key}.cleanup", ("pg_archivecleanup", str(archive), kept[0].first_segment), ())

    def _stored(self) -> dict[str, list[StoredBackup]]:
        return read_document(self._path, dict[str, list[StoredBackup]], {})

    def _directory(self, key: str) -> Path:
        return self._databases.postgres.data / "backups" / slot_of(key)

    def _archive_directory(self, key: str) -> Path:
        return self._databases.postgres.data / "archive" / slot_of(key)

    @contextlib.asynccontextmanager
    async def _primary(self, key: str) -> AsyncIterator[asyncpg.Connection]:
        known = self._databases.book.databases.get(key)
        if known is None or known.primary_key is not None or not self._databases.is_running(key):
            raise PlaneError(f"{key}: expected a primary that runs; `./cached-auth cloud status` shows them")
        connection = await self._databases.connect(known.address)
        try:
            yield connection
        except (asyncpg.PostgresError, OSError) as exc:
            raise PlaneError(f"{key}: {exc}") from exc
        finally:
            await connection.close(timeout=QUERY_TIMEOUT_S)


def newest_before(backups: list[StoredBackup], at_s: float | None) -> StoredBackup | None:
    """Pure. A backup is consistent from its completion on, not from its beginning."""
    usable = [found for found in backups if at_s is None or found.completed_s <= at_s]
    return usable[-1] if usable else None


def first_segment(label: str) -> str:
    """Of a backup_label: `START WAL LOCATION: 0/2000028 (file 000000010000000000000002)`."""
    return label.partition("(file ")[2].partition(")")[0]
