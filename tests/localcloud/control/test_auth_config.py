"""The Management API's auth configuration: what it takes, what it shows, and when the gateway hears of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.localcloud.control.harness import Harness
from tests.localcloud.control.test_supabase_management import get, make

pytestmark = pytest.mark.anyio


async def test_change_reaches_the_gateway_and_only_what_it_goes_by_restarts_it(cloud: Harness) -> None:
    ref = (await make(cloud))["ref"]
    path = f"/v1/projects/{ref}/config/auth"
    (first,) = cloud.plane.gateways.values()
    kept = (await cloud.client.patch(path, json={"site_url": "https://app.example.com", "smtp_pass": "to-be-hidden"})).json()
    assert kept["site_url"] == "https://app.example.com"
    assert len(kept["smtp_pass"]) == 64
    assert "to-be-hidden" not in str(await get(cloud, path))
    await cloud.until(lambda: cloud.conductor.workers.is_idle)
    assert list(cloud.plane.gateways.values()) == [first], "nothing that it goes by has changed"
    await cloud.client.patch(path, json={"jwt_exp": 60, "disable_signup": True, "security_sb_forwarded_for_enabled": True})
    await cloud.until(lambda: any(found["JWT_EXP"] == "60" for found in cloud.plane.gateways.values()))
    (gateway,) = cloud.plane.gateways.values()
    assert (gateway["DISABLE_SIGNUP"], gateway["SB_FORWARDED_FOR"]) == ("1", "1")
    whole = await get(cloud, path)
    assert (whole["jwt_exp"], whole["site_url"]) == (60, "https://app.example.com"), "a change is a change, not a replacement"
    await cloud.client.patch(path, json={"jwt_exp": None})
    assert (await get(cloud, path))["jwt_exp"] == 3600


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"jwt_exp": 0}, "jwt_exp: expected 1 to 604800"),
        ({"jwt_exp": "60"}, "jwt_exp: expected an integer"),
        ({"jwt_exp": True}, "jwt_exp: expected an integer"),
        ({"disable_signup": 1}, "disable_signup: expected a boolean"),
        ({"password_min_length": 5}, "password_min_length: expected 6 to"),
        ({"smtp_pass": 12345}, "smtp_pass: expected a string"),
        ({"no_such_setting": 1}, "no_such_setting: not known"),
        ([], "Invalid request body"),
    ],
)
async def test_wrong_setting_is_refused_and_nothing_kept(cloud: Harness, change: Any, message: str) -> None:
    ref = (await make(cloud))["ref"]
    answer = await cloud.client.patch(f"/v1/projects/{ref}/config/auth", json=change)
    assert answer.status_code == 400
    assert message in answer.json()["message"]
    assert "12345" not in answer.json()["message"]
    assert cloud.world.supabase[ref].auth_config == {}
