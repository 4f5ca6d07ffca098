"""Works the outbox off, in every replica: claim a few jobs, do them, note the outcome.

A claim moves the job's `run_at` into the future (a lease) in one statement with FOR UPDATE SKIP LOCKED, so no row stays
locked while a mail is sent, replicas never take the same job, and a worker that dies gives its jobs back after LEASE_S.
The worker is woken by NOTIFY through the database's own connection and looks by itself every POLL_S.

All replicas hear of new work at the same moment. Each waits for a while of its own, so that one takes it and the others find
none, and so that a burst of first log-ins is claimed together: nobody waits for a welcome mail, and whoever logs in meanwhile
waits for the processor and the primary.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable, Mapping

import asyncpg  # type: ignore[import-untyped]
import structlog

from service.accounts.jobs import Job, JobFailed
from service.database.pools import Database
from service.errors import Unavailable
from service.metrics.counters import Counters
from service.revocation.log import prune
from service.upstream.storage_api import StorageFailed

POLL_S = 5.0
LEASE_S = 60.0
# All of a batch are worked on at once, so each is done or given back long before its lease ends and another takes it.
BATCH_MAX = 4
ATTEMPTS_MAX = 8
BACKOFF_S_MAX = 3600.0
JOB_TIMEOUT_S = 30.0
REST_S_MIN, REST_S_MAX = 0.1, 1.0
PRUNE_EVERY_LOOKS = 12

_CLAIM = """
UPDATE cached_auth.outbox SET run_at = now() + make_interval(secs => $2), attempts = attempts + 1
 WHERE id IN (SELECT id FROM cached_auth.outbox WHERE done_at IS NULL AND dead_at IS NULL AND run_at <= now()
               ORDER BY run_at LIMIT $1 FOR UPDATE SKIP LOCKED)
RETURNING id, user_id, kind, payload, attempts
"""
_DONE = "UPDATE cached_auth.outbox SET done_at = now(), dead_at = NULL, last_error = NULL, payload = '{}' WHERE id = $1"
_FAILED = """
UPDATE cached_auth.outbox SET last_error = $2, run_at = now() + make_interval(secs => $3),
       dead_at = CASE WHEN attempts >= $4 THEN now() END
 WHERE id = $1 AND done_at IS NULL AND attempts = $5
"""
# In two, because each has an index with few lines in it; the table keeps three of every user there ever was.
_DEPTH = """
SELECT (SELECT count(*) FROM cached_auth.outbox WHERE done_at IS NULL AND dead_at IS NULL) AS waiting,
       (SELECT count(*) FROM cached_auth.outbox WHERE done_at IS NULL AND dead_at IS NOT NULL) AS dead
"""

log = structlog.get_logger("service.accounts.worker")


def backoff_s(attempts: int) -> float:
    """Seconds until the next attempt: 2, 4, 8 ... at most an hour."""
    return min(2.0**attempts, BACKOFF_S_MAX)


class Worker:
    """`run` until cancelled; `wake` when there may be something to do."""

    def __init__(self, database: Database, table: Mapping[str, Callable[[Job], Awaitable[None]]], counters: Counters) -> None:
        self._database = database
        self._table = table
        self._counters = counters
        self._woken = asyncio.Event()
        self.waiting = 0
        self.dead = 0

    def wake(self) -> None:
        self._woken.set()

    async def run(self) -> None:
        looked_at, looks = -math.inf, 0
        while True:
            try:
                while await self._work_batch():
                    pass
                if time.monotonic() - looked_at >= POLL_S:  # not each time it is woken: that is at every first log-in
                    looked_at = time.monotonic()
                    self.waiting, self.dead = await self._depth()
                    looks += 1
                    if looks % PRUNE_EVERY_LOOKS == 0:
                        await prune(self._database)
            except (Unavailable, asyncpg.PostgresError) as error:
                log.warning("outbox_not_readable", reason=type(error).__name__)
            await self._pause()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(POLL_S):
                await self._woken.wait()
        except TimeoutError:
            return
        await asyncio.sleep(random.uniform(REST_S_MIN, REST_S_MAX))  # noqa: S311 - spreads replicas, protects nothing
        self._woken.clear()

    async def _work_batch(self) -> bool:
        rows = await self._database.write(_CLAIM, BATCH_MAX, LEASE_S)
        jobs = [Job(row["id"], str(row["user_id"]), row["kind"], row["payload"], row["attempts"]) for row in rows]
        async with asyncio.TaskGroup() as group:
            for job in jobs:
                group.create_task(self._work(job))
        return len(jobs) == BATCH_MAX

    async def _work(self, job: Job) -> None:
        try:
            async with asyncio.timeout(JOB_TIMEOUT_S):
                await self._table[job.kind](job)
        except (JobFailed, StorageFailed, Unavailable, asyncpg.PostgresError, TimeoutError) as error:
            await self._note_failure(job, f"{type(error).__name__}: {error}"[:500])
            return
        except Exception as error:
            # A bug of ours in one job must neither stop the others nor, by ending the process, the whole service.
            log.exception("job_broke", job=job.number, kind=job.kind)
            await self._note_failure(job, type(error).__name__)
            return
        self._counters.jobs_done += 1
        await self._note(_DONE, job.number)

    async def _note_failure(self, job: Job, reason: str) -> None:
        is_dead = job.attempts >= ATTEMPTS_MAX
        self._counters.jobs_failed += 1
        self._counters.jobs_dead += is_dead
        log.warning("job_failed", job=job.number, kind=job.kind, attempts=job.attempts, is_dead=is_dead, reason=reason)
        # `attempts` tells whether the job is still ours: a lease that ran out (a stopped process) may have passed it on.
        await self._note(_FAILED, job.number, reason, backoff_s(job.attempts), ATTEMPTS_MAX, job.attempts)

    async def _note(self, statement: str, *arguments: object) -> None:
        try:
            await self._database.write(statement, *arguments)
        except (Unavailable, asyncpg.PostgresError):
            log.warning("job_outcome_not_noted")  # the lease runs out and the job comes again

    async def _depth(self) -> tuple[int, int]:
        row = (await self._database.write(_DEPTH))[0]
        return row["waiting"], row["dead"]
