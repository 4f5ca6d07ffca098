"""The log's way into this process: LISTEN for speed, a poll twice a second for certainty.

Notifications carry the line itself, so another region's log-out arrives after half a round trip. They can be lost with
their connection; the poll cannot miss anything, because it does not go by `sequence` (a bigserial's numbers become visible
out of order) but by transaction: it asks for every line whose transaction was not yet over when the poll before it looked.
Each poll that succeeds moves `heard_at`; whoever serves from memory compares that with REVOCATION_STALENESS_MAX_S. It also brings
how far the primary's log has come, which bounds how far behind a replica may be that is read (accounts/account.py), and whether
the primary follows log-ins by itself, which spares each of them a round trip to it.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import msgspec
import structlog

from service.clocks import Clock
from service.metrics.counters import Counters
from service.revocation.log import as_revocation
from service.revocation.records import Revocation, Revocations

CHANNEL = "cached_auth_revocations"
POLL_S = 0.5
POLL_TIMEOUT_S = 1.0
CONNECT_TIMEOUT_S = 3.0
LOAD_TIMEOUT_S = 20.0
RETRY_S_MAX = 2.0
EXPIRE_EVERY_POLLS = 60
# While more is revoked than memory holds, everything is read again this often: the primary must not pay for our bound.
RELOAD_S = 30.0
ROWS_AT_A_TIME = 100
FOLLOWED_S_MAX = 2.0

# The xmin of this statement's own snapshot is the next poll's floor: whatever is invisible now has a transaction >= xmin.
# A trigger whose owner cannot see the users follows nobody (under row security without a warning), so it does not count.
_POLL = """
SELECT sequence, kind, subject, watermark_iat, except_session, extract(epoch FROM expires_at - now())::float8 AS lives_s,
       pg_snapshot_xmin(pg_current_snapshot())::text AS xmin,
       CASE WHEN NOT pg_is_in_recovery() THEN (pg_current_wal_lsn() - '0/0')::bigint END AS position,
       EXISTS (SELECT FROM pg_class AS sessions
                 JOIN pg_trigger ON tgrelid = sessions.oid
                 JOIN pg_proc ON pg_proc.oid = tgfoid
                 JOIN pg_roles AS follower ON follower.oid = proowner
                 JOIN pg_class AS users ON users.relname = 'users' AND users.relnamespace = sessions.relnamespace
                WHERE sessions.relnamespace = to_regnamespace('auth') AND sessions.relname = 'sessions'
                  AND tgname = 'cached_auth_sessions_begun' AND tgenabled IN ('O', 'A')
                  AND has_schema_privilege(proowner, users.relnamespace, 'USAGE')
                  AND has_table_privilege(proowner, users.oid, 'SELECT')
                  AND (rolsuper OR rolbypassrls OR users.relowner = proowner OR NOT users.relrowsecurity)) AS follows_log_ins
  FROM (SELECT 1) AS always LEFT JOIN cached_auth.revocations
    ON transaction >= $1::text::xid8 AND expires_at > now()
"""

log = structlog.get_logger("service.revocation.feed")
_notice_decoder = msgspec.json.Decoder(Revocation)


class RevocationFeed:
    """`run` until cancelled; `heard_at` is when the set was last known to be complete (monotonic seconds)."""

    def __init__(
        self,
        database_url: str,
        connect_arguments: dict[str, Any],
        revocations: Revocations,
        clock: Clock,
        counters: Counters,
        also: Mapping[str, Callable[[str], None]],
        *,
        connect: Callable[..., Awaitable[asyncpg.Connection]] = asyncpg.connect,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        """`also`: further channels of the same connection, and what to call with what a notice says."""
        self._connect = connect
        self._uniform = uniform
        self._also = also
        self._database_url = database_url
        self._connect_arguments = connect_arguments
        self._revocations = revocations
        self._clock = clock
        self._counters = counters
        self._floor = "0"
        self._polls = 0
        self._loaded_at = -math.inf
        self.heard_at = -math.inf
        self._follows_log_ins = False
        self._positions: deque[tuple[float, int]] = deque(maxlen=2)

    @property
    def silent_s(self) -> float:
        """Seconds since the set was last known to be complete."""
        return self._clock.monotonic() - self.heard_at

    @property
    def follows_log_ins(self) -> bool:
        """The primary has said so at most FOLLOWED_S_MAX ago; where it has not, the service follows its log-ins itself."""
        return self._follows_log_ins and self.silent_s <= FOLLOWED_S_MAX

    def position_within(self, age_s: float, later_than: float = -math.inf) -> int | None:
        """How far (bytes) the primary's log had come at a moment at most `age_s` ago and after `later_than` (monotonic); None
        where nothing so young was heard.

        The older of the last two polls where it will do: a healthy replica has replayed that by now, the last one perhaps not.
        """
        oldest = self._clock.monotonic() - age_s
        good = (position for asked_at, position in self._positions if asked_at >= oldest and asked_at > later_than)
        return next(good, None)

    async def run(self) -> None:
        retry_s = 0.1
        while True:
            began = self._clock.monotonic()
            try:
                await self._follow()
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                log.warning("revocation_feed_lost", reason=type(error).__name__, silent_s=round(min(self.silent_s, 1e9), 3))
            self._counters.feed_losses += 1
            retry_s = 0.1 if self._clock.monotonic() - began > RETRY_S_MAX else min(retry_s * 2, RETRY_S_MAX)
            await asyncio.sleep(retry_s * self._uniform(0.5, 1.0))  # spreads replicas, protects nothing

    async def _follow(self) -> None:
        connection = await self._connect(self._database_url, timeout=CONNECT_TIMEOUT_S, **self._connect_arguments)
        try:
            await connection.add_listener(CHANNEL, self._on_notice)
            for channel in self._also:
                await connection.add_listener(channel, self._on_other)
            await self._load(connection)
            while True:
                await asyncio.sleep(POLL_S)
                if self._revocations.is_overfull and self._clock.monotonic() - self._loaded_at >= RELOAD_S:
                    await self._load(connection)
                else:
                    await self._poll(connection, POLL_TIMEOUT_S)
        finally:
            connection.terminate()  # close() would wait for a server that may be gone

    async def _load(self, connection: asyncpg.Connection) -> None:
        """Reads every line that counts: another server may answer now, with transaction numbers of its own, or there is room."""
        self._loaded_at = self._clock.monotonic()
        self._floor = "0"
        await self._expire()
        self._revocations.is_overfull = False
        await self._poll(connection, LOAD_TIMEOUT_S)
        if self._revocations.is_overfull:
            log.error("revocation_set_overfull", subjects=len(self._revocations))

    async def _poll(self, connection: asyncpg.Connection, timeout_s: float) -> None:
        asked_at = self._clock.monotonic()
        rows = await connection.fetch(_POLL, self._floor, timeout=timeout_s)
        for first in range(0, len(rows), ROWS_AT_A_TIME):
            for row in rows[first : first + ROWS_AT_A_TIME]:
                if row["sequence"] is not None:
                    self._revocations.apply(as_revocation(row), self._clock.monotonic())
            await asyncio.sleep(0)  # a whole day's lines at once would hold up every request
        self._floor = rows[0]["xmin"]
        self._follows_log_ins = rows[0]["follows_log_ins"]
        if rows[0]["position"] is not None:
            self._positions.append((asked_at, rows[0]["position"]))
        if not self._revocations.is_overfull:  # else the set is not complete: nothing may be served on its word
            self.heard_at = asked_at
        self._polls += 1
        if self._polls % EXPIRE_EVERY_POLLS == 0:
            await self._expire()

    async def _expire(self) -> None:
        for _ in self._revocations.expiring(self._clock.monotonic()):
            await asyncio.sleep(0)

    def _on_notice(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        try:
            revocation = _notice_decoder.decode(str(payload))
        except msgspec.DecodeError:
            log.warning("revocation_notice_unreadable")  # the poll brings the line itself
            return
        self._revocations.apply(revocation, self._clock.monotonic())
        self._counters.revocation_notices += 1

    def _on_other(self, _connection: object, _pid: int, channel: str, payload: object) -> None:
        self._also[channel](str(payload))
