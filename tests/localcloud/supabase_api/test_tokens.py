"""Signing up, logging in, and what an access token says."""

from __future__ import annotations

import time

import msgspec
import pytest
from joserfc import jws, jwt
from joserfc.jwk import ECKey, KeySet, OctKey

from tests.localcloud.supabase_api.client import PASSWORD, Client, code_of

pytestmark = pytest.mark.anyio


async def test_a_sign_up_answers_with_tokens_and_the_user(client: Client) -> None:
    answer = await client.signed_up("Ada@Example.com", display_name="Ada")
    assert set(answer) == {"access_token", "token_type", "expires_in", "expires_at", "refresh_token", "user"}
    assert answer["token_type"] == "bearer"
    assert answer["expires_in"] == 3600
    user = answer["user"]
    assert user["email"] == "ada@example.com"
    assert user["phone"] == ""
    assert user["app_metadata"] == {"provider": "email", "providers": ["email"]}
    assert user["user_metadata"]["display_name"] == "Ada"
    assert user["user_metadata"]["email_verified"] is True
    assert user["identities"][0]["provider"] == "email"
    assert user["identities"][0]["identity_data"]["sub"] == user["id"]
    assert user["email_confirmed_at"].endswith("Z")
    assert "encrypted_password" not in user
    assert "banned_until" not in user


async def test_the_access_token_verifies_against_the_published_keys(client: Client) -> None:
    """The service trusts these claims; a missing one would only show in production."""
    answer = await client.signed_up()
    published = await client.http.get("/auth/v1/.well-known/jwks.json", headers={"apikey": ""})
    assert published.headers["cache-control"] == "public, max-age=600"
    assert all("d" not in key and key["kty"] == "EC" for key in published.json()["keys"])
    token = jwt.decode(answer["access_token"], KeySet.import_key_set(published.json()), ["ES256"])
    assert token.header["kid"] == published.json()["keys"][0]["kid"]
    claims = token.claims
    assert claims["iss"] == "http://127.0.0.1:8000/auth/v1"
    assert claims["sub"] == answer["user"]["id"]
    assert claims["aud"] == claims["role"] == "authenticated"
    assert claims["exp"] == answer["expires_at"] == claims["iat"] + 3600
    assert claims["aal"] == "aal1"
    assert claims["amr"][0]["method"] == "password"
    assert claims["is_anonymous"] is False
    assert claims["session_id"]
    assert claims["app_metadata"] == answer["user"]["app_metadata"]


async def test_the_signing_key_outlives_a_restart(client: Client) -> None:
    from tests.localcloud.supabase_api.conftest import running

    answer = await client.signed_up()
    assert client.settings.signing_key_file.stat().st_mode & 0o777 == 0o600
    async with running(client.settings) as restarted:
        assert (await restarted.user(answer["access_token"])).status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"password": PASSWORD}, 422, "anonymous_provider_disabled"),
        ({"email": "a@example.com"}, 400, "validation_failed"),
        ({"email": "a@example.com", "password": "short"}, 422, "weak_password"),
        ({"email": "a@example.com", "password": "x" * 73}, 400, "validation_failed"),
        ({"email": "no address", "password": PASSWORD}, 400, "validation_failed"),
        ({"email": "a" * 256 + "@example.com", "password": PASSWORD}, 400, "validation_failed"),
        ({"email": "a@example.com", "phone": "49301234", "password": PASSWORD}, 400, "validation_failed"),
        ({"phone": "49301234", "password": PASSWORD}, 400, "phone_provider_disabled"),
        ({"email": ["a@example.com"], "password": PASSWORD}, 400, "bad_json"),
        ({"email": "a@example.com", "password": PASSWORD, "data": {"name": "nul\x00"}}, 400, "validation_failed"),
    ],
)
async def test_a_bad_sign_up_is_refused(client: Client, body: object, status: int, code: str) -> None:
    answer = await client.http.post("/auth/v1/signup", json=body)
    assert (answer.status_code, code_of(answer)) == (status, code)


async def test_an_address_signs_up_once(client: Client) -> None:
    await client.signed_up("ada@example.com")
    answer = await client.http.post("/auth/v1/signup", json={"email": "ADA@example.com", "password": PASSWORD})
    assert (answer.status_code, code_of(answer)) == (422, "user_already_exists")


async def test_login_needs_the_password(client: Client) -> None:
    await client.signed_up("ada@example.com")
    right, wrong, unknown = [
        await client.login("Ada@example.com"),
        await client.login("ada@example.com", "wrong"),
        await client.login("nobody@example.com"),
    ]
    assert right.status_code == 200
    assert wrong.status_code == unknown.status_code == 400
    assert (
        wrong.json() == unknown.json() == {"code": 400, "error_code": "invalid_credentials", "msg": "Invalid login credentials"}
    )


async def test_only_the_first_72_bytes_of_a_password_count_at_login(client: Client) -> None:
    """As with Go's bcrypt; Python's would fail with an exception."""
    await client.http.post("/auth/v1/signup", json={"email": "ada@example.com", "password": "x" * 72})
    assert (await client.login("ada@example.com", "x" * 80)).status_code == 200
    assert (await client.login("ada@example.com", "\x00" * 80)).status_code == 400


@pytest.mark.parametrize(
    ("grant", "code"),
    [("magic", "invalid_credentials"), ("", "invalid_credentials"), ("password", "validation_failed")],
)
async def test_an_unknown_grant_is_refused(client: Client, grant: str, code: str) -> None:
    answer = await client.http.post(f"/auth/v1/token?grant_type={grant}", json={})
    assert (answer.status_code, code_of(answer)) == (400, code)


async def test_an_unconfirmed_address_cannot_log_in(client: Client) -> None:
    await client.admin("POST", body={"email": "ada@example.com", "password": PASSWORD})
    assert code_of(await client.login("ada@example.com")) == "email_not_confirmed"
    again = await client.http.post("/auth/v1/signup", json={"email": "ada@example.com", "password": "another one"})
    assert again.status_code == 422, "a sign-up must not hand out the session of an account it does not own"


async def test_tokens_that_are_not_ours_are_refused(client: Client) -> None:
    """alg confusion, foreign keys and edits: 403 bad_jwt and nothing else."""
    good = (await client.signed_up())["access_token"]
    payload = jws.extract_compact(good.encode()).payload
    claims = msgspec.json.decode(payload)
    public = (await client.http.get("/auth/v1/.well-known/jwks.json")).json()["keys"][0]
    stranger = ECKey.generate_key("P-256")
    head, _, signature = good.split(".")
    expired = {**claims, "exp": int(time.time()) - 1}
    forged = {
        "foreign key": jws.serialize_compact({"alg": "ES256", "kid": public["kid"]}, payload, stranger),
        "unknown kid": jws.serialize_compact({"alg": "ES256", "kid": "other"}, payload, stranger),
        "public key as secret": jws.serialize_compact(
            {"alg": "HS256", "kid": public["kid"]}, payload, OctKey.import_key(msgspec.json.encode(public))
        ),
        "no algorithm": ".".join([_part(b'{"alg":"none"}'), good.split(".")[1], ""]),
        "edited": ".".join([head, _part(payload.replace(b"aal1", b"aal2")), signature]),
        "expired": jwt.encode({"alg": "HS256"}, expired, OctKey.import_key(client.settings.jwt_secret)),
        "not a token": "nothing",
        "empty parts": "..",
        "huge": "a" * 20_000 + ".b.c",
    }
    for name, token in forged.items():
        answer = await client.user(token)
        assert (answer.status_code, code_of(answer)) == (403, "bad_jwt"), name


def _part(data: bytes) -> str:
    from base64 import urlsafe_b64encode

    return urlsafe_b64encode(data).rstrip(b"=").decode()
