"""What follows a log-in, on a real PostgreSQL: once per user, never in the log-in's way, retried and given up in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import asyncpg
import pytest
from aiosmtpd.smtp import SMTP, Envelope

from service.accounts.account import Account, read_account
from service.accounts.follow_up import SignedInUser, follow_up
from service.accounts.jobs import Job, JobFailed, read_smtp_url, send_welcome_mail, welcome_mail
from service.accounts.worker import _CLAIM, _DEPTH, ATTEMPTS_MAX, POLL_S, Worker, backoff_s
from service.clocks import Clock
from service.database.pools import Database
from service.metrics.counters import Counters
from tests.service import issuing
from tests.service.conftest import settings_with

pytestmark = pytest.mark.anyio

USER = SignedInUser(issuing.USER, "ann@example.com", {"display_name": "Ann"})
Table = dict[str, Callable[[Job], Awaitable[None]]]


@pytest.fixture
async def database(database_url: str, anyio_backend: str) -> AsyncIterator[Database]:
    database = Database(settings_with(DATABASE_URL=database_url), Clock(), Counters())
    await database.open()
    yield database
    await database.close()


async def rows(database: Database, statement: str) -> list[asyncpg.Record]:
    return await database.primary.fetch(statement)


async def test_first_log_in_makes_profile_and_jobs_and_later_ones_nothing(database: Database):
    counters = Counters()
    assert sum(await asyncio.gather(*(follow_up(database, counters, USER) for _ in range(5)))) == 1, "one has made work"
    assert not await follow_up(database, counters, USER)
    assert counters.follow_up_failures == 0
    made = await rows(database, "SELECT kind, payload FROM cached_auth.outbox")
    assert sorted(row["kind"] for row in made) == ["default_preferences", "storage_folders", "welcome_mail"]
    account = await read_account(database, issuing.USER, None)
    assert b'"display_name":"Ann"' in account.profile_json
    assert await read_account(database, issuing.OTHER_USER, None) == Account()


async def test_primary_that_is_away_costs_the_log_in_nothing_but_a_count():
    counters = Counters()
    database = Database(settings_with(), Clock(), counters)
    await database.open()
    assert not await follow_up(database, counters, USER)
    assert counters.follow_up_failures == 1
    await database.close()


async def test_tables_that_are_missing_cost_the_log_in_nothing_either(empty_database: str):
    counters = Counters()
    database = Database(settings_with(DATABASE_URL=empty_database), Clock(), counters)
    await database.open()
    assert not await follow_up(database, counters, USER)
    await database.close()


async def worked_off(database: Database, table: Table) -> Counters:
    """One pass of a worker over what is due."""
    counters = Counters()
    await Worker(database, table, counters)._work_batch()
    return counters


def failing(error: Exception) -> Callable[[Job], Awaitable[None]]:
    async def fail(_job: Job) -> None:
        raise error

    return fail


async def nothing(_job: Job) -> None: ...


async def test_done_jobs_do_not_come_again_and_keep_nothing_personal(database: Database):
    await follow_up(database, Counters(), USER)
    table: Table = dict.fromkeys(("welcome_mail", "default_preferences", "storage_folders"), nothing)
    assert (await worked_off(database, table)).jobs_done == 3
    assert (await worked_off(database, table)).jobs_done == 0
    kept = await rows(database, "SELECT payload::text FROM cached_auth.outbox WHERE done_at IS NOT NULL")
    assert [row["payload"] for row in kept] == ["{}"] * 3


@pytest.mark.parametrize("error", [JobFailed("no"), ZeroDivisionError("a bug"), OSError("broken pipe")])
async def test_failing_job_is_retried_later_and_given_up_in_the_end(database: Database, error: Exception):
    await follow_up(database, Counters(), USER)
    table: Table = {"welcome_mail": failing(error), "default_preferences": nothing, "storage_folders": nothing}
    dead = 0
    for attempt in range(1, ATTEMPTS_MAX + 1):
        counters = await worked_off(database, table)
        assert counters.jobs_failed == 1
        dead += counters.jobs_dead
        (row,) = await rows(
            database, "SELECT attempts, run_at > now() AS is_later, dead_at FROM cached_auth.outbox WHERE done_at IS NULL"
        )
        assert (row["attempts"], row["is_later"]) == (attempt, True)
        assert (await worked_off(database, table)).jobs_failed == 0, "not before its time"
        await database.write("UPDATE cached_auth.outbox SET run_at = now() WHERE done_at IS NULL")
    assert dead == 1
    assert (await worked_off(database, table)).jobs_failed == 0


async def test_outcome_that_cannot_be_noted_ends_no_worker(database: Database):
    """PostgreSQL takes no NUL in a text; whatever it refuses must not end the worker, and with it the replica."""
    await follow_up(database, Counters(), USER)
    table: Table = {"welcome_mail": failing(JobFailed("no\0")), "default_preferences": nothing, "storage_folders": nothing}
    counters = await worked_off(database, table)
    assert (counters.jobs_done, counters.jobs_failed) == (2, 1)


async def test_replicas_never_take_the_same_job(database: Database):
    for number in range(10):
        await follow_up(database, Counters(), SignedInUser(f"{number:08d}-1111-4111-8111-111111111111", "a@example.com"))
    taken: list[int] = []

    async def take(job: Job) -> None:
        taken.append(job.number)
        await asyncio.sleep(0)

    table: Table = dict.fromkeys(("welcome_mail", "default_preferences", "storage_folders"), take)
    for _ in range(3):
        await asyncio.gather(*(worked_off(database, table) for _ in range(4)))
    assert len(taken) == len(set(taken)) == 30


async def test_log_in_wakes_the_worker(database: Database):
    done = asyncio.Event()

    async def take(_job: Job) -> None:
        done.set()

    table: Table = dict.fromkeys(("welcome_mail", "default_preferences", "storage_folders"), take)
    worker = Worker(database, table, Counters())
    running = asyncio.create_task(worker.run())
    await asyncio.sleep(0)
    await follow_up(database, Counters(), USER)
    worker.wake()
    await asyncio.wait_for(done.wait(), POLL_S - 1)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_wakes_in_a_burst_are_one_look_at_the_outbox(database: Database, monkeypatch: pytest.MonkeyPatch):
    """Every first log-in wakes every replica, while others wait for the primary."""
    monkeypatch.setattr("service.accounts.worker.REST_S_MIN", 0.2)
    monkeypatch.setattr("service.accounts.worker.REST_S_MAX", 0.2)
    statements: list[str] = []
    write = database.write

    async def counted(statement: str, *arguments: object, **more: float) -> list[asyncpg.Record]:
        statements.append(statement)
        return await write(statement, *arguments, **more)

    monkeypatch.setattr(database, "write", counted)
    worker = Worker(database, {}, Counters())
    running = asyncio.create_task(worker.run())
    async with asyncio.timeout(10):
        while len(statements) < 2:  # noqa: ASYNC110 - what is awaited is the worker's own doing
            await asyncio.sleep(0.01)
        for _ in range(20):
            worker.wake()
            await asyncio.sleep(0)
        while len(statements) < 3:
            worker.wake()
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert statements == [_CLAIM, _DEPTH, _CLAIM]


class Postbox:
    """An SMTP server's handler that keeps what it was given."""

    def __init__(self) -> None:
        self.mails: list[Envelope] = []

    async def handle_DATA(self, _server: object, _session: object, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        self.mails.append(envelope)
        return "250 kept"


async def test_welcome_mail_is_delivered_and_a_dead_server_is_a_failed_job():
    postbox = Postbox()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(postbox, hostname="localhost", loop=loop), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    job = Job(1, issuing.USER, "welcome_mail", '{"email": "ann@example.com", "display_name": "Ann"}', 1)
    await send_welcome_mail(read_smtp_url(f"smtp://127.0.0.1:{port}/?from=hello%40example.com"), job)
    (mail,) = postbox.mails
    assert (mail.mail_from, mail.rcpt_tos) == ("hello@example.com", ["ann@example.com"])
    assert b"Hello Ann" in (mail.content or b"")
    server.close()
    with pytest.raises(JobFailed):
        await send_welcome_mail(read_smtp_url("smtp://127.0.0.1:9"), job)
    await send_welcome_mail(None, job)


def test_backoff_grows_to_an_hour():
    waits = [backoff_s(attempt) for attempt in range(1, 20)]
    assert waits == sorted(waits)
    assert waits[0] == 2
    assert waits[-1] == 3600


def test_mail_cannot_be_given_further_headers_by_a_name():
    server = read_smtp_url("smtps://us%40er:p%3Aw@mail.example.com/?from=hello%40example.com")
    assert (server.port, server.user, server.password, server.is_tls) == (465, "us@er", "p:w", True)
    payload = '{"email": "ann@example.com", "display_name": "Ann\\r\\nBcc: all@example.com"}'
    message = welcome_mail(server, Job(1, issuing.USER, "welcome_mail", payload, 1))
    assert message["From"] == "hello@example.com"
    assert message["Bcc"] is None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtp://user:word@mail.example.com:587", True),
        ("smtp://user:word@127.0.0.1:2525", False),
        ("smtp://mail.internal:25", False),
        ("smtps://user:word@mail.example.com", False),
    ],
)
async def test_password_for_mail_needs_tls_on_a_network(url: str, expected: bool):
    assert read_smtp_url(url).needs_start_tls is expected


async def test_password_for_mail_is_not_sent_where_the_offer_of_tls_is_missing():
    """Somebody in between takes the offer of STARTTLS out of the server's answer, and waits for the password."""
    heard: list[bytes] = []
    is_over = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.com ESMTP\r\n")
        while line := await reader.readline():
            heard.append(line)
            writer.write(b"250-mail.example.com\r\n250 AUTH PLAIN LOGIN\r\n" if line.startswith(b"EHLO") else b"250 OK\r\n")
        writer.close()
        is_over.set()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        server = replace(read_smtp_url(f"smtp://us:w0rd@mail.example.com:{port}"), host="127.0.0.1")
        with pytest.raises(JobFailed):
            await send_welcome_mail(server, Job(1, issuing.USER, "welcome_mail", '{"email": "ann@example.com"}', 1))
        async with asyncio.timeout(5):
            await is_over.wait()
    assert any(line.startswith(b"EHLO") for line in heard)
    assert not [line for line in heard if line.startswith((b"AUTH", b"MAIL"))]
