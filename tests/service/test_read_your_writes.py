"""Who has changed something sees it, whichever replica answers and however far the database's replica lags."""

from __future__ import annotations

import json

import pytest

from service.accounts import positions as under_test
from service.accounts.account import read_account, rename
from service.accounts.follow_up import SignedInUser, follow_up
from service.accounts.positions import FAR, Positions
from service.cache.entries import Sealer
from service.cache.redis_tier import RedisTier
from service.clocks import Clock
from service.database.pools import Database
from service.errors import Unavailable
from service.metrics.counters import Counters
from tests.service import issuing
from tests.service.conftest import settings_with
from tests.service.parts import CACHE_KEY, Hands
from tests.service.standby import Pair

pytestmark = pytest.mark.anyio

USER, OTHER = issuing.USER, issuing.OTHER_USER


class Notes:
    """The region's notes; `is_away`: they cannot be asked."""

    def __init__(self) -> None:
        self.noted: dict[str, int] = {}
        self.is_away = False

    async def position_of(self, user_id: str) -> int | None:
        return None if self.is_away else self.noted.get(user_id, 0)

    async def note_position(self, user_id: str, position: int, life_s: float) -> None:
        assert life_s == 3.0
        if not self.is_away:
            self.noted[user_id] = position


def positions(hands: Hands, notes: Notes | None = None, lately: int | None = 10) -> Positions:
    return Positions(lambda _since: lately, notes, hands.clock, 2.0)


async def test_furthest_bound_counts_and_a_note_lives_as_long_as_it_is_needed():
    hands, notes = Hands(), Notes()
    here, there = positions(hands, notes), positions(hands, notes)
    assert await here.of(USER) == 10, "the feed's"
    await here.wrote(USER, 50)
    assert [await each.of(USER) for each in (here, there)] == [50, 50]
    assert [await each.of(OTHER) for each in (here, there)] == [10, 10], "nobody else's reads go further"
    await here.wrote(USER, 40)
    notes.noted.clear()
    assert await here.of(USER) == 50
    hands.forward(3.1)
    assert await here.of(USER) == 10, "by now the feed asks for more than that"


async def test_what_is_not_known_sends_the_read_to_the_primary():
    hands, notes = Hands(), Notes()
    assert await positions(hands, lately=None).of(USER) is None, "the feed is silent"
    notes.is_away = True
    here = positions(hands, notes)
    await here.wrote(USER, 50)
    assert await here.of(USER) is None, "another process of the region may have written"


async def test_notes_are_bounded_and_what_makes_room_counts_for_everybody(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(under_test, "NOTES_MAX", 3)
    hands = Hands()
    here = positions(hands)
    for number in range(5):
        await here.wrote(f"user {number}", 100 - number)
        assert len(here._notes) <= 3
    assert await here.of("user 0") == 100
    assert await here.of(OTHER) == 100, "too careful is safe"
    hands.forward(3.1)
    await here.wrote(USER, 50)
    assert (len(here._notes), await here.of(OTHER)) == (1, 10)


async def test_notice_makes_what_was_learnt_before_it_too_little(monkeypatch: pytest.MonkeyPatch):
    """For the user it names, for all where it names none, and until something newer was learnt."""
    monkeypatch.setattr(under_test, "NOTES_MAX", 3)
    hands = Hands()
    learnt_at = hands.clock.monotonic()
    here = Positions(lambda since: 10 if learnt_at > since else None, None, hands.clock, 2.0)
    hands.forward(0.1)
    here.changed(USER)
    assert (await here.of(USER), await here.of(OTHER)) == (None, 10)
    learnt_at = hands.clock.monotonic()
    assert await here.of(USER) is None, "a question that was on its way when the notice came may have been answered before"
    hands.forward(0.1)
    learnt_at = hands.clock.monotonic()
    assert await here.of(USER) == 10
    for number in range(4):
        hands.forward(0.1)
        here.changed(f"user {number}")
    assert len(here._changed) == 3
    assert await here.of("user 3") is None
    learnt_at = hands.clock.monotonic() + 0.01
    assert await here.of("user 0") == 10
    hands.forward(0.1)
    here.changed("")
    assert await here.of(OTHER) is None
    hands.forward(5.0)
    here.changed(OTHER)
    assert list(here._changed) == [OTHER], "by now everything is learnt later than that"


def named(account_json: bytes | None) -> str:
    return str(json.loads(account_json or b"null")["display_name"])


async def test_change_is_seen_at_once_though_the_standby_lags(pair: Pair, valkey_url: str, monkeypatch: pytest.MonkeyPatch):
    """The story on a real standby with its replay stopped, and a real Valkey between two processes of the region."""
    # A busy machine's Valkey may take longer than the 10 ms that a request waits for it; then the answer is "old", rightly.
    monkeypatch.setattr("service.cache.redis_tier.READ_TIMEOUT_S", 10.0)
    clock = Clock()
    lately = 0  # the feed's bound alone would let the standby answer
    redis = RedisTier(valkey_url, Sealer(CACHE_KEY), clock, Counters())
    here, there, elsewhere = (Positions(lambda _since: lately, shared, clock, 60.0) for shared in (redis, redis, None))
    both = Database(settings_with(DATABASE_URL=pair.primary_url, DATABASE_REPLICA_URL=pair.standby_url), clock, Counters())
    alone = Database(settings_with(DATABASE_REPLICA_URL=pair.standby_url), clock, Counters())
    for database in (both, alone):
        await database.open()
    try:
        await follow_up(both, Counters(), SignedInUser(USER, "ann@example.com", {"display_name": "Ann"}))
        await pair.go_on()
        await pair.stop()
        assert await rename(both, here, OTHER, "Eve") is None, "no profile, nothing to change"
        assert named(await rename(both, here, USER, "Anna")) == "Anna"
        for known in (here, there):
            assert named((await read_account(both, USER, await known.of(USER))).profile_json) == "Anna"
        assert named((await read_account(both, USER, await elsewhere.of(USER))).profile_json) == "Ann", "the standby's word"
        with_note = await read_account(alone, USER, await there.of(USER))
        assert (named(with_note.profile_json), with_note.is_old) == ("Ann", True), "with the primary away it is said to be old"
        await pair.go_on()
        caught_up = await read_account(alone, USER, await there.of(USER))
        assert (named(caught_up.profile_json), caught_up.is_old) == ("Anna", False), "the standby again"
    finally:
        for database in (both, alone):
            await database.close()
        await redis.close()


async def test_write_whose_place_in_the_log_is_not_learnt_sends_the_reads_to_the_primary(
    database_url: str, monkeypatch: pytest.MonkeyPatch
):
    """The primary goes away between the change and the question; what is written stays written."""
    database = Database(
        settings_with(DATABASE_URL=database_url, DATABASE_REPLICA_URL="postgresql://u:p@127.0.0.1:9/x"), Clock(), Counters()
    )
    await database.open()
    await follow_up(database, Counters(), SignedInUser(USER, "ann@example.com"))
    write = database.write

    async def write_but_once(statement: str, *arguments: object, timeout_s: float = 5.0) -> list[object]:
        if "pg_current_wal_lsn" in statement:
            raise Unavailable("database", "gone")
        return await write(statement, *arguments, timeout_s=timeout_s)

    monkeypatch.setattr(database, "write", write_but_once)
    here = positions(Hands())
    assert named(await rename(database, here, USER, "Anna")) == "Anna"
    assert await here.of(USER) == FAR
    await database.close()
