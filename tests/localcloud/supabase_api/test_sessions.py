"""Refresh tokens, log-out, bans and passwords: when a session lives and when it ends."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from infra.localcloud.supabase_api.refresh import EndSession, Exchange, HandOut, RefreshToken, judge
from tests.localcloud.supabase_api.client import PASSWORD, Client, code_of

NOW = datetime(2026, 11, 24, tzinfo=UTC)
asynchronous = pytest.mark.anyio


def token(name: str, parent: str = "", *, revoked_s_ago: float | None = None) -> RefreshToken:
    updated = NOW - timedelta(seconds=revoked_s_ago or 0)
    return RefreshToken(1, name, parent, revoked_s_ago is not None, updated)


@pytest.mark.parametrize(
    ("presented", "active", "verdict"),
    [
        (token("a"), token("a"), Exchange()),
        (token("a", revoked_s_ago=3600), token("b", "a"), HandOut("b")),
        (token("a", revoked_s_ago=9), token("c", "b"), Exchange()),
        (token("a", revoked_s_ago=10), token("c", "b"), Exchange()),
        (token("a", revoked_s_ago=10.001), token("c", "b"), EndSession()),
        (token("a", revoked_s_ago=60), None, EndSession()),
    ],
)
def test_rules_of_refresh(presented: RefreshToken, active: RefreshToken | None, verdict: object) -> None:
    assert judge(presented, active, NOW) == verdict


@asynchronous
async def test_a_refresh_rotates_the_token_and_keeps_the_session(client: Client) -> None:
    first = await client.signed_up()
    answer = await client.refresh(first["refresh_token"])
    assert answer.status_code == 200
    second = answer.json()
    assert second["refresh_token"] != first["refresh_token"]
    assert second["user"]["id"] == first["user"]["id"]
    assert (await client.user(second["access_token"])).status_code == 200
    assert await client.sql("select count(*) from auth.sessions") == 1


@asynchronous
async def test_a_lost_answer_can_be_asked_for_again(client: Client) -> None:
    first = await client.signed_up()
    second = (await client.refresh(first["refresh_token"])).json()
    again = (await client.refresh(first["refresh_token"])).json()
    assert again["refresh_token"] == second["refresh_token"]


@asynchronous
async def test_concurrent_refreshes_end_with_one_active_token(client: Client) -> None:
    """Several tabs wake up at once: all of them must be served, with the same token."""
    first = await client.signed_up()
    answers = await asyncio.gather(*(client.refresh(first["refresh_token"]) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1
    assert await client.sql("select count(*) from auth.refresh_tokens where not revoked") == 1


@asynchronous
async def test_a_replayed_token_ends_the_session(client: Client) -> None:
    first = await client.signed_up()
    second = (await client.refresh(first["refresh_token"])).json()
    third = (await client.refresh(second["refresh_token"])).json()
    await client.sql("update auth.refresh_tokens set updated_at = updated_at - interval '11 seconds'")
    assert code_of(await client.refresh(first["refresh_token"])) == "refresh_token_already_used"
    assert code_of(await client.user(third["access_token"])) == "session_not_found"
    assert code_of(await client.refresh(third["refresh_token"])) == "refresh_token_not_found"


@asynchronous
async def test_unknown_and_missing_refresh_tokens(client: Client) -> None:
    assert code_of(await client.refresh("unknown")) == "refresh_token_not_found"
    missing = await client.refresh("")
    assert missing.status_code == 400
    assert missing.json() == {
        "code": 400,
        "error_code": "validation_failed",
        "msg": "Refresh token is not valid",
    }


@asynchronous
@pytest.mark.parametrize(("scope", "mine", "other"), [("global", 403, 403), ("local", 403, 200), ("others", 200, 403)])
async def test_log_out_ends_the_sessions_of_its_scope(client: Client, scope: str, mine: int, other: int) -> None:
    here = await client.signed_up("ada@example.com")
    there = (await client.login("ada@example.com")).json()
    bystander = await client.signed_up()
    answer = await client.logout(here["access_token"], scope)
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await client.user(here["access_token"])).status_code == mine
    assert (await client.user(there["access_token"])).status_code == other
    assert (await client.user(bystander["access_token"])).status_code == 200


@asynchronous
async def test_log_out_of_an_unknown_scope_is_refused(client: Client) -> None:
    answer = await client.logout((await client.signed_up())["access_token"], "everything")
    assert (answer.status_code, answer.json()["msg"]) == (400, 'Unsupported logout scope "everything"')


@asynchronous
async def test_after_log_out_the_session_is_not_found(client: Client) -> None:
    session = await client.signed_up()
    await client.logout(session["access_token"])
    answer = await client.user(session["access_token"])
    assert answer.status_code == 403
    assert answer.headers["x-sb-error-code"] == "session_not_found"
    assert answer.json() == {
        "code": 403,
        "error_code": "session_not_found",
        "msg": "Session from session_id claim in JWT does not exist",
    }


@asynchronous
async def test_a_ban_stops_every_door_and_can_be_lifted(client: Client) -> None:
    session = await client.signed_up("ada@example.com")
    path = f"/{session['user']['id']}"
    banned = await client.admin("PUT", path, {"ban_duration": "24h"})
    assert banned.json()["banned_until"]
    assert code_of(await client.user(session["access_token"])) == "user_banned"
    assert code_of(await client.login("ada@example.com")) == "user_banned"
    assert code_of(await client.refresh(session["refresh_token"])) == "user_banned"
    await client.admin("PUT", path, {"ban_duration": "none"})
    assert (await client.user(session["access_token"])).status_code == 200


@asynchronous
async def test_a_new_password_ends_the_other_sessions(client: Client) -> None:
    here = await client.signed_up("ada@example.com")
    there = (await client.login("ada@example.com")).json()
    assert code_of(await client.put_user(here["access_token"], password=PASSWORD)) == "same_password"
    assert (await client.put_user(here["access_token"], password="another one")).status_code == 200
    assert (await client.user(here["access_token"])).status_code == 200
    assert code_of(await client.user(there["access_token"])) == "session_not_found"
    assert (await client.login("ada@example.com")).status_code == 400
    assert (await client.login("ada@example.com", "another one")).status_code == 200


@asynchronous
async def test_metadata_is_merged_and_null_removes(client: Client) -> None:
    session = await client.signed_up(name="Ada", city="London")
    answer = await client.put_user(session["access_token"], data={"city": None, "age": 36})
    metadata = answer.json()["user_metadata"]
    assert (metadata["name"], metadata["age"]) == ("Ada", 36)
    assert "city" not in metadata


@asynchronous
async def test_a_user_cannot_raise_their_own_rights(client: Client) -> None:
    session = await client.signed_up()
    assert code_of(await client.put_user(session["access_token"], app_metadata={"role": "admin"})) == "not_admin"


@asynchronous
async def test_the_audience_of_the_request_must_be_the_tokens(client: Client) -> None:
    answer = await client.user((await client.signed_up())["access_token"], **{"x-jwt-aud": "other"})
    assert (answer.status_code, code_of(answer)) == (400, "validation_failed")


@asynchronous
async def test_a_deleted_user_is_gone_at_once(client: Client) -> None:
    session = await client.signed_up()
    await client.admin("DELETE", f"/{session['user']['id']}")
    assert code_of(await client.user(session["access_token"])) == "user_not_found"
    assert code_of(await client.refresh(session["refresh_token"])) == "refresh_token_not_found"
