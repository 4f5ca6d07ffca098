"""A real worker, in a process of its own for each step of its work at which it kills itself (-9).

    python -m tests.service.killed_worker DATABASE_URL SMTP_PORT

Prints how each process ended. Steps: the statements that it sends, before and after each, and before and after the mail's
delivery. Each finds one job of its own, whose user's id begins with the step's number.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any

from service.accounts.jobs import Job, read_smtp_url, send_welcome_mail
from service.accounts.worker import Worker
from service.clocks import Clock
from service.database.pools import Database
from service.metrics.counters import Counters
from service.settings import read_settings
from tests.service.environment import good_environment

STEPS = ("before claim", "after claim", "before mail", "after mail", "before done", "after done")
NAMES = {"SET run_at = now() +": "claim", "SET done_at": "done"}
INSERT = """
INSERT INTO cached_auth.outbox (user_id, kind, payload) VALUES ($1, 'welcome_mail', jsonb_build_object('email', $2::text))
"""


def user_of(number: int) -> str:
    return f"{number}0000000-0000-4000-8000-000000000000"


async def work(url: str, smtp_port: int, number: int, chosen: str) -> None:
    database = Database(read_settings(good_environment(DATABASE_URL=url)), Clock(), Counters())
    await database.open()
    await database.write(INSERT, user_of(number), f"{number}@example.com")
    write = database.write

    def reach(step: str) -> None:
        if step == chosen:
            os.kill(os.getpid(), signal.SIGKILL)

    async def killing(statement: str, *arguments: object, **more: Any) -> Any:
        name = next((name for part, name in NAMES.items() if part in statement), "")
        reach(f"before {name}")
        rows = await write(statement, *arguments, **more)
        reach(f"after {name}")
        return rows

    async def mail(job: Job) -> None:
        reach("before mail")
        await send_welcome_mail(read_smtp_url(f"smtp://127.0.0.1:{smtp_port}/?from=hello%40example.com"), job)
        reach("after mail")

    database.write = killing  # type: ignore[method-assign]
    await Worker(database, {"welcome_mail": mail}, Counters())._work_batch()


def main(url: str, smtp_port: int) -> None:
    for number, step in enumerate(STEPS):
        child = os.fork()
        if child == 0:
            asyncio.run(work(url, smtp_port, number, step))
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
