"""What looking a user up costs among a million: the statements of /me and of a log-in, and the guide's look-up by address.

    python -m loadtests.bench.lookup [--users 1000000] [--rounds 2000]

A PostgreSQL of its own with the release's migrations, filled by generate_series. Prints milliseconds per statement over one
connection, prepared as the service's are, the client included, and the plan's index. Target: 20 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import tempfile
import time
from hashlib import md5
from pathlib import Path
from uuid import UUID

import asyncpg  # type: ignore[import-untyped]

from loadtests.bench.replica_stack import migrate, running_postgres
from loadtests.history import percentile

TARGET_MS = 20.0
FILL = """
INSERT INTO cached_auth.profiles (id, email, display_name, is_active)
SELECT md5(n::text)::uuid, 'user' || n || '@example.com', 'User ' || n, n % 20 <> 0 FROM generate_series(1, $1::int) AS n
"""
FILL_JOBS = """
INSERT INTO cached_auth.outbox (user_id, kind, done_at)
SELECT id, kind, now() FROM cached_auth.profiles, unnest(ARRAY['welcome_mail', 'default_preferences', 'storage_folders']) AS kind
"""
# Two roles for everybody, out of a hundred with ten permissions each.
FILL_ROLES = """
INSERT INTO cached_auth.roles (name) SELECT 'role' || n FROM generate_series(0, 99) AS n;
INSERT INTO cached_auth.role_permissions SELECT name, 'may.' || n FROM cached_auth.roles, generate_series(1, 10) AS n;
INSERT INTO cached_auth.user_roles (user_id, role)
SELECT id, 'role' || (abs(hashtext(id::text)) % 50 + half * 50) FROM cached_auth.profiles, generate_series(0, 1) AS half
"""
BY_ID = "SELECT id, email, display_name, created_at, roles, permissions FROM cached_auth.accounts WHERE id = $1"
BY_EMAIL = "SELECT id FROM cached_auth.profiles WHERE lower(email) = lower($1) AND email IS NOT NULL AND is_active"
# What a log-in sends where there is no trigger (service/accounts/follow_up.py), for a user who has everything already.
FOLLOW_UP = """
WITH profile AS (
    INSERT INTO cached_auth.profiles (id, email, display_name) VALUES ($1, $2, 'x') ON CONFLICT (id) DO NOTHING
), jobs AS (
    INSERT INTO cached_auth.outbox (user_id, kind, payload)
    SELECT $1, kind, '{}' FROM unnest(ARRAY['welcome_mail', 'default_preferences', 'storage_folders']) AS kind
        ON CONFLICT (user_id, kind) DO NOTHING RETURNING id
)
SELECT count(*) AS made FROM jobs
"""


async def measure(url: str, users: int, rounds: int) -> None:
    connection = await asyncpg.connect(url)
    began = time.monotonic()
    await connection.execute(FILL, users, timeout=200)
    await connection.execute(FILL_JOBS, timeout=200)
    await connection.execute(FILL_ROLES, timeout=200)
    for table in ("profiles", "roles", "role_permissions", "user_roles"):
        await connection.execute(f"ANALYZE cached_auth.{table}")
    await connection.execute("ANALYZE cached_auth.outbox")
    print(f"{users} profiles, their jobs and roles in {time.monotonic() - began:.0f} s", flush=True)
    for name, statement, arguments in (
        ("account by id (/me)", BY_ID, lambda n: (_id(n),)),
        ("profile by address", BY_EMAIL, lambda n: (f"User{n}@example.com",)),
        ("after a log-in", FOLLOW_UP, lambda n: (_id(n), f"user{n}@example.com")),
    ):
        prepared = await connection.prepare(statement)
        taken_ms = []
        for _ in range(rounds):
            given = arguments(random.randint(1, users))  # noqa: S311 - which users, no secrets
            began = time.perf_counter()
            await prepared.fetch(*given)
            taken_ms.append((time.perf_counter() - began) * 1000)
        plan = json.dumps(await prepared.explain(*given))
        indexes = sorted(set(re.findall(r'"Index Name": "(\w+)"', plan)))
        print(
            f"{name:20} p50 {percentile(taken_ms, 0.5):.2f}  p99 {percentile(taken_ms, 0.99):.2f}  max {max(taken_ms):.2f} ms"
            f"   (target {TARGET_MS:g} ms)   {', '.join(indexes)}",
            flush=True,
        )
    await connection.close()


def _id(number: int) -> str:
    return str(UUID(md5(str(number).encode(), usedforsecurity=False).hexdigest()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=2000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cached-auth-bench-") as folder, running_postgres() as (url, _):
        needed = {"SUPABASE_URL": "http://127.0.0.1:9", "SUPABASE_ANON_KEY": "-", "SUPABASE_SERVICE_ROLE_KEY": "-"}
        more = {"JWT_ISSUER": "http://127.0.0.1:9/auth/v1", "DATABASE_URL": url, "CACHE_KEY": os.urandom(16).hex()}
        migrate({**needed, **more}, Path(folder))
        asyncio.run(measure(url, given.users, given.rounds))


if __name__ == "__main__":
    main()
