"""The feed against a real PostgreSQL, over a link that can be cut: fast when all is well, complete when it is not."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from loadtests.bench.link import linked
from service.cache.entries import TOKEN_LIFE_MAX_S
from service.clocks import Clock
from service.database.pools import Database
from service.metrics.counters import Counters
from service.revocation.feed import RevocationFeed
from service.revocation.log import write_token_revocation
from service.revocation.records import Revocations, Standing
from service.tokens.identity import Identity
from tests.service import issuing
from tests.service.conftest import settings_with

pytestmark = pytest.mark.anyio

CLOCK = Clock()
INSERT = "INSERT INTO cached_auth.revocations (kind, subject) VALUES ('session', $1)"
DEADLINE_S = 10.0


class Listener:
    """A feed running over its own link, and the set that it fills."""

    def __init__(self, url: str) -> None:
        self.counters = Counters()
        self.revocations = Revocations()
        self.woken = asyncio.Event()
        self.feed = RevocationFeed(
            url, {"ssl": False}, self.revocations, CLOCK, self.counters, {"cached_auth_outbox": lambda _payload: self.woken.set()}
        )

    def is_revoked(self, session_id: str) -> bool:
        identity = Identity(issuing.USER, session_id, "", "", time.time(), time.time() + 60, "k")
        return self.revocations.standing(identity, CLOCK.monotonic()) is Standing.REVOKED


@asynccontextmanager
async def listening(url: str) -> AsyncIterator[Listener]:
    listener = Listener(url)
    task = asyncio.create_task(listener.feed.run())
    try:
        await until(lambda: listener.feed.silent_s < 1e6)
        yield listener
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: object) -> float:
    """Seconds until `condition()` was true. Fails past the deadline."""
    assert callable(condition)
    began = time.monotonic()
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - what is awaited is another process's doing
            await asyncio.sleep(0.002)
    return time.monotonic() - began


@pytest.fixture
async def writer(database_url: str, anyio_backend: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


def test_notice_is_no_heartbeat():
    """It says that one line came, not that none is missing."""
    feed = RevocationFeed("", {}, Revocations(), CLOCK, Counters(), {})
    line = {"sequence": 1, "kind": "session", "subject": "s", "watermark_iat": 0, "lives_s": 60.0, "except_session": None}
    feed._on_notice(None, 1, "", json.dumps(line))
    assert len(feed._revocations) == 1
    assert feed.silent_s > 1e6


async def test_heartbeat_is_as_old_as_the_question_that_brought_it():
    """What was revoked while the answer was on its way is not in it."""
    passed_s = 0.0

    class Slow:
        async def fetch(self, *_: object, timeout: float) -> list[dict[str, object]]:
            nonlocal passed_s
            passed_s += 0.8
            return [{"sequence": None, "xmin": "1", "position": 5, "follows_log_ins": True}]

    clock = Clock(lambda: issuing.NOW, lambda: 1000.0 + passed_s)
    feed = RevocationFeed("", {}, Revocations(), clock, Counters(), {})
    await feed._poll(Slow(), 1.0)
    assert (feed.heard_at, feed.silent_s) == (1000.0, pytest.approx(0.8))
    assert feed.position_within(0.9) == 5
    assert feed.position_within(0.7) is None


async def test_revocation_arrives_with_its_notice(database_url: str, writer: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch):
    """Half a round trip and a little, where a poll would take up to half a second; here there is none for a minute."""
    monkeypatch.setattr("service.revocation.feed.POLL_S", 60.0)
    async with linked(database_url, rtt_ms=20) as (url, _), listening(url) as listener:
        await writer.execute(INSERT, "s-fast")
        await until(lambda: listener.is_revoked("s-fast"))
        assert listener.counters.revocation_notices == 1


async def test_feed_loads_what_was_revoked_before_it_began(database_url: str, writer: asyncpg.Connection):
    await writer.execute(INSERT, "s-old")
    await writer.execute("INSERT INTO cached_auth.revocations (kind, subject, expires_at) VALUES ('session', 's-gone', now())")
    async with listening(database_url) as listener:
        assert listener.is_revoked("s-old")
        assert not listener.is_revoked("s-gone")


async def test_revocations_of_a_key_and_of_everyone_arrive_by_notice_and_by_load(database_url: str, anyio_backend: str):
    database = Database(settings_with(DATABASE_URL=database_url), CLOCK, Counters())
    await database.open()
    async with listening(database_url) as listener:
        for kind, subject, watermark in (("key", "thumbprint", 0), ("everyone", "", 100)):
            line = await write_token_revocation(database, kind, subject, watermark)  # type: ignore[arg-type]
            assert TOKEN_LIFE_MAX_S < line.lives_s <= TOKEN_LIFE_MAX_S + 60
        for key, issued_at in (("thumbprint", 200.0), ("other", 100.0)):
            identity = Identity(issuing.USER, issuing.SESSION, "", "", issued_at, issued_at + 60, key)
            await until(lambda identity=identity: listener.revocations.refuses_widely(identity))  # type: ignore[misc]
        assert listener.counters.revocation_notices == 2
    async with listening(database_url) as late:
        assert len(late.revocations) == 2
    await database.close()


async def test_cut_link_makes_the_feed_silent_and_mending_it_brings_what_was_missed(
    database_url: str, writer: asyncpg.Connection
):
    async with linked(database_url) as (url, link), listening(url) as listener:
        link.cut()
        await writer.execute(INSERT, "s-missed")
        await until(lambda: listener.feed.silent_s > 1.0)
        assert not listener.is_revoked("s-missed")
        link.mend()
        await until(lambda: listener.feed.silent_s < 0.6)
        assert listener.is_revoked("s-missed"), "fresh again only once complete"


async def test_frozen_link_is_noticed_though_no_connection_breaks(database_url: str):
    """A network that swallows packets closes nothing; only the heartbeat's deadline tells."""
    async with linked(database_url) as (url, link), listening(url) as listener:
        link.freeze()
        await until(lambda: listener.feed.silent_s > 2.0)
        link.mend()
        await until(lambda: listener.feed.silent_s < 0.6)


async def test_transaction_that_commits_late_is_not_passed_over(
    database_url: str, writer: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
):
    """Its sequence number is lower than one that was seen long before: a poll by sequence would never find it.

    The notice is lost on purpose here, so that the poll alone must bring it.
    """
    monkeypatch.setattr(RevocationFeed, "_on_notice", lambda *_: None)
    late = await asyncpg.connect(database_url)
    async with listening(database_url) as listener:
        transaction = late.transaction()
        await transaction.start()
        await late.execute(INSERT, "s-late")
        await writer.execute(INSERT, "s-early")
        await until(lambda: listener.is_revoked("s-early"))
        polls = listener.feed._polls
        await until(lambda: listener.feed._polls > polls + 1)
        await transaction.commit()
        await until(lambda: listener.is_revoked("s-late"))
    await late.close()


async def test_overfull_set_keeps_the_feed_silent(database_url: str, writer: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch):
    """Fail closed: what does not fit into memory must not be served as if it were known."""
    monkeypatch.setattr("service.revocation.feed.RELOAD_S", 1.0)
    async with listening(database_url) as listener:
        listener.revocations._subjects_max = 1
        for number in range(3):
            await writer.execute(INSERT, f"s{number}")
        await until(lambda: listener.feed.silent_s > 1.5)
        listener.revocations._subjects_max = 10
        await until(lambda: listener.feed.silent_s < 0.6)
        assert all(listener.is_revoked(f"s{number}") for number in range(3))


async def test_overfull_set_does_not_make_every_poll_read_everything(database_url: str, writer: asyncpg.Connection):
    """200,001 lines twice a second from every replica would take the primary down with us."""
    async with listening(database_url) as listener:
        listener.revocations._subjects_max = 1
        for number in range(3):
            await writer.execute(INSERT, f"s{number}")
        await until(lambda: listener.revocations.is_overfull)
        loaded_at, polls = listener.feed._loaded_at, listener.feed._polls
        await until(lambda: listener.feed._polls > polls + 2)
        assert listener.feed._loaded_at == loaded_at
        assert listener.feed._floor != "0"
        assert listener.feed.silent_s > 1.0


async def test_feed_tells_whether_the_database_follows_log_ins(database_url: str, writer: asyncpg.Connection):
    """Where it does, no log-in needs a round trip to the primary; where it cannot be told, each makes one."""
    await writer.execute("CREATE SCHEMA auth; CREATE TABLE auth.users (id uuid); CREATE TABLE auth.sessions (user_id uuid)")
    async with linked(database_url) as (url, link), listening(url) as listener:
        assert not listener.feed.follows_log_ins
        await writer.execute("SELECT cached_auth.watch_auth()")
        await until(lambda: listener.feed.follows_log_ins)
        await writer.execute("ALTER TABLE auth.sessions DISABLE TRIGGER cached_auth_sessions_begun")
        await until(lambda: not listener.feed.follows_log_ins)
        await writer.execute("ALTER TABLE auth.sessions ENABLE ALWAYS TRIGGER cached_auth_sessions_begun")
        await until(lambda: listener.feed.follows_log_ins)
        link.freeze()
        await until(lambda: not listener.feed.follows_log_ins)


async def test_trigger_that_cannot_see_the_users_follows_no_log_in(
    database_url: str, writer: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
):
    """Under row security it finds nobody and fails nowhere: the service has to make what follows, or nobody ever does."""
    monkeypatch.setattr("service.revocation.feed.POLL_S", 0.02)
    await writer.execute(
        "CREATE SCHEMA auth; CREATE TABLE auth.sessions (user_id uuid);"
        "CREATE TABLE auth.users (id uuid, email text, raw_user_meta_data jsonb); SELECT cached_auth.watch_auth();"
        "ALTER FUNCTION cached_auth.follow_begun_sessions() OWNER TO pg_monitor; GRANT USAGE ON SCHEMA auth TO pg_monitor;"
        "GRANT USAGE ON SCHEMA cached_auth TO pg_monitor; GRANT ALL ON ALL TABLES IN SCHEMA cached_auth TO pg_monitor;"
        "GRANT ALL ON ALL SEQUENCES IN SCHEMA cached_auth TO pg_monitor"
    )
    begin = (
        "WITH u AS (INSERT INTO auth.users VALUES (gen_random_uuid()) RETURNING id) INSERT INTO auth.sessions SELECT id FROM u"
    )
    made = "SELECT count(*) FROM cached_auth.profiles"
    async with listening(database_url) as listener:
        for change, follows in (
            ("SELECT", False),
            ("GRANT SELECT ON auth.users TO pg_monitor", True),
            ("ALTER TABLE auth.users ENABLE ROW LEVEL SECURITY", False),
            ("ALTER TABLE auth.users OWNER TO pg_monitor", True),
        ):
            await writer.execute(change)
            polls = listener.feed._polls
            await until(lambda polls=polls: listener.feed._polls > polls + 1)
            assert listener.feed.follows_log_ins is follows, change
            before = await writer.fetchval(made)
            await writer.execute(begin)
            assert await writer.fetchval(made) == before + follows, change


async def test_other_channels_are_heard(database_url: str, writer: asyncpg.Connection):
    async with listening(database_url) as listener:
        await writer.execute("SELECT pg_notify('cached_auth_outbox', '')")
        await asyncio.wait_for(listener.woken.wait(), DEADLINE_S)
