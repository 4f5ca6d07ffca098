"""Moving the cloud's clock lets what Auth has issued grow older; what it issues next is of the machine's time."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from joserfc import jws

from infra.localcloud.supabase_api.auth_config import AuthConfig
from infra.localcloud.supabase_api.settings import Settings
from infra.localcloud.world_clock import WorldClock
from tests.localcloud.supabase_api.client import Client, code_of
from tests.localcloud.supabase_api.conftest import running

pytestmark = pytest.mark.anyio
HOUR_S = 3600.0


@pytest.fixture
def clock(tmp_path: Path) -> WorldClock:
    return WorldClock(tmp_path / "clock.json")


@asynccontextmanager
async def limited(settings: Settings, tmp_path: Path, **config: Any) -> AsyncIterator[Client]:
    async with running(dataclasses.replace(settings, clock_file=tmp_path / "clock.json", auth=AuthConfig(**config))) as client:
        yield client


@pytest.fixture
async def aged(settings: Settings, clock: WorldClock, tmp_path: Path) -> AsyncIterator[Client]:
    async with limited(settings, tmp_path) as client:
        yield client


async def test_a_token_expires_with_the_clock_and_its_successor_is_of_the_machines_time(aged: Client, clock: WorldClock) -> None:
    """Expiry can be tried without an hour's wait, and no service is handed a token from the future."""
    clock.advance(10 * HOUR_S)  # what was moved before ages nothing
    first = await aged.signed_up()
    clock.advance(HOUR_S - 60)
    assert (await aged.user(first["access_token"])).status_code == 200
    clock.advance(60)
    expired = await aged.user(first["access_token"])
    assert (expired.status_code, code_of(expired)) == (403, "bad_jwt")
    assert "token is expired" in expired.json()["msg"]

    second = (await aged.refresh(first["refresh_token"])).json()
    assert (await aged.user(second["access_token"])).status_code == 200, "although the clock was moved in this very second"
    claims = msgspec.json.decode(jws.extract_compact(second["access_token"].encode()).payload)
    assert claims["iat"] <= time.time() + 1
    assert claims["exp"] == second["expires_at"] == claims["iat"] + HOUR_S


async def test_a_used_refresh_token_is_taken_for_stolen_once_the_interval_has_passed(aged: Client, clock: WorldClock) -> None:
    tokens = [(await aged.signed_up())["refresh_token"]]
    for _ in range(2):
        tokens.append((await aged.refresh(tokens[-1])).json()["refresh_token"])
    clock.advance(11)
    late = await aged.refresh(tokens[0])
    assert (late.status_code, code_of(late)) == (400, "refresh_token_already_used")


async def test_a_ban_ends_with_the_clock(aged: Client, clock: WorldClock) -> None:
    answer = await aged.signed_up("ada@example.com")
    assert (await aged.admin("PUT", f"/{answer['user']['id']}", {"ban_duration": "24h"})).status_code == 200
    assert code_of(await aged.login("ada@example.com")) == "user_banned"
    clock.advance(24 * HOUR_S)
    assert (await aged.login("ada@example.com")).status_code == 200


async def test_a_session_ends_with_its_timebox_however_busy_it_is(settings: Settings, clock: WorldClock, tmp_path: Path) -> None:
    async with limited(settings, tmp_path, sessions_timebox=24) as client:
        token = (await client.signed_up())["refresh_token"]
        for _ in range(2):
            clock.advance(11 * HOUR_S)
            token = (await client.refresh(token)).json()["refresh_token"]
        clock.advance(2 * HOUR_S)
        assert_expired(await client.refresh(token), "Session Expired")


async def test_a_session_that_nobody_refreshes_ends(settings: Settings, clock: WorldClock, tmp_path: Path) -> None:
    async with limited(settings, tmp_path, sessions_inactivity_timeout=2) as client:
        token = (await client.signed_up())["refresh_token"]
        for _ in range(2):
            clock.advance(1.5 * HOUR_S)
            token = (await client.refresh(token)).json()["refresh_token"]
        clock.advance(2 * HOUR_S)
        assert_expired(await client.refresh(token), "Session Expired (Inactivity)")


async def test_a_newer_session_ends_the_older_one_where_a_user_may_have_one(settings: Settings, tmp_path: Path) -> None:
    async with limited(settings, tmp_path, sessions_single_per_user=True) as client:
        older = (await client.signed_up("ada@example.com"))["refresh_token"]
        newer = (await client.login("ada@example.com")).json()["refresh_token"]
        assert_expired(await client.refresh(older), "Session Expired (Revoked by Newer Login)")
        assert (await client.refresh(newer)).status_code == 200


def assert_expired(answer: httpx.Response, reason: str) -> None:
    told = (answer.status_code, code_of(answer), answer.json()["msg"])
    assert told == (400, "session_expired", f"Invalid Refresh Token: {reason}")
