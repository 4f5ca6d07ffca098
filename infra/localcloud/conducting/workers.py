"""One worker per scope (a service instance, a Supabase project): its jobs run one after the other, each owned.

A worker exists only while it has jobs, so nothing idles. A job that fails has dealt with its own expected errors; what
still comes out is our mistake, is logged with its traceback, and does not take the rest of the cloud down.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

JOBS_MAX = 100
_logger = logging.getLogger("localcloud")


@dataclass(slots=True)
class Job:
    """`subject` is what the job is about (a deployment id), so that it can be cancelled alone."""

    subject: str
    run: Callable[[], Awaitable[None]]


@dataclass(slots=True)
class _Worker:
    jobs: deque[Job] = field(default_factory=deque)
    task: asyncio.Task[None] | None = None
    current: Job | None = None
    job_task: asyncio.Task[None] | None = None


class Workers:
    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self._tasks = tasks
        self._workers: dict[str, _Worker] = {}

    @property
    def is_idle(self) -> bool:
        return not self._workers

    def submit(self, scope: str, job: Job) -> None:
        worker = self._workers.setdefault(scope, _Worker())
        if len(worker.jobs) >= JOBS_MAX:
            _logger.error("scope %s has more than %d jobs waiting; one was dropped", scope, JOBS_MAX)
            return
        worker.jobs.append(job)
        if worker.task is None:
            worker.task = self._tasks.create_task(self._work(scope, worker), name=f"worker-{scope}")

    def cancel(self, scope: str, subject: str) -> bool:
        """Ends the jobs about `subject`, waiting or running. True when one was running (its clean-up is the caller's)."""
        worker = self._workers.get(scope)
        if worker is None:
            return False
        worker.jobs = deque(job for job in worker.jobs if job.subject != subject)
        if worker.current is not None and worker.current.subject == subject and worker.job_task is not None:
            worker.job_task.cancel()
            return True
        return False

    async def end(self, scope: str) -> None:
        """Ends all jobs of a scope; returns when none runs."""
        worker = self._workers.pop(scope, None)
        if worker is None or worker.task is None:
            return
        worker.jobs.clear()
        if worker.job_task is not None:
            worker.job_task.cancel()
        await asyncio.wait([worker.task])

    async def _work(self, scope: str, worker: _Worker) -> None:
        while worker.jobs:
            worker.current = worker.jobs.popleft()
            worker.job_task = asyncio.ensure_future(worker.current.run())
            try:
                await asyncio.wait([worker.job_task])
            except asyncio.CancelledError:
                worker.job_task.cancel()
                await asyncio.wait([worker.job_task])
                raise
            if not worker.job_task.cancelled() and (problem := worker.job_task.exception()) is not None:
                _logger.error("job %s of %s", worker.current.subject, scope, exc_info=problem)
            worker.current = worker.job_task = None
        if self._workers.get(scope) is worker:
            del self._workers[scope]
