"""The project's own function over its access tokens. Statuses and bodies were observed on supabase/auth at commit bc32168e."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from joserfc import jws

from infra.localcloud.supabase_api.auth_config import AuthConfig
from infra.localcloud.supabase_api.hooks import UNREADABLE
from infra.localcloud.supabase_api.settings import Settings
from tests.localcloud.supabase_api.client import Client
from tests.localcloud.supabase_api.conftest import running

pytestmark = pytest.mark.anyio
ADDRESS = "pg-functions://postgres/public/hook"
SEEN = "jsonb_build_object('role_of_mine', 'editor', 'how', event->'authentication_method', 'whose', event->'user_id')"
SCHEMA = "output claims do not conform to the expected schema: \n"


@pytest.fixture
async def hooked(settings: Settings) -> AsyncIterator[Client]:
    auth = AuthConfig(
        hook_custom_access_token_enabled=True, hook_custom_access_token_uri=ADDRESS, external_anonymous_users_enabled=True
    )
    async with running(dataclasses.replace(settings, auth=auth)) as client:
        yield client


async def define(client: Client, body: str) -> None:
    await client.sql(f"create or replace function public.hook(event jsonb) returns jsonb language sql as $$ select {body} $$")


def claims_of(answer: dict[str, Any]) -> dict[str, Any]:
    claims: dict[str, Any] = msgspec.json.decode(jws.extract_compact(answer["access_token"].encode()).payload)
    return claims


async def test_a_function_adds_claims_to_every_kind_of_session(hooked: Client) -> None:
    await define(hooked, f"jsonb_build_object('claims', (event->'claims') || {SEEN})")
    signed_up = await hooked.signed_up("ada@example.com")
    refreshed = (await hooked.refresh(signed_up["refresh_token"])).json()
    anonymous = (await hooked.http.post("/auth/v1/signup", json={})).json()
    told = [(claims["role_of_mine"], claims["how"]) for claims in map(claims_of, (signed_up, refreshed, anonymous))]
    assert told == [("editor", "password"), ("editor", "token_refresh"), ("editor", "anonymous")]
    assert claims_of(signed_up)["whose"] == signed_up["user"]["id"]
    assert (await hooked.user(refreshed["access_token"])).status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "code", "message", "is_coded"),
    [
        ("""'{"error": {"http_code": 403, "message": "not you"}}'::jsonb""", 403, "unknown", "not you", False),
        ("""'{"error": {"message": "no"}}'::jsonb""", 500, "unexpected_failure", "no", False),
        ("'{}'::jsonb", 500, "unexpected_failure", "output claims field is missing", False),
        (
            "jsonb_build_object('claims', (event->'claims') - 'email')",
            500,
            "unexpected_failure",
            f"{SCHEMA}- (root): email is required\n",
            False,
        ),
        (
            """jsonb_set(event, '{claims,exp}', '"soon"')""",
            500,
            "unexpected_failure",
            f"{SCHEMA}- exp: Invalid type. Expected: integer, given: string\n",
            False,
        ),
        ("null::jsonb", 500, "unexpected_failure", f"{SCHEMA}- (root): Invalid type. Expected: object, given: null\n", False),
        ("""'{"claims": 5}'::jsonb""", 500, "unexpected_failure", UNREADABLE, True),
        ("""'{"error": {"http_code": "x", "message": "no"}}'::jsonb""", 500, "unexpected_failure", UNREADABLE, True),
        ("""'{"error": {"http_code": 9999, "message": "no"}}'::jsonb""", 500, "unexpected_failure", "no", False),
        ("(1/0)::text::jsonb", 500, "unexpected_failure", f"Error running hook URI: {ADDRESS}", True),
    ],
)
async def test_a_function_that_refuses_or_breaks_undoes_the_session(
    hooked: Client, body: str, status: int, code: str, message: str, is_coded: bool
) -> None:
    await define(hooked, "event")
    await hooked.signed_up("ada@example.com")
    await define(hooked, body)
    refused = await hooked.login("ada@example.com")
    assert (refused.status_code, refused.json()) == (status, {"code": status, "error_code": code, "msg": message})
    assert ("x-sb-error-code" in refused.headers) == is_coded
    anonymous = await hooked.http.post("/auth/v1/signup", json={})
    assert (anonymous.status_code, anonymous.json()["msg"]) == (500, "Database error creating anonymous user")
    assert await hooked.sql("select count(*) from auth.sessions") == 1
    assert await hooked.sql("select count(*) from auth.users") == 1


async def test_a_function_of_text_that_answers_no_json_is_the_projects_mistake(hooked: Client) -> None:
    await hooked.sql("create or replace function public.hook(event jsonb) returns text language sql as $$ select 'yes' $$")
    refused = await hooked.http.post("/auth/v1/signup", json={"email": "ada@example.com", "password": "correct horse battery"})
    assert (refused.status_code, refused.json()["msg"]) == (500, UNREADABLE)
