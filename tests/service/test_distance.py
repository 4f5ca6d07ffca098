"""A replica 20 ms away from the primary and the issuer: what a log-in and a log-out take there, measured from outside."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from loadtests.bench.link import linked, relayed
from loadtests.bench.replica_stack import Replica, running_stack

pytestmark = [pytest.mark.story, pytest.mark.anyio]

RTT_MS = 20.0
BCRYPT_COST = 10  # about 60 ms of one processor
CREDENTIALS = {"email": "ann@example.com", "password": "a long enough one 1"}


@dataclass
class Regions:
    near: Replica
    far: Replica
    far_issuer: str
    anon_key: str


@pytest.fixture
async def regions(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Regions]:
    with running_stack(tmp_path, bcrypt_cost=BCRYPT_COST) as stack:
        address = urlsplit(stack.supabase_url)
        assert address.port is not None
        port = address.port
        async with (
            linked(stack.database_url, RTT_MS) as (database_url, _),
            relayed(lambda: asyncio.open_connection("127.0.0.1", port), RTT_MS) as (supabase_port, _),
        ):
            near = await asyncio.to_thread(stack.start_replica)
            far = await asyncio.to_thread(
                lambda: stack.start_replica(
                    DATABASE_URL=database_url, SUPABASE_URL=f"http://127.0.0.1:{supabase_port}", REDIS_URL="", REGION="far"
                )
            )
            yield Regions(near, far, f"http://127.0.0.1:{supabase_port}/auth/v1", stack.environment["SUPABASE_ANON_KEY"])
            await asyncio.to_thread(far.program.end)


async def test_log_in_and_log_out_at_a_distance(regions: Regions, record_property: pytest.RecordProperty):
    """Targets: log-in under 200 ms; a log-out in one region is refused in the other within RTT + 50 ms.

    On a busy machine the issuer's bcrypt alone takes longer than that, so the issuer is timed beside us, over the same link,
    and the absolute target is held where the machine leaves room for it.
    """
    async with (
        httpx.AsyncClient(base_url=regions.far.url, timeout=10) as far,
        httpx.AsyncClient(base_url=regions.near.url) as near,
    ):
        assert (await near.post("/api/v1/auth/register", json=CREDENTIALS)).status_code == 201
        issuer_ms, logins_ms, revocations_ms = [], [], []
        for _ in range(6):
            issuer_ms.append(await issuer_takes_ms(far, regions))
            began = time.monotonic()
            answer = await far.post("/api/v1/auth/login", json=CREDENTIALS)
            logins_ms.append((time.monotonic() - began) * 1000)
            assert answer.status_code == 200
            bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
            assert (await far.get("/api/v1/auth/verify", headers=bearer)).headers["x-cache"] == "l1"
            assert (await near.post("/api/v1/auth/logout?scope=local", headers=bearer)).status_code == 204
            revocations_ms.append(await refused_after_ms(far, bearer))
    record_property("login_ms", sorted(logins_ms))
    record_property("revocation_ms", sorted(revocations_ms))
    print(f"issuer alone {sorted(map(round, issuer_ms))} ms")
    print(f"log-in {sorted(map(round, logins_ms))} ms; log-out seen elsewhere after {sorted(map(round, revocations_ms))} ms")
    alone_ms = statistics.median(issuer_ms)
    assert statistics.median(logins_ms) < 2 * alone_ms + 2 * RTT_MS
    if alone_ms < 110:
        assert statistics.median(logins_ms) < 200
        assert statistics.median(revocations_ms) < RTT_MS + 50


async def issuer_takes_ms(client: httpx.AsyncClient, regions: Regions) -> float:
    """A log-in at the issuer itself, as far away as it is from the replica."""
    began = time.monotonic()
    url = f"{regions.far_issuer}/token?grant_type=password"
    answer = await client.post(url, json=CREDENTIALS, headers={"apikey": regions.anon_key})
    assert answer.status_code == 200
    return (time.monotonic() - began) * 1000


async def refused_after_ms(client: httpx.AsyncClient, bearer: dict[str, str]) -> float:
    began = time.monotonic()
    async with asyncio.timeout(10):
        while (await client.get("/api/v1/auth/verify", headers=bearer)).status_code == 200:
            pass
    return (time.monotonic() - began) * 1000
