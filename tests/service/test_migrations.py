# ruff: noqa: S608 - the statements of these tests are made of constants
"""Migrations with the real dbmate on a real PostgreSQL: repeatable, one at a time, and the triggers on Auth's tables."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from service.accounts.account import _SELECT
from service.accounts.worker import _DEPTH
from service.cache.entries import ENDED_LIFE_S, TOKEN_LIFE_MAX_S
from service.database.migrate import MIGRATIONS, MigrationFailed, dbmate_url, migrate
from service.revocation.feed import _POLL
from service.revocation.records import WATERMARK_GREY_S
from tests.service import issuing

pytestmark = pytest.mark.anyio

AUTH = """
CREATE SCHEMA auth;
CREATE TABLE auth.users (id uuid PRIMARY KEY, banned_until timestamptz);
CREATE TABLE auth.sessions (id uuid PRIMARY KEY, user_id uuid REFERENCES auth.users ON DELETE CASCADE);
"""
AUTH_MAIL = "ALTER TABLE auth.users ADD email text, ADD raw_user_meta_data jsonb"
LINES = "SELECT kind, subject, watermark_iat FROM cached_auth.revocations ORDER BY sequence"


async def lines(url: str) -> list[tuple[str, str]]:
    connection = await asyncpg.connect(url)
    try:
        return [(row["kind"], row["subject"]) for row in await connection.fetch(LINES)]
    finally:
        await connection.close()


async def run(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def test_several_cells_may_migrate_at_once_and_again(empty_database: str):
    """Every cell runs its pre-deploy command; with CREATE INDEX CONCURRENTLY a blocking lock would hang them all."""
    async with asyncio.timeout(60):
        said = await asyncio.gather(*(migrate(empty_database) for _ in range(3)))
    assert sum("Applied: 0001" in text for text in said) == 1
    assert all("watching: nothing" in text for text in said)
    assert "Applied" not in await migrate(empty_database)
    connection = await asyncpg.connect(empty_database)
    try:
        valid = await connection.fetch("SELECT indexrelid::regclass::text AS name, indisvalid FROM pg_index")
        names = {row["name"] for row in valid if row["indisvalid"]}
    finally:
        await connection.close()
    assert {"cached_auth.profiles_email", "cached_auth.profiles_auth_lookup", "cached_auth.profiles_pkey"} <= names


async def test_sessions_that_auth_ends_by_itself_are_revoked(empty_database: str):
    await migrate(empty_database)
    await run(empty_database, AUTH)
    assert "watching: auth.sessions, auth.users, auth.users.banned_until, log-ins" in await migrate(empty_database)
    await run(
        empty_database,
        f"INSERT INTO auth.users VALUES ('{issuing.USER}'), ('{issuing.OTHER_USER}')",
        f"INSERT INTO auth.sessions VALUES ('{issuing.SESSION}', '{issuing.USER}')",
        f"INSERT INTO auth.sessions VALUES ('{issuing.OTHER_SESSION}', '{issuing.OTHER_USER}')",
        f"DELETE FROM auth.sessions WHERE id = '{issuing.SESSION}'",
        f"UPDATE auth.users SET banned_until = now() + interval '1 hour' WHERE id = '{issuing.USER}'",
        f"UPDATE auth.users SET banned_until = NULL WHERE id = '{issuing.USER}'",
        f"DELETE FROM auth.users WHERE id = '{issuing.OTHER_USER}'",
    )
    written = await lines(empty_database)
    assert written[:2] == [("session", issuing.SESSION), ("user", issuing.USER)]
    assert sorted(written[2:]) == [("session", issuing.OTHER_SESSION), ("user", issuing.OTHER_USER)]


FOLLOWED = "SELECT (SELECT count(*) FROM cached_auth.profiles), (SELECT count(*) FROM cached_auth.outbox)"


async def test_log_in_by_whatever_way_is_followed_in_auths_own_transaction(empty_database: str):
    """Either the session and its jobs are there, or neither: no process of ours need live for it."""
    await migrate(empty_database)
    await run(empty_database, AUTH, AUTH_MAIL)
    await migrate(empty_database)
    user = f"INSERT INTO auth.users VALUES ('{issuing.USER}', NULL, 'ann@example.com', '{{\"display_name\": \"Ann\"}}')"
    begin = f"INSERT INTO auth.sessions VALUES ('{issuing.SESSION}', '{issuing.USER}')"
    connection = await asyncpg.connect(empty_database)
    try:
        await connection.execute(user)
        with pytest.raises(asyncpg.UniqueViolationError):
            await connection.execute(f"{begin}; INSERT INTO auth.users VALUES ('{issuing.USER}')")
        assert tuple(await connection.fetchrow(FOLLOWED)) == (0, 0)
        await connection.execute(begin)
        assert tuple(await connection.fetchrow(FOLLOWED)) == (1, 3)
        await connection.execute(f"INSERT INTO auth.sessions VALUES ('{issuing.OTHER_SESSION}', '{issuing.USER}')")
        assert tuple(await connection.fetchrow(FOLLOWED)) == (1, 3)
        made = await connection.fetchrow("SELECT email, display_name FROM cached_auth.profiles")
        assert tuple(made) == ("ann@example.com", "Ann")
    finally:
        await connection.close()


async def test_log_in_of_a_known_user_writes_nothing_of_ours(empty_database: str):
    """Nearly every log-in is one: the numbers of the outbox are not for using up."""
    await run(empty_database, AUTH, AUTH_MAIL)
    await migrate(empty_database)
    begin = f"INSERT INTO auth.sessions VALUES ('%s', '{issuing.USER}')"
    await run(empty_database, f"INSERT INTO auth.users VALUES ('{issuing.USER}')", begin % issuing.SESSION)
    used = "SELECT last_value FROM cached_auth.outbox_id_seq"
    connection = await asyncpg.connect(empty_database)
    try:
        before = await connection.fetchval(used)
        await connection.execute(begin % issuing.OTHER_SESSION)
        assert (await connection.fetchval(used), tuple(await connection.fetchrow(FOLLOWED))) == (before, (1, 3))
        await connection.execute("DELETE FROM cached_auth.outbox WHERE kind = 'welcome_mail'")
        await connection.execute(begin % str(uuid4()))
        assert tuple(await connection.fetchrow(FOLLOWED)) == (1, 3), "what is missing is made"
    finally:
        await connection.close()


async def test_first_log_ins_at_once_never_fail_for_us(empty_database: str):
    """One transaction of Auth makes the user's rows and then waits for a row that another holds, whose trigger waits for those
    rows. The server would end one of the two, and it might be Auth's own statement: ours has to give up first."""
    await run(empty_database, AUTH, AUTH_MAIL)
    await migrate(empty_database)
    await run(empty_database, f"INSERT INTO auth.users VALUES ('{issuing.USER}')")
    begin = f"INSERT INTO auth.sessions VALUES ('%s', '{issuing.USER}')"
    touch = f"UPDATE auth.users SET email = 'ann@example.com' WHERE id = '{issuing.USER}'"
    one, other = await asyncpg.connect(empty_database), await asyncpg.connect(empty_database)
    try:
        async with asyncio.timeout(30), one.transaction():
            async with other.transaction():
                await other.execute(touch)
                await one.execute(begin % issuing.SESSION)
                waiting = asyncio.create_task(one.execute(touch))
                await other.execute(begin % issuing.OTHER_SESSION)
            await waiting
        assert tuple(await one.fetchrow(FOLLOWED)) == (1, 3)
        assert await one.fetchval("SELECT count(*) FROM auth.sessions") == 2
    finally:
        await one.close()
        await other.close()


async def test_migration_again_asks_for_no_lock_on_auths_tables(empty_database: str):
    """Each region's deploy migrates: none may hold up a log-in where there is nothing to do."""
    await run(empty_database, AUTH, AUTH_MAIL)
    await migrate(empty_database)
    connection = await asyncpg.connect(empty_database)
    try:
        async with connection.transaction():
            await connection.execute(f"INSERT INTO auth.users VALUES ('{issuing.USER}')")
            assert "watching: auth.sessions, auth.users, auth.users.banned_until, log-ins" in await migrate(empty_database)
    finally:
        await connection.close()


async def test_auths_table_that_stays_locked_is_one_error(empty_database: str, monkeypatch: pytest.MonkeyPatch):
    for name in ("TABLE_LOCK_WAIT_S", "TABLE_LOCK_PAUSE_S"):
        monkeypatch.setattr(f"service.database.migrate.{name}", 0.02)
    await run(empty_database, AUTH, AUTH_MAIL)
    connection = await asyncpg.connect(empty_database)
    try:
        async with connection.transaction():
            await connection.execute(f"INSERT INTO auth.users VALUES ('{issuing.USER}')")
            with pytest.raises(MigrationFailed, match="see pg_locks") as told:
                await migrate(empty_database)
            assert "\n" not in str(told.value)
    finally:
        await connection.close()
    assert "log-ins" in await migrate(empty_database), "and the next one does what is left"


async def test_watching_that_the_database_refuses_is_one_error(empty_database: str):
    await migrate(empty_database)
    broken = "CREATE OR REPLACE FUNCTION cached_auth.watch_auth() RETURNS text LANGUAGE sql AS $$ SELECT (1 / 0)::text $$"
    await run(empty_database, broken)
    with pytest.raises(MigrationFailed, match="DivisionByZeroError: division by zero"):
        await migrate(empty_database)


async def test_trouble_in_our_tables_never_stops_auth(empty_database: str):
    await migrate(empty_database)
    await run(empty_database, AUTH)
    await migrate(empty_database)
    await run(
        empty_database,
        f"INSERT INTO auth.users VALUES ('{issuing.USER}')",
        f"INSERT INTO auth.sessions VALUES ('{issuing.SESSION}', '{issuing.USER}')",
        "ALTER TABLE cached_auth.revocations RENAME TO gone",
        f"DELETE FROM auth.users WHERE id = '{issuing.USER}'",
    )


async def test_administrators_revocation_ends_the_sessions_at_auth(empty_database: str):
    await run(empty_database, AUTH, f"INSERT INTO auth.users VALUES ('{issuing.USER}')")
    await run(empty_database, f"INSERT INTO auth.sessions VALUES ('{issuing.SESSION}', '{issuing.USER}')")
    await migrate(empty_database)
    await run(empty_database, f"SELECT cached_auth.revoke('user', '{issuing.USER}')")
    assert set(await lines(empty_database)) == {("session", issuing.SESSION), ("user", issuing.USER)}
    connection = await asyncpg.connect(empty_database)
    try:
        assert await connection.fetchval("SELECT count(*) FROM auth.sessions") == 0
    finally:
        await connection.close()


async def lives_s(url: str) -> dict[str, int]:
    """Seconds that each kind of line has left, by kind."""
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch("SELECT kind, extract(epoch FROM expires_at - now()) AS left FROM cached_auth.revocations")
        return {row["kind"]: round(row["left"], -1) for row in rows}
    finally:
        await connection.close()


async def test_line_lives_as_long_as_somebody_may_remember_the_session(empty_database: str):
    """A day for each log-out would fill every replica's set at two log-outs a second."""
    await run(empty_database, AUTH, f"INSERT INTO auth.users VALUES ('{issuing.USER}')")
    await run(empty_database, f"INSERT INTO auth.sessions VALUES ('{issuing.SESSION}', '{issuing.USER}')")
    await migrate(empty_database)
    await run(empty_database, f"SELECT cached_auth.revoke('user', '{issuing.USER}')")
    assert await lives_s(empty_database) == {"session": ENDED_LIFE_S, "user": ENDED_LIFE_S}


async def test_line_of_a_session_that_lives_on_at_auth_is_kept_for_a_tokens_whole_life(empty_database: str):
    """Without the right to end it there, our line is all that stands against its tokens."""
    await migrate(empty_database)
    await run(empty_database, f"SELECT cached_auth.revoke('user', '{issuing.USER}')")
    assert await lives_s(empty_database) == {"user": TOKEN_LIFE_MAX_S + 60}


FILL = """
INSERT INTO cached_auth.profiles (id, email, is_active)
SELECT md5(n::text)::uuid, 'user' || n || '@example.com', n % 20 <> 0 FROM generate_series(1, 5000) AS n
"""
FILL_ROLES = (
    "INSERT INTO cached_auth.roles (name) SELECT 'role' || n FROM generate_series(1, 200) AS n",
    "INSERT INTO cached_auth.role_permissions SELECT name, 'may.' || n FROM cached_auth.roles, generate_series(1, 10) AS n",
    # In one transaction for more users than a server has room for locks: the bound's trigger must not need one for each.
    "INSERT INTO cached_auth.user_roles SELECT id, 'role' || 1 + (abs(hashtext(id::text)) + n * 50) % 200"
    " FROM cached_auth.profiles, generate_series(0, 1) AS n",
    "INSERT INTO cached_auth.user_roles SELECT md5(n || 'x')::uuid, 'role' || n % 200 + 1 FROM generate_series(1, 15000) AS n",
)
LOOK_UPS = [
    (_SELECT.replace("$1", f"'{issuing.USER}'"), {"profiles_auth_lookup", "profiles_pkey"}),
    (_SELECT.replace("$1", f"'{issuing.USER}'"), {"user_roles_pkey"}),
    (_SELECT.replace("$1", f"'{issuing.USER}'"), {"role_permissions_pkey"}),
    ("SELECT user_id FROM cached_auth.user_roles WHERE role = 'role7'", {"user_roles_role"}),
    (
        "SELECT id FROM cached_auth.profiles WHERE lower(email) = 'user7@example.com' AND email IS NOT NULL AND is_active",
        {"profiles_email"},
    ),
    (_POLL.replace("$1", "'5'"), {"revocations_transaction", "revocations_expires_at"}),
    ("SELECT id FROM cached_auth.outbox WHERE done_at IS NULL AND dead_at IS NULL AND run_at <= now() LIMIT 4", {"outbox_due"}),
    (_DEPTH, {"outbox_due"}),
    (_DEPTH, {"outbox_dead"}),
]


async def test_look_ups_go_by_their_indexes(empty_database: str):
    await migrate(empty_database)
    await run(
        empty_database,
        FILL,
        "INSERT INTO cached_auth.revocations (kind, subject) SELECT 'session', n::text FROM generate_series(1, 2000) AS n",
        "INSERT INTO cached_auth.outbox (user_id, kind, done_at) SELECT id, 'welcome_mail', now() FROM cached_auth.profiles",
        *FILL_ROLES,
        "VACUUM ANALYZE cached_auth.roles",
        "VACUUM ANALYZE cached_auth.role_permissions",
        "VACUUM ANALYZE cached_auth.user_roles",
        "VACUUM ANALYZE cached_auth.profiles",
        "VACUUM ANALYZE cached_auth.revocations",
        "VACUUM ANALYZE cached_auth.outbox",
        "INSERT INTO cached_auth.revocations (kind, subject) VALUES ('session', 'new')",
    )
    connection = await asyncpg.connect(empty_database)
    try:
        floor = await connection.fetchval("SELECT max(transaction)::text FROM cached_auth.revocations")
        for statement, expected in LOOK_UPS:
            asked = statement.replace("'5'", f"'{floor}'")
            plan = str(await connection.fetchval(f"EXPLAIN (FORMAT JSON) {asked}"))
            assert set(re.findall(r'"Index Name": "(\w+)"', plan)) & expected, statement
            read_whole = re.findall(r'"Node Type": "Seq Scan".*?"Relation Name": "(\w+)"', plan, re.DOTALL)
            assert [name for name in read_whole if not name.startswith("pg_")] == [], statement
    finally:
        await connection.close()


async def test_broken_migration_is_one_error_and_hides_the_password(
    empty_database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    (tmp_path / "0001_broken.sql").write_text("-- migrate:up\nSELECT nonsense;\n-- migrate:down\n")
    monkeypatch.setattr("service.database.migrate.MIGRATIONS", tmp_path)
    with pytest.raises(MigrationFailed, match="nonsense"):
        await migrate(empty_database)


async def test_database_that_is_away_is_one_error():
    with pytest.raises(MigrationFailed, match="DATABASE_URL: cannot connect"):
        await migrate("postgresql://postgres:pw@127.0.0.1:9/postgres")


URLS = [
    ("postgresql://u:p@127.64.1.1:5432/postgres", "postgres://u:p@127.64.1.1:5432/postgres?sslmode=disable"),
    ("postgres://u:p@localhost/db", "postgres://u:p@localhost/db?sslmode=disable"),
    ("postgresql://u:p@db.abc.supabase.co:5432/postgres", "postgres://u:p@db.abc.supabase.co:5432/postgres?sslmode=require"),
    ("postgresql://u:p@db.example.com/x?sslmode=verify-full", "postgres://u:p@db.example.com/x?sslmode=verify-full"),
    ("postgresql://u@/x?host=/tmp/s", "postgres://u@/x?socket=%2Ftmp%2Fs&sslmode=disable"),
]


@pytest.mark.parametrize(("given", "expected"), URLS)
def test_tls_is_off_on_loopback_only(given: str, expected: str):
    assert dbmate_url(given) == expected


def test_migrations_are_numbered_without_gaps():
    numbers = [int(path.name[:4]) for path in sorted(MIGRATIONS.glob("*.sql"))]
    assert numbers == list(range(1, len(numbers) + 1))


def test_sql_and_code_agree_on_the_constants():
    """The table keeps a revocation for as long as it can be needed; revoke() steps over the grey zone."""
    lives = (MIGRATIONS / "0006_shorter_lives.sql").read_text()
    assert f"SET DEFAULT clock_timestamp() + interval '{ENDED_LIFE_S / 60:.0f} minutes'" in lives
    assert (
        f"THEN interval '{ENDED_LIFE_S / 60:.0f} minutes' ELSE interval '{TOKEN_LIFE_MAX_S / 3600:.0f} hours 1 minute'" in lives
    )
    assert re.search(rf"ELSE {WATERMARK_GREY_S:.0f} END", lives)
