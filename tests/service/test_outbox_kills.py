"""kill -9 at any step of the outbox's work loses nothing, and jobs that were given up can be seen and tried again."""

from __future__ import annotations

import asyncio
import re
import signal
import sys

import pytest
from aiosmtpd.smtp import SMTP

from service.__main__ import main
from service.accounts.jobs import Job, JobFailed, read_smtp_url, send_welcome_mail
from service.accounts.worker import Worker
from service.clocks import Clock
from service.database.pools import Database
from service.metrics.counters import Counters
from tests.service.conftest import settings_with
from tests.service.environment import good_environment
from tests.service.killed_worker import INSERT, STEPS, user_of
from tests.service.test_accounts import Postbox, failing

pytestmark = pytest.mark.anyio

# How often each step's mail comes: who dies between doing and noting cannot know, so it comes again under the same Message-ID.
EXPECTED_MAILS = {"after mail": 2, "before done": 2}


async def test_worker_killed_at_any_step_loses_nothing(database_url: str):
    postbox, loop = Postbox(), asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(postbox, hostname="localhost", loop=loop), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    command = [sys.executable, "-m", "tests.service.killed_worker", database_url, str(port)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(60):
        said, _ = await process.communicate()
    assert list(map(int, said.split())) == [-signal.SIGKILL] * len(STEPS)

    database = Database(settings_with(DATABASE_URL=database_url), Clock(), Counters())
    await database.open()

    async def mail(job: Job) -> None:
        await send_welcome_mail(read_smtp_url(f"smtp://127.0.0.1:{port}/?from=hello%40example.com"), job)

    counters = Counters()
    await database.write("UPDATE cached_auth.outbox SET run_at = now() WHERE done_at IS NULL")  # the leases run out
    worker = Worker(database, {"welcome_mail": mail}, counters)
    while await worker._work_batch():
        pass
    server.close()
    (row,) = await database.write(
        "SELECT count(*) AS lines, count(done_at) AS done, count(dead_at) AS dead FROM cached_auth.outbox"
    )
    await database.close()
    assert tuple(row) == (len(STEPS), len(STEPS), 0)
    assert counters.jobs_done == len(STEPS) - 1, "all but the one that was killed after it had noted the end"
    for number, step in enumerate(STEPS):
        mails = [mail for mail in postbox.mails if mail.rcpt_tos == [f"{number}@example.com"]]
        assert len(mails) == EXPECTED_MAILS.get(step, 1), step
        names = {re.findall(rb"Message-ID: (\S+)", mail.content or b"")[0] for mail in mails}
        assert names == {f"<welcome.{user_of(number)}@cached-auth>".encode()}


async def test_job_whose_lease_passed_to_another_is_not_given_up_by_the_first(database_url: str):
    """A stopped process wakes up and reports a failure of long ago."""
    database = Database(settings_with(DATABASE_URL=database_url), Clock(), Counters())
    await database.open()
    await database.write(INSERT, user_of(1), "1@example.com")

    async def fail_late(_job: Job) -> None:
        await database.write("UPDATE cached_auth.outbox SET attempts = attempts + 1")  # another has claimed it meanwhile
        raise OSError("too late")

    await Worker(database, {"welcome_mail": fail_late}, Counters())._work_batch()
    (row,) = await database.write("SELECT last_error, attempts FROM cached_auth.outbox")
    await database.close()
    assert tuple(row) == (None, 2)


async def test_jobs_that_were_given_up_are_listed_and_tried_again(
    database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def run(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        with monkeypatch.context() as patched:
            for name, value in good_environment(DATABASE_URL=database_url).items():
                patched.setenv(name, value)
            code = main(["dead-letters", *words])
        told = capsys.readouterr()
        return code, told.out + told.err

    async def asked(*words: str) -> tuple[int, str]:
        return await asyncio.to_thread(run, *words)

    assert await asked() == (0, "no job was given up\n")
    database = Database(settings_with(DATABASE_URL=database_url), Clock(), Counters())
    await database.open()
    for number in (1, 2):
        await database.write(INSERT, user_of(number), f"{number}@example.com")
    await database.write("UPDATE cached_auth.outbox SET attempts = 7")
    await Worker(database, {"welcome_mail": failing(JobFailed("no way"))}, Counters())._work_batch()
    code, told = await asked()
    assert (code, told.count("welcome_mail"), told.count("JobFailed: no way")) == (0, 2, 2)
    assert "@example.com" not in told
    first = int(told.split()[0])
    assert await asked("retry", str(first)) == (0, f"1 will be tried again: {first}\n")
    assert (await asked("retry"))[1].startswith("1 will be tried again")
    assert await asked("retry") == (0, "0 will be tried again: none\n")
    (row,) = await database.write("SELECT count(*) AS due FROM cached_auth.outbox WHERE dead_at IS NULL AND attempts = 0")
    await database.close()
    assert row["due"] == 2


def test_dead_letters_without_a_database_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    for name, value in good_environment().items():
        monkeypatch.setenv(name, value)
    assert main(["dead-letters"]) == 1
    assert capsys.readouterr().err.startswith("dead-letters: DATABASE_URL: cannot be asked: ")
    assert main(["dead-letters", "retry", "all"]) == 2
