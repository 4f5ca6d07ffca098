"""What the auth configuration changes in the stand-in's behaviour, each setting for itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from infra.localcloud.supabase_api.auth_config import AuthConfig
from infra.localcloud.supabase_api.settings import Settings
from tests.localcloud.supabase_api.client import PASSWORD, code_of
from tests.localcloud.supabase_api.conftest import running

pytestmark = pytest.mark.anyio


async def test_sign_ups_can_be_closed_and_log_ins_go_on(settings: Settings) -> None:
    async with running(settings) as client:
        await client.signed_up("ada@example.com")
    async with running(replace(settings, auth=AuthConfig(disable_signup=True))) as client:
        answer = await client.http.post("/auth/v1/signup", json={"email": "eve@example.com", "password": PASSWORD})
        assert (answer.status_code, code_of(answer)) == (422, "signup_disabled")
        assert (await client.http.get("/auth/v1/settings")).json()["disable_signup"] is True
        assert (await client.login("ada@example.com")).status_code == 200


async def test_short_passwords_are_refused_by_the_projects_own_measure(settings: Settings) -> None:
    async with running(replace(settings, auth=AuthConfig(password_min_length=30))) as client:
        answer = await client.http.post("/auth/v1/signup", json={"email": "ada@example.com", "password": PASSWORD})
        assert (answer.status_code, code_of(answer)) == (422, "weak_password")
        assert "at least 30 characters" in answer.json()["msg" if "msg" in answer.json() else "message"]


async def test_reuse_interval_of_nothing_ends_a_session_at_the_second_use(settings: Settings) -> None:
    """The newest token's parent is handed out for ever; its grandparent only within the interval."""
    async with running(replace(settings, auth=AuthConfig(security_refresh_token_reuse_interval=0))) as client:
        first = (await client.signed_up())["refresh_token"]
        second = (await client.refresh(first)).json()["refresh_token"]
        assert (await client.refresh(second)).status_code == 200
        assert code_of(await client.refresh(first)) == "refresh_token_already_used"


@pytest.mark.parametrize(("is_on", "is_secret_key", "expected"), [(True, True, "198.51.100.7"), (True, False, "203.0.113.9"),
                                                                  (False, True, "203.0.113.9")])  # fmt: skip
async def test_a_server_names_its_clients_address_with_a_secret_key_only(
    settings: Settings, is_on: bool, is_secret_key: bool, expected: str
) -> None:
    """Anybody has the anon key: who could name any address with it would have as many log-in tries as there are addresses."""
    async with running(replace(settings, auth=AuthConfig(security_sb_forwarded_for_enabled=is_on))) as client:
        headers = {"sb-forwarded-for": "198.51.100.7", "x-forwarded-for": "203.0.113.9"}
        if is_secret_key:
            headers["apikey"] = settings.service_role_key
        body = {"email": "ada@example.com", "password": PASSWORD}
        answer = await client.http.post("/auth/v1/signup", json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        assert str(await client.sql("select host(ip) from auth.sessions")) == expected
