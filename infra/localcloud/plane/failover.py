"""Promoting a standby, and bringing the old primary back as a standby.

Theory of operation. A primary's address is what everybody's variables hold, so it stays: the promoted standby's data take the
primary's place (its key, address and region), and the old primary's data take the standby's, where they are rewound to where
the two histories part (pg_rewind) and follow from there; where they cannot be, the standby is cloned anew. Other standbys find
the same address, a newer timeline and slots of their own. On Railway and Supabase a name would lead to another machine
instead; here the region of the primary does not change, and nothing has to be deployed again.

What the primary had committed and the standby not received is lost, as with any asynchronous standby; a primary that still
runs is asked to end first, and then hands over everything; where it cannot, nothing is changed.

The exchange of the two directories is two renames, written down beforehand, so that a daemon killed in between finishes it.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]

from infra.localcloud.plane.cluster_files import slot_of
from infra.localcloud.plane.databases import ADMIN, PORT, QUERY_TIMEOUT_S, REPLICATOR, Databases
from infra.localcloud.plane.interface import DatabaseSpec, PlaneError, StartFailed

PROMOTION_TIMEOUT_S = 60
CATCH_UP_TIMEOUT_S = 10.0
OWN_SETTINGS = ("primary_conninfo", "primary_slot_name", "recovery_min_apply_delay")
HAS_FLUSHED = "SELECT count(*) > 0 FROM pg_stat_replication WHERE application_name = $1 AND flush_lsn >= $2::text::pg_lsn"
DROP_SLOTS = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active"
_logger = logging.getLogger("localcloud")


class Failover:
    def __init__(self, databases: Databases, hand_over: Callable[[str, str], Awaitable[None]]) -> None:
        """`hand_over(primary, standby)` is called while the one has ended and the other is not yet promoted."""
        self._databases, self._hand_over = databases, hand_over

    async def promote(self, key: str) -> None:
        """The standby `key` becomes the primary of its cluster, the old primary its standby. PlaneError, StartFailed."""
        databases = self._databases
        known = databases.book.databases.get(key)
        if known is None or known.primary_key is None:
            raise PlaneError(f"{key}: expected a standby; `./cached-auth cloud status` shows them")
        primary_key = known.primary_key
        async with databases.lock(primary_key), databases.lock(key):
            if not databases.is_running(key):
                raise PlaneError(f"{key}: a standby that does not run cannot be promoted; bring it up first")
            if databases.is_running(primary_key):
                await self._await_caught_up(databases.book.databases[primary_key].address, key)
            await databases.stop(primary_key)
            await self._hand_over(primary_key, key)
            await self._become_primary(key, known.address, [*databases.standbys_of(primary_key)])
            await databases.stop(key)
            databases.exchange(primary_key, key)
            await databases.run(databases.spec_of(primary_key))
            await self._rejoin(key)

    async def _await_caught_up(self, primary_address: str, key: str) -> None:
        """A standby that is connected gets the rest while the primary ends (PostgreSQL's fast shutdown waits for it)."""
        connection = await self._databases.connect(primary_address)
        try:
            # A position, not the state: a standby still busy with an older timeline is `streaming` too.
            position = await connection.fetchval("SELECT pg_current_wal_lsn()::text")
            async with asyncio.timeout(CATCH_UP_TIMEOUT_S):
                # The server offers nothing to wait for.
                while not await connection.fetchval(HAS_FLUSHED, slot_of(key), position):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise PlaneError(
                f"{key}: is not up to date with its primary, which still runs; wait, or take the primary down and lose the rest"
            ) from None
        finally:
            await connection.close(timeout=QUERY_TIMEOUT_S)

    async def _become_primary(self, key: str, address: str, standbys: list[str]) -> None:
        connection = await self._databases.connect(address)
        try:
            await connection.execute("SELECT pg_promote(true, $1)", PROMOTION_TIMEOUT_S, timeout=PROMOTION_TIMEOUT_S + 5)
            if await connection.fetchval("SELECT pg_is_in_recovery()"):
                raise PlaneError(f"{key}: was not promoted within {PROMOTION_TIMEOUT_S} s")
            for name in OWN_SETTINGS:
                await connection.execute(f"ALTER SYSTEM RESET {name}")
            await connection.execute(DROP_SLOTS)
            for standby in standbys:  # its own key too: the old primary will follow under it
                await connection.execute("SELECT pg_create_physical_replication_slot($1, true)", slot_of(standby))
            await connection.execute("CHECKPOINT", timeout=PROMOTION_TIMEOUT_S)  # pg_rewind reads the new timeline from it
        except (asyncpg.PostgresError, OSError) as exc:
            raise PlaneError(f"{key}: could not be promoted ({exc})") from exc
        finally:
            await connection.close(timeout=QUERY_TIMEOUT_S)

    async def _rejoin(self, key: str) -> None:
        """The old primary's data, or a new copy, as the standby `key`."""
        databases, spec = self._databases, self._databases.spec_of(key)
        assert spec.primary_key is not None
        former, data = databases.former_of(key), databases.data_of(key)
        try:
            await self._rewind(spec, databases.spec_of(spec.primary_key), former)
            former.rename(data)
        except StartFailed as exc:
            _logger.warning("%s: cannot be rewound (%s); cloning it anew", key, exc)
            await asyncio.to_thread(shutil.rmtree, former, ignore_errors=True)
            await databases.create_standby(spec, spec.primary_key, former)
            former.rename(data)
        await databases.run(spec)

    async def _rewind(self, spec: DatabaseSpec, primary: DatabaseSpec, former: Path) -> None:
        databases = self._databases
        (former / "postmaster.pid").unlink(missing_ok=True)
        host = await databases.near_end(spec.region, primary.address)
        await databases.run_tool(
            f"{spec.key}.pg_rewind",
            ("pg_rewind", "-D", str(former)),
            (f"--source-server=host={host} port={PORT} user={ADMIN} dbname=postgres", "--no-sync"),
            {"PGPASSWORD": databases.book.admin_password},
        )
        conninfo = (
            f"host={host} port={PORT} user={REPLICATOR} password={databases.book.replicator_password} "
            f"application_name={slot_of(spec.key)} keepalives_idle=5"
        )
        with (former / "postgresql.auto.conf").open("a", encoding="utf-8") as file:
            file.write(f"primary_conninfo = '{conninfo}'\nprimary_slot_name = '{slot_of(spec.key)}'\n")
        for slot in (former / "pg_replslot").iterdir():  # of its own standbys then: they would hold back its log for ever
            shutil.rmtree(slot)
        databases.write_private(former / "standby.signal", "")
