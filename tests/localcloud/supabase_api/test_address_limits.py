"""Limits for each address, where the project has set them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from infra.localcloud.supabase_api.address_limits import BURST, AddressLimits
from infra.localcloud.supabase_api.auth_config import AuthConfig
from infra.localcloud.supabase_api.errors import ApiError
from infra.localcloud.supabase_api.settings import Settings
from infra.localcloud.world_clock import Ageing, WorldClock
from tests.localcloud.supabase_api.client import code_of
from tests.localcloud.supabase_api.conftest import running


def taken(limits: AddressLimits, kind: str, address: str, up_to: int = 100) -> int:
    """How many requests pass before the first that does not."""
    for count in range(up_to):
        try:
            limits.check(kind, address)
        except ApiError:
            return count
    return up_to


def test_a_bucket_is_each_addresss_and_kinds_own_and_fills_up_with_the_clock(tmp_path: Path):
    clock = WorldClock(tmp_path / "clock.json")
    limits = AddressLimits(AuthConfig(rate_limit_verify=30, rate_limit_anonymous_users=5), Ageing(tmp_path / "clock.json"))
    assert taken(limits, "verify", "10.0.0.1") == BURST
    assert taken(limits, "verify", "10.0.0.2") == BURST
    assert taken(limits, "anonymous", "10.0.0.1") == 5
    assert taken(limits, "otp", "10.0.0.1") == 100, "not set, not limited"
    clock.advance(60)
    assert taken(limits, "verify", "10.0.0.1") == 6, "30 in five minutes"
    assert taken(limits, "anonymous", "10.0.0.1") == 0, "5 in an hour"


@pytest.mark.anyio
async def test_a_client_beyond_its_limit_is_told_so(settings: Settings):
    """Clients retry on 5xx and give up on others: what they do on 429 can be tried here."""
    auth = AuthConfig(rate_limit_token_refresh=30)
    async with running(dataclasses.replace(settings, auth=auth)) as client:
        answers = [await client.refresh("no-such-token") for _ in range(BURST + 1)]
        assert [answer.status_code for answer in answers] == [400] * BURST + [429]
        assert (code_of(answers[-1]), answers[-1].json()["msg"]) == ("over_request_rate_limit", "Request rate limit reached")
