"""The edge: API keys, error shapes by API version, limits, and what is public."""

from __future__ import annotations

from dataclasses import replace

import pytest

from infra.localcloud.supabase_api.errors import closest_version
from infra.localcloud.supabase_api.settings import Settings
from tests.localcloud.supabase_api.client import Client
from tests.localcloud.supabase_api.conftest import running

asynchronous = pytest.mark.anyio


@asynchronous
async def test_a_request_without_key_is_answered_as_the_gateway_does(client: Client) -> None:
    answer = await client.http.get("/auth/v1/settings", headers={"apikey": ""})
    assert answer.status_code == 401
    assert answer.json() == {
        "message": "No API key found in request",
        "hint": "No `apikey` request header or url param was found.",
    }


@asynchronous
async def test_a_wrong_key_is_refused_and_a_right_one_may_be_a_parameter(client: Client) -> None:
    wrong = await client.http.get("/auth/v1/settings", headers={"apikey": "nonsense"})
    assert (wrong.status_code, wrong.json()["message"]) == (401, "Invalid API key")
    del client.http.headers["apikey"]
    right = await client.http.get("/auth/v1/settings", params={"apikey": client.settings.anon_key})
    assert right.json()["external"]["email"] is True


@asynchronous
async def test_errors_take_the_shape_of_the_version_asked_for(client: Client) -> None:
    old = await client.http.get("/auth/v1/user")
    new = await client.http.get("/auth/v1/user", headers={"x-supabase-api-version": "2024-01-01"})
    message = "This endpoint requires a valid Bearer token"
    assert old.status_code == new.status_code == 401
    assert old.json() == {"code": 401, "error_code": "no_authorization", "msg": message}
    assert new.json() == {"code": "no_authorization", "message": message}
    assert old.headers["x-sb-error-code"] == new.headers["x-sb-error-code"] == "no_authorization"
    assert new.headers["x-supabase-api-version"] == "2024-01-01"
    assert "x-supabase-api-version" not in old.headers


@pytest.mark.parametrize(
    ("asked", "served"),
    [
        ("", ""),
        ("2023-12-31", ""),
        ("2024-01-01", "2024-01-01"),
        ("2026-11-24", "2024-01-01"),
        ("20240101", ""),
        ("2024-W01-1", ""),
        ("tomorrow", ""),
    ],
)
def test_the_served_version_is_the_newest_not_after_the_asked_one(asked: str, served: str) -> None:
    assert closest_version(asked) == served


@asynchronous
async def test_the_reasons_of_a_weak_password_are_told(client: Client) -> None:
    answer = await client.http.post(
        "/auth/v1/signup",
        json={"email": "a@example.com", "password": "short"},
        headers={"x-supabase-api-version": "2024-01-01"},
    )
    assert answer.status_code == 422
    assert answer.json() == {
        "code": "weak_password",
        "message": "Password should be at least 6 characters.",
        "weak_password": {"reasons": ["length"]},
    }


@asynchronous
async def test_a_body_of_more_than_a_megabyte_is_refused(client: Client) -> None:
    answer = await client.http.post("/auth/v1/signup", content=b"x" * (1 << 20) + b"x")
    assert (answer.status_code, answer.json()["error_code"]) == (413, "request_entity_too_large")


@asynchronous
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff"])
async def test_a_body_that_is_not_an_object_is_refused(client: Client, body: bytes) -> None:
    answer = await client.http.post("/auth/v1/token?grant_type=password", content=body)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "bad_json")


@asynchronous
async def test_health_and_unknown_paths(client: Client) -> None:
    assert (await client.http.get("/auth/v1/health")).json()["name"] == "GoTrue"
    unknown = await client.http.get("/auth/v1/nothing")
    assert (unknown.status_code, unknown.text) == (404, "404 page not found\n")
    assert (await client.http.get("/auth/v1/token")).status_code == 405


@asynchronous
async def test_the_discovery_document_names_the_issuer(client: Client) -> None:
    answer = (await client.http.get("/auth/v1/.well-known/openid-configuration")).json()
    assert answer["issuer"] == client.settings.issuer
    assert answer["jwks_uri"] == f"{client.settings.issuer}/.well-known/jwks.json"


@asynchronous
async def test_a_preflight_is_answered_without_a_key(client: Client) -> None:
    headers = {"origin": "https://app.example", "access-control-request-method": "POST", "apikey": ""}
    assert (await client.http.options("/auth/v1/token", headers=headers)).status_code == 200


@asynchronous
async def test_a_request_that_takes_too_long_is_ended(settings: Settings) -> None:
    """bcrypt at cost 12 takes some 200 ms; a client must hear of the limit in GoTrue's words."""
    async with running(replace(settings, bcrypt_cost=12, request_timeout_s=0.05)) as client:
        answer = await client.http.post("/auth/v1/signup", json={"email": "a@example.com", "password": "a long password"})
    assert (answer.status_code, answer.json()["error_code"]) == (504, "request_timeout")


@asynchronous
async def test_a_lost_database_is_our_fault_and_not_the_callers(client: Client) -> None:
    """500, never 401 or 403: a client that is told its token is bad logs its user out."""
    session = await client.signed_up()
    await client.sql("drop schema auth cascade")
    answer = await client.user(session["access_token"])
    assert (answer.status_code, answer.json()["error_code"]) == (500, "unexpected_failure")
    assert "auth.users" not in answer.text
