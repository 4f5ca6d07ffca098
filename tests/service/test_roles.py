"""Roles and permissions: written by the command, bounded by the database, read at a real standby where it is not behind."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from loadtests.bench.link import linked
from service.__main__ import main
from service.accounts.account import Account, read_account
from service.accounts.follow_up import SignedInUser, follow_up
from service.accounts.positions import CHANNEL, Positions
from service.accounts.roles import RolesFailed, carried_out, is_usage
from service.clocks import Clock
from service.database.pools import Database
from service.metrics.counters import Counters
from service.revocation.feed import RevocationFeed
from service.revocation.records import Revocations
from tests.service import issuing
from tests.service.conftest import settings_with
from tests.service.standby import Pair
from tests.service.test_revocation_feed import until

pytestmark = pytest.mark.anyio

USER = SignedInUser(issuing.USER, "ann@example.com", {"display_name": "Ann"})
NOWHERE = "postgresql://u:p@127.0.0.1:9/x"
AHEAD = 2**62  # no log is as long as that


@asynccontextmanager
async def opened(database_url: str, replica_url: str = "") -> AsyncIterator[Database]:
    database = Database(settings_with(DATABASE_URL=database_url, DATABASE_REPLICA_URL=replica_url), Clock(), Counters())
    await database.open()
    try:
        yield database
    finally:
        await database.close()


async def said(url: str, line: str) -> list[str]:
    words = line.split()
    assert is_usage(words), line
    return await carried_out(url, words)


async def test_what_the_command_writes_is_what_the_user_has(database_url: str):
    async with opened(database_url) as database:
        await follow_up(database, Counters(), USER)
        await said(database_url, "define editor posts.write posts.read")
        await said(database_url, "define author posts.write")
        assert await said(database_url, "list") == ["author  posts.write", "editor  posts.read posts.write"]
        assert (await read_account(database, issuing.USER, None)).roles == (), "nobody has a role by default"
        for role in ("editor", "author", "editor"):
            assert await said(database_url, f"grant {issuing.USER} {role}") == [f"{issuing.USER} has {role}"]
        account = await read_account(database, issuing.USER, None)
        assert (account.roles, account.permissions) == (("author", "editor"), ("posts.read", "posts.write"))
        await said(database_url, "define editor posts.read posts.delete")
        await said(database_url, f"revoke {issuing.USER} author")
        account = await read_account(database, issuing.USER, None)
        assert (account.roles, account.permissions) == (("editor",), ("posts.delete", "posts.read"))
        await database.write("UPDATE cached_auth.profiles SET is_active = false")
        assert await read_account(database, issuing.USER, None) == Account()
        await said(database_url, "drop editor")
        assert await said(database_url, f"list {issuing.USER}") == ["no role"]


async def test_database_bounds_what_one_user_and_one_role_can_have(database_url: str):
    """Also against several who add at once: each waits for the other and counts anew."""
    for number in range(20):
        await said(database_url, f"define role{number}")
    grants = (said(database_url, f"grant {issuing.USER} role{number}") for number in range(20))
    results = await asyncio.gather(*grants, return_exceptions=True)
    refused = [result for result in results if isinstance(result, RolesFailed)]
    assert [str(refusal) for refusal in refused] == ["expected at most 16 roles for a user"] * 4
    (first, *_) = await said(database_url, f"list {issuing.USER}")
    await said(database_url, f"grant {issuing.USER} {first.split()[0]}")
    await said(database_url, "define wide " + " ".join(f"p{number}" for number in range(64)))
    with pytest.raises(RolesFailed, match="at most 64 permissions"):
        await said(database_url, "define wide " + " ".join(f"q{number}" for number in range(65)))
    assert (await said(database_url, "list"))[-1].count(" p") == 64, "all or nothing"


async def test_role_that_is_not_there_cannot_be_granted(database_url: str):
    with pytest.raises(RolesFailed, match="there is no such role"):
        await said(database_url, f"grant {issuing.USER} editor")


@pytest.mark.parametrize(
    "line",
    ["grant", "grant ann editor", f"grant {issuing.USER} Editor", "define", "define a b!", "drop", "list ann", "drop a b", "x"],
)
def test_wrong_words_are_refused_before_anything_is_asked(line: str, capsys: pytest.CaptureFixture[str]):
    assert not is_usage(line.split())
    assert main(["roles", *line.split()]) == 2
    assert capsys.readouterr().err.startswith("usage: ")


async def test_database_that_is_away_is_one_line():
    with pytest.raises(RolesFailed, match=r"^DATABASE_URL: cannot be asked: \w+$"):
        await carried_out(NOWHERE, ["list"])


async def test_feed_tells_how_far_the_primary_has_come_and_forgets_it_in_time(database_url: str):
    passed_s = 0.0
    clock = Clock(lambda: issuing.NOW, lambda: 1000.0 + passed_s)
    feed = RevocationFeed(database_url, {}, Revocations(), clock, Counters(), {})
    connection = await asyncpg.connect(database_url)
    try:
        assert feed.position_within(2.0) is None
        await feed._poll(connection, 5.0)
        first = feed.position_within(2.0)
        assert first is not None
        await connection.execute("INSERT INTO cached_auth.roles VALUES ('editor')")
        passed_s = 1.5
        await feed._poll(connection, 5.0)
        assert feed.position_within(2.0) == first, "the older one, which a replica has had time for"
        passed_s = 2.5
        assert (feed.position_within(2.0) or 0) > first
        passed_s = 4.0
        assert feed.position_within(2.0) is None
    finally:
        await connection.close()


async def test_replica_is_believed_only_where_it_has_come_far_enough(pair: Pair):
    """The law that a role taken away is not seen for as long as a replica lags, on a real standby."""
    url = pair.primary_url
    async with opened(url, pair.standby_url) as both, opened(NOWHERE, pair.standby_url) as cut_off:
        await follow_up(both, Counters(), USER)
        await said(url, "define editor posts.write")
        await said(url, f"grant {issuing.USER} editor")
        before = await pair.position()
        found = await read_account(both, issuing.USER, 0)
        assert found.roles == ("editor",), "the standby does not know the user yet, so the primary is asked"
        assert await read_account(cut_off, issuing.USER, 0) == Account(is_old=True)

        await pair.go_on()
        assert await read_account(cut_off, issuing.USER, before) == found, "from the standby alone"
        await pair.stop()
        await said(url, f"revoke {issuing.USER} editor")
        after = await pair.position()
        assert (await read_account(both, issuing.USER, before)).roles == ("editor",), "the standby's own answer, which is old"
        assert (await read_account(both, issuing.USER, after)).roles == (), "the primary's"
        assert (await read_account(both, issuing.USER, None)).roles == (), "not known how old: the primary's"

        for position in (after, AHEAD, None):
            old = await read_account(cut_off, issuing.USER, position)
            assert (old.roles, old.permissions, old.is_old) == ((), (), True), "cut off and behind: deny"
            assert b"Ann" in old.profile_json
        await pair.go_on()
        assert await read_account(cut_off, issuing.USER, after) == Account(found.profile_json), "nothing is cut off that is known"


async def notices_of(connection: asyncpg.Connection, statement: str, *arguments: object) -> set[str]:
    """The users whom the statement is told of to everybody who listens."""
    heard: list[str] = []
    marked = asyncio.Event()

    def hear(_connection: object, _pid: int, _channel: str, payload: object) -> None:
        heard.append(str(payload))
        if payload == "that is all":
            marked.set()

    await connection.add_listener(CHANNEL, hear)
    await connection.execute(statement, *arguments)
    await connection.execute("SELECT pg_notify($1, 'that is all')", CHANNEL)
    async with asyncio.timeout(5):
        await marked.wait()
    await connection.remove_listener(CHANNEL, hear)
    return set(heard) - {"that is all"}


async def test_every_way_to_change_what_a_user_may_do_is_told(database_url: str):
    """Also by hand, and in bulk without a notice for each."""
    connection = await asyncpg.connect(database_url)
    try:
        await said(database_url, "define editor posts.write")
        await connection.execute("INSERT INTO cached_auth.roles VALUES ('author')")
        insert = "INSERT INTO cached_auth.user_roles (user_id, role) VALUES ($1, 'editor')"
        assert await notices_of(connection, insert, issuing.USER) == {issuing.USER}
        move = "UPDATE cached_auth.user_roles SET user_id = $1"
        assert await notices_of(connection, move, issuing.OTHER_USER) == {issuing.USER, issuing.OTHER_USER}
        assert await notices_of(connection, "UPDATE cached_auth.user_roles SET role = 'author'") == {issuing.OTHER_USER}
        assert await notices_of(connection, "DELETE FROM cached_auth.roles WHERE name = 'author'") >= {issuing.OTHER_USER}
        profile = "INSERT INTO cached_auth.profiles (id) VALUES ($1)"
        assert await notices_of(connection, profile, issuing.USER) == set(), "no standby knows the user yet"
        assert await notices_of(connection, "UPDATE cached_auth.profiles SET is_active = false") == {issuing.USER}
        assert await notices_of(connection, "DELETE FROM cached_auth.profiles") == {issuing.USER}
        assert await notices_of(connection, "DELETE FROM cached_auth.role_permissions") == {""}
        many = "INSERT INTO cached_auth.user_roles SELECT gen_random_uuid(), 'editor' FROM generate_series(1, $1)"
        assert len(await notices_of(connection, many, 64)) == 64
        assert await notices_of(connection, many, 65) == {""}
        assert await notices_of(connection, "TRUNCATE cached_auth.user_roles") == {""}
        assert await notices_of(connection, "DELETE FROM cached_auth.user_roles") == set()
    finally:
        await connection.close()


async def test_role_that_was_taken_away_is_gone_at_once_however_far_the_standby_lags(pair: Pair):
    """Without a notice the standby is believed here however old it is; a link of 20 ms lies in between."""
    url, clock = pair.primary_url, Clock()
    position = Positions(lambda since: feed.position_within(60.0, since) if math.isfinite(since) else 0, None, clock, 60.0)
    async with linked(url, rtt_ms=20) as (far_url, _), opened(url, pair.standby_url) as database:
        feed = RevocationFeed(far_url, {"ssl": False}, Revocations(), clock, Counters(), {CHANNEL: position.changed})
        await follow_up(database, Counters(), USER)
        await said(url, "define editor posts.write")
        await said(url, f"grant {issuing.USER} editor")
        await pair.go_on()
        await pair.stop()
        task = asyncio.create_task(feed.run())
        try:
            await until(lambda: feed.position_within(60.0) is not None)
            assert (await read_account(database, issuing.USER, await position.of(issuing.USER))).roles == ("editor",)
            await said(url, f"revoke {issuing.USER} editor")
            began = clock.monotonic()
            while (await read_account(database, issuing.USER, await position.of(issuing.USER))).roles:  # noqa: ASYNC110
                await asyncio.sleep(0.002)
            assert clock.monotonic() - began < 0.5, "a round trip and 50 ms, and the machine may be busy"
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_replica_that_is_away_or_has_not_migrated_yet_costs_nothing_but_a_try(database_url: str, postgres: str):
    async with opened(database_url, NOWHERE) as away, opened(database_url, postgres) as unmigrated:
        await follow_up(away, Counters(), USER)
        for database in (away, unmigrated):
            assert b"Ann" in (await read_account(database, issuing.USER, 0)).profile_json
