"""Second factors (TOTP), as supabase/auth at commit bc32168e behaves."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import httpx
import pytest

from infra.localcloud.supabase_api import totp
from tests.localcloud.supabase_api.client import PASSWORD, Client, code_of

pytestmark = pytest.mark.anyio


async def ask(client: Client, token: str, path: str, body: Any = None, method: str = "POST") -> httpx.Response:
    return await client.http.request(method, f"/auth/v1{path}", json=body, headers={"authorization": f"Bearer {token}"})


async def enrolled(client: Client, token: str, name: str = "phone") -> dict[str, Any]:
    answer = await ask(client, token, "/factors", {"factor_type": "totp", "friendly_name": name})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def raised(client: Client, token: str, factor: dict[str, Any]) -> httpx.Response:
    challenge = (await ask(client, token, f"/factors/{factor['id']}/challenge")).json()
    code = totp.code_at(factor["totp"]["secret"], int(time.time()) // totp.STEP_S)
    return await ask(client, token, f"/factors/{factor['id']}/verify", {"challenge_id": challenge["id"], "code": code})


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    return claims


async def test_second_factor_raises_the_session_and_ends_weaker_ones(client: Client):
    session = await client.signed_up("ada@example.com")
    other = (await client.login("ada@example.com")).json()
    factor = await enrolled(client, session["access_token"])
    assert factor["totp"]["qr_code"].startswith("<?xml")
    assert factor["totp"]["uri"].startswith("otpauth://totp/localhost:3000:ada@example.com?algorithm=SHA1&digits=6")
    answer = await raised(client, session["access_token"], factor)
    token = answer.json()["access_token"]
    claims = claims_of(token)
    assert (claims["aal"], [one["method"] for one in claims["amr"]]) == ("aal2", ["totp", "password"])
    assert code_of(await client.user(other["access_token"])) == "session_not_found"
    user = (await client.user(token)).json()
    assert [(one["status"], one["friendly_name"]) for one in user["factors"]] == [("verified", "phone")]
    again = (await client.refresh(answer.json()["refresh_token"])).json()
    assert claims_of(again["access_token"])["aal"] == "aal2"


async def test_session_without_the_second_factor_may_not_change_what_matters(client: Client):
    session = await client.signed_up("ada@example.com")
    factor = await enrolled(client, session["access_token"])
    await raised(client, session["access_token"], factor)
    weak = (await client.login("ada@example.com")).json()["access_token"]
    refused = await client.put_user(weak, password="another password")
    assert (refused.status_code, code_of(refused)) == (401, "insufficient_aal")
    assert (await client.put_user(weak, data={"a": 1})).status_code == 200
    refused = await ask(client, weak, "/factors", {"factor_type": "totp", "friendly_name": "tablet"})
    assert (refused.status_code, code_of(refused)) == (403, "insufficient_aal")
    refused = await ask(client, weak, f"/factors/{factor['id']}", method="DELETE")
    assert (refused.status_code, code_of(refused)) == (422, "insufficient_aal")


async def test_challenge_is_answered_once_and_rightly(client: Client):
    token = (await client.signed_up())["access_token"]
    factor = await enrolled(client, token)
    path = f"/factors/{factor['id']}"
    challenge = (await ask(client, token, f"{path}/challenge")).json()["id"]
    wrong = await ask(client, token, f"{path}/verify", {"challenge_id": challenge, "code": "x"})
    assert (wrong.status_code, code_of(wrong)) == (422, "mfa_verification_failed")
    empty = await ask(client, token, f"{path}/verify", {"challenge_id": challenge})
    assert (empty.status_code, code_of(empty)) == (400, "validation_failed")
    code = totp.code_at(factor["totp"]["secret"], int(time.time()) // totp.STEP_S)
    answer = await ask(client, token, f"{path}/verify", {"challenge_id": challenge, "code": code})
    token = answer.json()["access_token"]
    replayed = await ask(client, token, f"{path}/verify", {"challenge_id": challenge, "code": code})
    assert (replayed.status_code, code_of(replayed)) == (422, "mfa_ip_address_mismatch")
    await client.sql("update auth.mfa_challenges set verified_at = null, created_at = now() - interval '301 seconds'")
    late = await ask(client, token, f"{path}/verify", {"challenge_id": challenge, "code": code})
    assert (late.status_code, code_of(late)) == (422, "mfa_challenge_expired")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, "validation_failed"),
        ({"factor_type": "phone", "phone": "1"}, 422, "mfa_phone_enroll_not_enabled"),
        ({"factor_type": "webauthn"}, 422, "mfa_webauthn_enroll_not_enabled"),
        ({"factor_type": "totp", "friendly_name": "phone"}, 422, "mfa_factor_name_conflict"),
    ],
)
async def test_wrong_enrolment_is_refused(client: Client, body: dict[str, Any], status: int, code: str):
    token = (await client.signed_up())["access_token"]
    await enrolled(client, token, "phone")
    refused = await ask(client, token, "/factors", body)
    assert (refused.status_code, code_of(refused)) == (status, code)


async def test_factor_of_somebody_else_is_not_there(client: Client):
    token, stranger = (await client.signed_up())["access_token"], (await client.signed_up())["access_token"]
    factor = await enrolled(client, token)
    refused = await ask(client, stranger, f"/factors/{factor['id']}/challenge")
    assert (refused.status_code, code_of(refused)) == (404, "mfa_factor_not_found")
    assert code_of(await ask(client, token, "/factors/x/challenge")) == "validation_failed"


async def test_removed_factor_takes_the_session_back_down(client: Client):
    session = await client.signed_up("ada@example.com")
    factor = await enrolled(client, session["access_token"])
    token = (await raised(client, session["access_token"], factor)).json()
    gone = await ask(client, token["access_token"], f"/factors/{factor['id']}", method="DELETE")
    assert gone.json() == {"id": factor["id"]}
    assert claims_of((await client.refresh(token["refresh_token"])).json()["access_token"])["aal"] == "aal1"


async def test_administrator_sees_renames_and_removes_factors(client: Client):
    session = await client.signed_up()
    factor = await enrolled(client, session["access_token"])
    path = f"/{session['user']['id']}/factors"
    listed = (await client.admin("GET", path)).json()
    assert [(one["id"], one["status"], one["phone"]) for one in listed] == [(factor["id"], "unverified", "")]
    renamed = (await client.admin("PUT", f"{path}/{factor['id']}", {"friendly_name": "tablet"})).json()
    assert renamed["friendly_name"] == "tablet"
    assert (await client.admin("DELETE", f"{path}/{factor['id']}")).json()["id"] == factor["id"]
    assert (await client.admin("GET", path)).json() == []


async def test_password_is_needed_still(client: Client):
    """A verified factor is the second one: it opens nothing by itself."""
    session = await client.signed_up("ada@example.com")
    await raised(client, session["access_token"], await enrolled(client, session["access_token"]))
    assert code_of(await client.login("ada@example.com", "wrong password")) == "invalid_credentials"
    assert (await client.login("ada@example.com", PASSWORD)).status_code == 200
