"""What is never handed on to the issuer, because the issuer would take it: tokens that only our own log refuses."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from service.revocation.records import Revocation
from service.tokens.jwks import FetchFailed
from tests.service import issuing
from tests.service.parts import Parts
from tests.service.test_front import Web

pytestmark = pytest.mark.anyio

TOKEN = issuing.token()
HEADERS = {"Authorization": f"Bearer {TOKEN.decode()}", "X-Supabase-Api-Version": "2024-01-01"}
CHANGES = [("PUT", "user"), ("GET", "user?x=1"), ("POST", "factors"), ("DELETE", "user/identities/1"), ("GET", "reauthenticate")]


@pytest.fixture
async def web(anyio_backend: str) -> AsyncIterator[Web]:
    """The issuer is away: whatever is handed on is 503."""
    web = Web(Parts())
    async with web.client:
        yield web
    await web.auth_api.close()
    await web.upstream.close()


@pytest.mark.parametrize(("method", "path"), CHANGES)
@pytest.mark.parametrize("kind", ["key", "everyone"])
async def test_token_of_a_revoked_key_or_age_is_refused_on_every_path(web: Web, method: str, path: str, kind: str):
    """Whoever stole a signing key could otherwise still set a password through us."""
    assert (await web.client.request(method, f"/auth/v1/{path}", headers=HEADERS)).status_code == 503
    line = Revocation(1, kind, issuing.EC.thumbprint() if kind == "key" else "", issuing.NOW, 90_000)  # type: ignore[arg-type]
    web.parts.revocations.apply(line, web.parts.clock.monotonic())
    refused = await web.client.request(method, f"/auth/v1/{path}", headers=HEADERS)
    assert (refused.status_code, refused.json()["code"]) == (403, "bad_jwt"), "at which no client ends its session"
    other = {"key": issuing.token(key=issuing.RSA, algorithm="RS256"), "everyone": issuing.token(iat=issuing.NOW + 2)}[kind]
    for token in (other, b"the anon key, say"):
        headers = {"Authorization": f"Bearer {token.decode()}"}
        assert (await web.client.request(method, f"/auth/v1/{path}", headers=headers)).status_code == 503


async def test_user_is_held_to_the_same_however_it_is_asked_for():
    """A query that means nothing, and so the long way round our memory, is anybody's to add."""
    web = Web(Parts(), REVOCATION_WHEN_SILENT="ask,user=refuse", RATE_LIMIT_USER_PER_MINUTE="2")
    asked = "/auth/v1/user?x=1"
    async with web.client:
        said = [(await web.client.get(asked, headers=HEADERS)).json()["message"] for _ in range(3)]
        assert [message.partition(" ")[0] for message in said] == ["the", "the", "too"]
        web.parts.feed.is_alive = False
        web.parts.hands.forward(60.0)
        assert "whether the session lives" in (await web.client.get(asked, headers=HEADERS)).json()["message"]
        line = Revocation(1, "session", issuing.SESSION, issuing.NOW, 90_000)
        web.parts.revocations.apply(line, web.parts.clock.monotonic())
        refused = await web.client.get(asked, headers=HEADERS)
        assert (refused.status_code, refused.json()["code"]) == (403, "session_not_found")
    await web.auth_api.close()
    await web.upstream.close()


@pytest.mark.parametrize(("rule", "says"), [("ask", "issuer does not answer"), ("refuse,verify=ask", "signing keys")])
async def test_route_that_must_hear_hands_nothing_on_that_it_cannot_check(rule: str, says: str, anyio_backend: str):
    """Without keys we do not know whose token it is, and the issuer does not know what we have revoked."""

    async def failed() -> bytes:
        raise FetchFailed("away")

    parts = Parts()
    parts.jwks._fetch = failed
    web = Web(parts, REVOCATION_WHEN_SILENT=rule)
    async with web.client:
        answer = await web.client.get("/auth/v1/user", headers=HEADERS)
    assert answer.status_code == 503
    assert says in answer.json()["message"]
    await web.auth_api.close()
    await web.upstream.close()
