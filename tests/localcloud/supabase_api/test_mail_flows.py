"""Codes and links by mail. What is pinned here was observed on supabase/auth at commit bc32168e, told the same story."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from infra.localcloud.supabase_api.app import create_app
from infra.localcloud.supabase_api.auth_config import AuthConfig
from infra.localcloud.supabase_api.mailer import Mail
from infra.localcloud.supabase_api.settings import Settings
from tests.localcloud.supabase_api.client import PASSWORD, Client, code_of

pytestmark = pytest.mark.anyio
SITE = "http://localhost:3000"
VERIFIER = "a-verifier-that-only-the-client-knows-0123456789"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
PKCE = {"code_challenge": CHALLENGE, "code_challenge_method": "s256"}


class Post:
    """What was sent, newest last."""

    def __init__(self) -> None:
        self.sent: list[Mail] = []

    async def send(self, mail: Mail) -> None:
        self.sent.append(mail)

    def to(self, address: str) -> Mail:
        return next(mail for mail in reversed(self.sent) if mail.to == address)


@dataclasses.dataclass
class Story:
    client: Client
    post: Post

    async def ask(self, path: str, body: Any = None, token: str = "", method: str = "POST") -> httpx.Response:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return await self.client.http.request(method, f"/auth/v1{path}", json=body, headers=headers)

    async def follow(self, mail: Mail) -> httpx.Response:
        """As a browser does: without the key that the client library adds."""
        parts = urlsplit(mail.link)
        return await self.client.http.get(f"{parts.path}?{parts.query}", headers={"apikey": ""})


@asynccontextmanager
async def telling(settings: Settings, **config: Any) -> AsyncIterator[Story]:
    post = Post()
    config = {"smtp_max_frequency": 0, "uri_allow_list": f"{SITE}/**", **config}
    app = create_app(dataclasses.replace(settings, auth=AuthConfig(**config)), post)
    async with app.router.lifespan_context(app):
        headers = {"apikey": settings.anon_key}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://project", headers=headers) as http:
            yield Story(Client(http, settings), post)


def fragment_of(answer: httpx.Response) -> dict[str, str]:
    assert answer.status_code == 303
    values = parse_qs(urlsplit(answer.headers["location"]).fragment, keep_blank_values=True)
    return {name: value[0] for name, value in values.items()}


async def test_magic_link_registers_and_signs_in_once(settings: Settings):
    async with telling(settings) as story:
        assert (await story.ask("/otp", {"email": "ada@example.com", "data": {"a": 1}})).json() == {}
        mail = story.post.to("ada@example.com")
        answer = await story.follow(mail)
        given = fragment_of(answer)
        assert given["type"] == "magiclink"
        assert given["sb"] == ""
        user = (await story.client.user(given["access_token"])).json()
        assert (user["email"], user["user_metadata"]["a"]) == ("ada@example.com", 1)
        assert answer.headers["sb-auth-user-id"] == user["id"]
        again = fragment_of(await story.follow(mail))
        assert again["error_code"] == "otp_expired"
        assert again["error"] == "access_denied"


async def test_code_signs_in_and_belongs_to_its_address(settings: Settings):
    async with telling(settings) as story:
        await story.ask("/otp", {"email": "ada@example.com"})
        await story.ask("/otp", {"email": "eve@example.com"})
        otp = story.post.to("ada@example.com").otp
        refused = await story.ask("/verify", {"type": "email", "email": "eve@example.com", "token": otp})
        assert (refused.status_code, code_of(refused)) == (403, "otp_expired")
        answer = await story.ask("/verify", {"type": "email", "email": "ada@example.com", "token": otp})
        assert answer.status_code == 200
        assert answer.headers["sb-auth-refresh-token-prefix"] == answer.json()["refresh_token"][:5]


REFUSED: list[tuple[str, Any, int, str]] = [
    ("/otp", {}, 400, "validation_failed"),
    ("/otp", {"email": "a@b.c", "phone": "1"}, 400, "validation_failed"),
    ("/otp", {"email": "nobody@example.com", "create_user": False}, 422, "otp_disabled"),
    ("/otp", {"phone": "+15551234567"}, 400, "phone_provider_disabled"),
    ("/otp", {"email": "a@b.cd", "code_challenge": CHALLENGE}, 400, "validation_failed"),
    ("/magiclink", {}, 422, "validation_failed"),
    ("/recover", {}, 400, "validation_failed"),
    ("/resend", {"type": "foo"}, 400, "validation_failed"),
    ("/resend", {"type": "sms", "phone": "+15551234567"}, 400, "phone_provider_disabled"),
    ("/verify", {}, 400, "validation_failed"),
    ("/verify", {"type": "email", "token": "1", "token_hash": "x"}, 400, "validation_failed"),
    ("/verify", {"type": "email", "token": "1", "email": "zz"}, 422, "validation_failed"),
    ("/verify", {"type": "foo", "token_hash": "x"}, 400, "validation_failed"),
    ("/verify", {"type": "sms", "token": "1", "phone": "abc"}, 400, "validation_failed"),
    ("/token?grant_type=pkce", {}, 400, "validation_failed"),
    ("/token?grant_type=pkce", {"auth_code": "x", "code_verifier": "y"}, 404, "flow_state_not_found"),
    ("/token?grant_type=web3", {}, 422, "web3_provider_disabled"),
    ("/token?grant_type=id_token", {"provider": "google", "id_token": "x"}, 400, "provider_disabled"),
    ("/token?grant_type=id_token", {"provider": "github", "id_token": "x"}, 400, "validation_failed"),
    ("/sso", {"domain": "example.com"}, 404, "saml_provider_disabled"),
    ("/passkeys/authentication/options", {}, 404, "passkey_disabled"),
    ("/invite", {"email": "a@b.c"}, 401, "no_authorization"),
    ("/admin/generate_link", {"type": "magiclink"}, 401, "no_authorization"),
]


async def test_refusals_have_gotrues_status_and_code(client: Client):
    for path, body, status, code in REFUSED:
        answer = await client.http.post(f"/auth/v1{path}", json=body)
        assert (answer.status_code, code_of(answer), answer.headers["x-sb-error-code"]) == (status, code, code), (path, body)


async def test_unknown_address_cannot_be_told_from_a_known_one(settings: Settings):
    async with telling(settings) as story:
        assert (await story.ask("/recover", {"email": "nobody@example.com"})).json() == {}
        assert (await story.ask("/resend", {"type": "signup", "email": "nobody@example.com"})).json() == {}
        assert story.post.sent == []


async def test_recovery_with_pkce_gives_the_session_to_who_began_it(settings: Settings):
    async with telling(settings) as story:
        await story.client.signed_up("ada@example.com")
        await story.ask(f"/recover?redirect_to={SITE}/reset%3Fx=1", {"email": "ada@example.com", **PKCE})
        answer = await story.follow(story.post.to("ada@example.com"))
        where = urlsplit(answer.headers["location"])
        assert (where.path, parse_qs(where.query)["x"]) == ("/reset", ["1"])
        code = parse_qs(where.query)["code"][0]
        wrong = await story.ask("/token?grant_type=pkce", {"auth_code": code, "code_verifier": "another"})
        assert (wrong.status_code, code_of(wrong)) == (400, "bad_code_verifier")
        answer = await story.ask("/token?grant_type=pkce", {"auth_code": code, "code_verifier": VERIFIER})
        payload = answer.json()["access_token"].split(".")[1]
        assert b'"amr":[{"method":"recovery"' in base64.urlsafe_b64decode(payload + "==")
        again = await story.ask("/token?grant_type=pkce", {"auth_code": code, "code_verifier": VERIFIER})
        assert code_of(again) == "flow_state_not_found"


async def test_link_leads_only_where_the_project_allows(settings: Settings):
    async with telling(settings) as story:
        await story.client.signed_up("ada@example.com")
        await story.ask("/otp?redirect_to=https://evil.example.com/", {"email": "ada@example.com"})
        assert parse_qs(urlsplit(story.post.to("ada@example.com").link).query)["redirect_to"] == [SITE]
        answer = await story.client.http.get("/auth/v1/verify?type=magiclink&token=x&redirect_to=https://evil.example.com/")
        assert answer.headers["location"].startswith(f"{SITE}#error=")


async def test_sign_up_waits_for_its_confirmation_where_the_project_wants_one(settings: Settings):
    async with telling(settings, mailer_autoconfirm=False) as story:
        asked = {"email": "ada@example.com", "password": PASSWORD, "data": {"a": 1}}
        answer = (await story.ask("/signup", asked)).json()
        assert "access_token" not in answer
        assert answer["confirmation_sent_at"]
        assert answer["user_metadata"]["email_verified"] is False
        refused = await story.client.login("ada@example.com")
        assert code_of(refused) == "email_not_confirmed"
        await story.ask("/signup", asked)  # a second one sends the mail again
        assert len(story.post.sent) == 2
        assert fragment_of(await story.follow(story.post.sent[-1]))["type"] == "signup"
        assert (await story.client.login("ada@example.com")).status_code == 200
        taken = (await story.ask("/signup", asked)).json()  # looks like a new one: nobody learns who is registered
        assert taken["id"] != answer["id"]
        assert taken["identities"] == []
        assert len(story.post.sent) == 2


async def test_mails_of_one_kind_have_to_be_apart(settings: Settings):
    async with telling(settings, smtp_max_frequency=60) as story:
        await story.client.signed_up("ada@example.com")
        await story.ask("/recover", {"email": "ada@example.com"})
        refused = await story.ask("/recover", {"email": "ada@example.com"})
        assert (refused.status_code, code_of(refused)) == (429, "over_email_send_rate_limit")
        assert re.fullmatch(r"For security purposes, you can only request this after \d+ seconds\.", refused.json()["msg"])


async def test_both_addresses_agree_to_a_change(settings: Settings):
    async with telling(settings, mailer_autoconfirm=False) as story:
        await story.ask("/signup", {"email": "old@example.com", "password": PASSWORD})
        token = fragment_of(await story.follow(story.post.to("old@example.com")))["access_token"]
        changed = (await story.ask("/user", {"email": "new@example.com"}, token, "PUT")).json()
        assert (changed["email"], changed["new_email"]) == ("old@example.com", "new@example.com")
        assert (
            "confirm link sent to the other email" in fragment_of(await story.follow(story.post.to("old@example.com")))["message"]
        )
        assert (await story.client.user(token)).json()["email"] == "old@example.com"
        assert fragment_of(await story.follow(story.post.to("new@example.com")))["type"] == "email_change"
        user = (await story.client.user(token)).json()
        assert (user["email"], user["identities"][0]["email"]) == ("new@example.com", "new@example.com")


async def test_new_password_voids_links_that_are_under_way(settings: Settings):
    """Who knew the old password may have asked for them."""
    async with telling(settings) as story:
        session = await story.client.signed_up("ada@example.com")
        await story.ask("/recover", {"email": "ada@example.com"})
        changed = (await story.client.put_user(session["access_token"], password="another password")).json()
        assert "recovery_sent_at" not in changed
        assert fragment_of(await story.follow(story.post.to("ada@example.com")))["error_code"] == "otp_expired"


async def test_old_session_changes_the_password_with_a_code_only(settings: Settings):
    async with telling(settings, security_update_password_require_reauthentication=True) as story:
        session = await story.client.signed_up("ada@example.com")
        token = session["access_token"]
        await story.client.sql("update auth.sessions set created_at = now() - interval '25 hours'")
        refused = await story.client.put_user(token, password="another password")
        assert (refused.status_code, code_of(refused)) == (400, "reauthentication_needed")
        await story.ask("/reauthenticate", None, token, "GET")
        wrong = await story.client.put_user(token, password="another password", nonce="000000x")
        assert (wrong.status_code, code_of(wrong)) == (422, "reauthentication_not_valid")
        nonce = story.post.to("ada@example.com").otp
        assert (await story.client.put_user(token, password="another password", nonce=nonce)).status_code == 200


async def test_anonymous_user_becomes_somebody(settings: Settings):
    async with telling(settings, external_anonymous_users_enabled=True) as story:
        session = (await story.ask("/signup", {"data": {"a": 1}})).json()
        token = session["access_token"]
        assert session["user"]["is_anonymous"] is True
        assert session["user"]["identities"] == []
        refused = await story.ask("/factors", {"factor_type": "totp"}, token)
        assert (refused.status_code, code_of(refused)) == (403, "no_authorization")
        changed = (await story.ask("/user", {"email": "ada@example.com"}, token, "PUT")).json()
        assert (changed["is_anonymous"], changed["email"]) == (False, "ada@example.com")
        assert [one["provider"] for one in changed["identities"]] == ["email"]


async def test_administrator_makes_links_and_invites(settings: Settings):
    async with telling(settings) as story:
        key = settings.service_role_key
        wanted = {"type": "signup", "email": "ada@example.com", "password": PASSWORD, "data": {"a": 1}}
        link = (await story.ask("/admin/generate_link", wanted, key)).json()
        assert link["user_metadata"] == {"a": 1}
        assert link["verification_type"] == "signup"
        assert f"token={link['hashed_token']}&type=signup&redirect_to={SITE}" in link["action_link"]
        assert code_of(await story.client.login("ada@example.com")) == "email_not_confirmed"
        accepted = await story.ask("/verify", {"type": "signup", "token_hash": link["hashed_token"]})
        assert accepted.json()["user"]["email"] == "ada@example.com"
        taken = await story.ask("/invite", {"email": "ada@example.com"}, key)
        assert (taken.status_code, code_of(taken)) == (422, "email_exists")
        invited = (await story.ask("/invite", {"email": "bob@example.com", "data": {"b": 2}}, key)).json()
        assert invited["invited_at"]
        given = fragment_of(await story.follow(story.post.to("bob@example.com")))
        assert given["type"] == "invite"
        missing = await story.ask("/admin/generate_link", {"type": "recovery", "email": "nobody@example.com"}, key)
        assert (missing.status_code, code_of(missing)) == (404, "user_not_found")
