"""Supabase's own Python client against the stand-in, as a black box: it must not notice where it is.

`supabase-auth` is no dependency of the project: it would bring a second JOSE library and HTTP/2 for these tests alone. Where
it is installed beside the project they run.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest

from infra.localcloud.supabase_api import totp
from infra.localcloud.supabase_api.app import create_app
from infra.localcloud.supabase_api.auth_config import AuthConfig
from infra.localcloud.supabase_api.settings import Settings
from tests.localcloud.supabase_api.client import PASSWORD
from tests.localcloud.supabase_api.test_mail_flows import Post

supabase_auth = pytest.importorskip("supabase_auth", reason="supabase-auth is not installed beside the project")
pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore::DeprecationWarning:supabase_auth")]
ADA = "ada@example.com"


@asynccontextmanager
async def clients(settings: Settings, post: Post) -> AsyncIterator[Any]:
    """A maker of clients, each with a session store of its own."""
    config = AuthConfig(smtp_max_frequency=0, external_anonymous_users_enabled=True)
    app = create_app(replace(settings, auth=config), post)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=httpx.ASGITransport(app)) as http:

        def make(key: str = "", **more: Any) -> Any:
            headers = {"apikey": settings.anon_key, "Authorization": f"Bearer {key or settings.anon_key}"}
            url = "http://project/auth/v1"
            return supabase_auth.AsyncGoTrueClient(url=url, headers=headers, http_client=http, auto_refresh_token=False, **more)

        yield make


async def test_password_sessions(settings: Settings):
    async with clients(settings, Post()) as make:
        client = make()
        signed_up = await client.sign_up({"email": ADA, "password": PASSWORD, "options": {"data": {"a": 1}}})
        assert signed_up.user.user_metadata["a"] == 1
        with pytest.raises(supabase_auth.errors.AuthApiError) as taken:
            await make().sign_up({"email": ADA, "password": PASSWORD})
        assert taken.value.code == "user_already_exists"
        with pytest.raises(supabase_auth.errors.AuthWeakPasswordError) as weak:
            await make().sign_up({"email": "eve@example.com", "password": "x"})
        assert weak.value.reasons == ["length"]
        other = make()
        await other.sign_in_with_password({"email": ADA, "password": PASSWORD})
        refreshed = await other.refresh_session()
        assert (await other.get_user(refreshed.session.access_token)).user.email == ADA
        assert (await other.get_claims())["claims"]["email"] == ADA
        await other.sign_out({"scope": "others"})
        with pytest.raises(supabase_auth.errors.AuthApiError) as gone:
            await client.get_user()
        assert gone.value.code == "session_not_found"


async def test_codes_and_changes(settings: Settings):
    post = Post()
    async with clients(settings, post) as make:
        client = make()
        await client.sign_in_with_otp({"email": ADA})
        verified = await client.verify_otp({"email": ADA, "token": post.to(ADA).otp, "type": "email"})
        assert verified.session.user.email == ADA
        updated = await client.update_user({"email": "new@example.com", "data": {"b": 2}})
        assert updated.user.new_email == "new@example.com"
        await client.resend({"type": "email_change", "email": ADA})
        await client.reauthenticate()
        assert post.to(ADA).kind == "reauthentication"
        await client.reset_password_for_email(ADA)
        with pytest.raises(supabase_auth.errors.AuthApiError) as wrong:
            await make().verify_otp({"email": ADA, "token": "000000", "type": "recovery"})
        assert wrong.value.code == "otp_expired"


async def test_second_factor(settings: Settings):
    async with clients(settings, Post()) as make:
        client = make()
        await client.sign_up({"email": ADA, "password": PASSWORD})
        factor = await client.mfa.enroll({"factor_type": "totp", "friendly_name": "phone"})
        assert factor.totp.qr_code.startswith("data:image/svg+xml")
        code = totp.code_at(factor.totp.secret, int(time.time()) // totp.STEP_S)
        await client.mfa.challenge_and_verify({"factor_id": factor.id, "code": code})
        level = await client.mfa.get_authenticator_assurance_level()
        assert (level.current_level, level.next_level) == ("aal2", "aal2")
        assert [one.status for one in (await client.mfa.list_factors()).totp] == ["verified"]
        assert (await client.mfa.unenroll({"factor_id": factor.id})).id == factor.id


async def test_anonymous_user(settings: Settings):
    async with clients(settings, Post()) as make:
        client = make()
        signed_in = await client.sign_in_anonymously()
        assert signed_in.user.is_anonymous is True
        assert (await client.update_user({"email": ADA})).user.is_anonymous is False


async def test_administrator(settings: Settings):
    post = Post()
    async with clients(settings, post) as make:
        admin = make(settings.service_role_key).admin
        made = await admin.create_user({"email": ADA, "password": PASSWORD, "email_confirm": True})
        assert [one.email for one in await admin.list_users()] == [ADA]
        link = await admin.generate_link({"type": "magiclink", "email": ADA})
        signed_in = await make().verify_otp({"token_hash": link.properties.hashed_token, "type": "magiclink"})
        assert signed_in.user.id == made.user.id
        await admin.update_user_by_id(made.user.id, {"user_metadata": {"c": 3}})
        assert (await admin.get_user_by_id(made.user.id)).user.user_metadata["c"] == 3
        assert (await admin.invite_user_by_email("bob@example.com")).user.invited_at is not None
        await admin.sign_out(signed_in.session.access_token)
        await admin.delete_user(made.user.id)
        with pytest.raises(supabase_auth.errors.AuthApiError) as gone:
            await admin.get_user_by_id(made.user.id)
        assert gone.value.code == "user_not_found"
