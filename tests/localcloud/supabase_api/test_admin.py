"""What the service key may do to users."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from uuid import uuid4

import bcrypt
import pytest

from infra.localcloud.supabase_api import durations
from tests.localcloud.supabase_api.client import PASSWORD, Client, code_of

asynchronous = pytest.mark.anyio
HASH = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()


@asynchronous
async def test_only_the_service_key_is_an_administrator(client: Client) -> None:
    user = (await client.signed_up())["access_token"]
    for bearer in (user, client.settings.anon_key):
        answer = await client.http.get("/auth/v1/admin/users", headers={"authorization": f"Bearer {bearer}"})
        assert (answer.status_code, code_of(answer)) == (403, "not_admin")
    assert (await client.http.get("/auth/v1/admin/users")).status_code == 401


@asynchronous
async def test_a_user_is_imported_with_their_hash(client: Client) -> None:
    user_id = str(uuid4())
    created = await client.admin(
        "POST",
        body={
            "id": user_id,
            "email": "Ada@example.com",
            "password_hash": HASH,
            "email_confirm": True,
            "user_metadata": {"name": "Ada"},
            "app_metadata": {"plan": "pro"},
        },
    )
    assert created.status_code == 200
    user = created.json()
    assert user["id"] == user_id
    assert user["app_metadata"] == {"provider": "email", "providers": ["email"], "plan": "pro"}
    assert user["user_metadata"] == {"name": "Ada", "email_verified": True}
    assert (await client.login("ada@example.com")).status_code == 200


@asynchronous
@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, "validation_failed"),
        ({"email": "a@example.com", "password": "p", "password_hash": HASH}, 400, "validation_failed"),
        ({"email": "a@example.com", "password_hash": "md5"}, 500, "unexpected_failure"),
        ({"email": "a@example.com", "password_hash": HASH.replace("$04$", "$31$")}, 500, "unexpected_failure"),
        ({"email": "a@example.com", "id": "1"}, 400, "validation_failed"),
        ({"email": "a@example.com", "id": "00000000-0000-0000-0000-000000000000"}, 400, "validation_failed"),
        ({"email": "a@example.com", "ban_duration": "forever"}, 400, "validation_failed"),
        ({"email": "taken@example.com"}, 422, "email_exists"),
        ({"phone": "4930123456"}, 422, "phone_exists"),
    ],
)
async def test_a_bad_user_is_refused(client: Client, body: object, status: int, code: str) -> None:
    await client.admin("POST", body={"email": "taken@example.com", "phone": "4930123456"})
    answer = await client.admin("POST", body=body)
    assert (answer.status_code, code_of(answer)) == (status, code)


@asynchronous
async def test_users_are_listed_by_page(client: Client) -> None:
    await asyncio.gather(*(client.admin("POST", body={"email": f"u{i}@example.com", "password_hash": HASH}) for i in range(5)))
    first = await client.admin("GET", page=1, per_page=2)
    assert first.headers["x-total-count"] == "5"
    assert first.headers["link"] == ('</admin/users?page=2&per_page=2>; rel="next", </admin/users?page=3&per_page=2>; rel="last"')
    pages = [(await client.admin("GET", page=page, per_page=2)).json()["users"] for page in (1, 2, 3, 4)]
    assert [len(page) for page in pages] == [2, 2, 1, 0]
    assert len({user["id"] for page in pages for user in page}) == 5
    assert [u["email"] for u in (await client.admin("GET", filter="u3")).json()["users"]] == ["u3@example.com"]
    assert code_of(await client.admin("GET", page="x")) == "validation_failed"


@asynchronous
async def test_a_user_is_read_changed_and_deleted(client: Client) -> None:
    session = await client.signed_up("ada@example.com")
    path = f"/{session['user']['id']}"
    assert (await client.admin("GET", path)).json()["email"] == "ada@example.com"
    body = {"email": "lovelace@example.com", "email_confirm": True, "password": "another one", "app_metadata": {"plan": "pro"}}
    changed = (await client.admin("PUT", path, body)).json()
    assert changed["email"] == changed["identities"][0]["email"] == "lovelace@example.com"
    assert changed["app_metadata"]["plan"] == "pro"
    assert code_of(await client.user(session["access_token"])) == "session_not_found", "a new password ends all sessions"
    assert (await client.login("lovelace@example.com", "another one")).status_code == 200
    assert (await client.admin("DELETE", path)).json() == {}
    assert code_of(await client.admin("GET", path)) == "user_not_found"
    assert (await client.admin("GET", "/42")).status_code == 404


@asynchronous
async def test_a_taken_address_cannot_be_given_to_another_user(client: Client) -> None:
    await client.signed_up("ada@example.com")
    other = await client.signed_up()
    answer = await client.admin("PUT", f"/{other['user']['id']}", {"email": "ada@example.com"})
    assert (answer.status_code, answer.json()["code"]) == (500, "23505")  # PostgreSQL's own word, as GoTrue passes it on


@asynchronous
async def test_a_soft_deleted_user_frees_the_address_and_loses_the_sessions(client: Client) -> None:
    session = await client.signed_up("ada@example.com")
    await client.admin("DELETE", f"/{session['user']['id']}", {"should_soft_delete": True})
    assert code_of(await client.user(session["access_token"])) == "session_not_found"
    assert (await client.admin("GET", f"/{session['user']['id']}")).json()["deleted_at"]
    await client.signed_up("ada@example.com")


@pytest.mark.parametrize(
    ("text", "seconds"), [("24h", 86400), ("1h30m", 5400), ("-1.5h", -5400), ("0", 0), (".5s", 0.5), ("300ms", 0.3)]
)
def test_go_durations(text: str, seconds: float) -> None:
    assert durations.parse(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "h", "1", "1 h", "1d", "1h-1m", "9" * 30 + "h", "1e3s"])
def test_what_go_refuses_as_a_duration(text: str) -> None:
    with pytest.raises(durations.DurationInvalid):
        durations.parse(text)


@asynchronous
async def test_a_thousand_users_are_seeded_in_seconds(client: Client) -> None:
    """The load gate seeds through this door before every run."""
    slots = asyncio.Semaphore(16)

    async def create(number: int) -> int:
        async with slots:
            body = {"email": f"u{number}@example.com", "password_hash": HASH, "email_confirm": True}
            return (await client.admin("POST", body=body)).status_code

    started = time.perf_counter()
    assert set(await asyncio.gather(*map(create, range(1000)))) == {200}
    assert time.perf_counter() - started < 20  # about 2 s alone; the bound is for a busy machine
