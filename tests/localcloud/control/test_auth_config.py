"""The Management API's auth configuration: what it takes, what it shows, and when the gateway hears of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra.localcloud.conducting.databases import auth_environment
from infra.localcloud.supabase_api.auth_config import parsed
from tests.localcloud.control.harness import Harness
from tests.localcloud.control.test_supabase_management import get, make

pytestmark = pytest.mark.anyio


def followed(gateway: dict[str, str]) -> dict[str, Any]:
    config: dict[str, Any] = json.loads(gateway["AUTH_CONFIG"])
    return config


async def test_mails_go_to_the_clouds_own_sink_unless_the_project_has_a_server(cloud: Harness) -> None:
    ref = (await make(cloud))["ref"]
    (gateway,) = cloud.plane.gateways.values()
    assert (gateway["SMTP_HOST"], gateway["SMTP_PORT"]) == (cloud.plane.owners["mail"], "2525")
    await cloud.client.patch(f"/v1/projects/{ref}/config/auth", json={"smtp_host": "127.0.0.9", "smtp_port": "2500"})
    await cloud.until(lambda: any(found["SMTP_HOST"] == "127.0.0.9" for found in cloud.plane.gateways.values()))
    (gateway,) = cloud.plane.gateways.values()
    assert gateway["SMTP_PORT"] == "2500"


@pytest.mark.parametrize("change", [{"password_min_length": 100}, {"mailer_otp_exp": 1_000_000}, {"smtp_max_frequency": 900_000}])
async def test_whatever_the_api_takes_the_gateway_can_read(cloud: Harness, change: dict[str, int]) -> None:
    whole = {**(await get(cloud, f"/v1/projects/{(await make(cloud))['ref']}/config/auth")), **change}
    parsed(auth_environment(whole, "127.0.0.1")["AUTH_CONFIG"])


async def test_change_reaches_the_gateway_and_only_what_it_goes_by_restarts_it(cloud: Harness) -> None:
    ref = (await make(cloud))["ref"]
    path = f"/v1/projects/{ref}/config/auth"
    (first,) = cloud.plane.gateways.values()
    kept = (await cloud.client.patch(path, json={"rate_limit_web3": 31, "smtp_pass": "to-be-hidden"})).json()
    assert kept["rate_limit_web3"] == 31
    assert len(kept["smtp_pass"]) == 64
    assert "to-be-hidden" not in str(await get(cloud, path))
    await cloud.until(lambda: cloud.conductor.workers.is_idle)
    assert list(cloud.plane.gateways.values()) == [first], "nothing that it goes by has changed"
    await cloud.client.patch(path, json={"jwt_exp": 60, "disable_signup": True, "security_sb_forwarded_for_enabled": True})
    await cloud.until(lambda: any(followed(found)["jwt_exp"] == 60 for found in cloud.plane.gateways.values()))
    (gateway,) = cloud.plane.gateways.values()
    assert followed(gateway)["disable_signup"] is True
    assert followed(gateway)["security_sb_forwarded_for_enabled"] is True
    whole = await get(cloud, path)
    assert (whole["jwt_exp"], whole["rate_limit_web3"]) == (60, 31), "a change is a change, not a replacement"
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


async def test_a_hook_is_a_function_of_the_projects_database(cloud: Harness) -> None:
    """One over HTTP would need somebody to answer it; a gateway that cannot start would be a poor way to say so."""
    path = f"/v1/projects/{(await make(cloud))['ref']}/config/auth"
    hook = {"hook_custom_access_token_enabled": True, "hook_custom_access_token_uri": "https://example.com/hook"}
    refused = await cloud.client.patch(path, json=hook)
    assert (refused.status_code, "pg-functions://" in refused.text) == (400, True)
    hook["hook_custom_access_token_uri"] = "pg-functions://postgres/public/hook"
    assert (await cloud.client.patch(path, json=hook)).status_code == 200
    await cloud.until(lambda: any(hook.items() <= followed(found).items() for found in cloud.plane.gateways.values()))
