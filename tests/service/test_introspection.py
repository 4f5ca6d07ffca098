"""RFC 7662 at a server of the test's own: what is sent, and what is made of each answer."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs

import pytest

from service.cache.introspection import Verifier
from service.errors import ServiceError, TokenRejected, Unavailable
from service.metrics.counters import Counters
from service.tokens.verification import Policy
from service.upstream.introspection_api import UNDER_WAY_MAX, IntrospectionApi
from service.web.auth_endpoints import verify_lines
from tests.service import issuing
from tests.service.conftest import settings_with
from tests.service.issuing import NOW
from tests.service.parts import UNLIMITED, Parts, outcome_of

pytestmark = pytest.mark.anyio

OPAQUE = b"2YotnFZFEjr1zCsicMWpAA+/=="
GOOD: dict[str, Any] = {"active": True, "sub": issuing.USER, "email": "ann@example.com", "role": "authenticated"}


class Server:
    """Answers every POST with `status` and `body`; keeps what came."""

    def __init__(self) -> None:
        self.status, self.body = 200, json.dumps(GOOD)
        self.heads: list[str] = []
        self.forms: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        fields = {name.lower(): value for name, value in (line.split(": ", 1) for line in head.split("\r\n")[1:] if line)}
        self.heads.append(fields["authorization"])
        self.forms.append((await reader.readexactly(int(fields["content-length"]))).decode())
        await self.gate.wait()
        writer.write(
            f"HTTP/1.1 {self.status} X\r\ncontent-length: {len(self.body)}\r\nconnection: close\r\n\r\n{self.body}".encode()
        )
        writer.close()


@asynccontextmanager
async def asked(**changes: Any) -> AsyncIterator[tuple[IntrospectionApi, Server]]:
    server = Server()
    server.body = json.dumps({**GOOD, **changes})
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/introspect"
    policy = Policy(issuing.ISSUER, issuing.AUDIENCE)
    api = IntrospectionApi(url, "cached auth", "s&cret:%", policy, lambda: NOW, Counters())
    async with listening:
        yield api, server
        await api.close()


async def test_question_is_as_the_standards_say():
    """RFC 7662 section 2.1, and RFC 6749 section 2.3.1 for the client: form-encoded before it is joined."""
    async with asked() as (api, server):
        user = await api.user(OPAQUE)
    assert (user.user_id, json.loads(user.json)) == (
        issuing.USER,
        {"id": issuing.USER, "email": "ann@example.com", "role": "authenticated"},
    )
    assert base64.b64decode(server.heads[0].removeprefix("Basic ")) == b"cached+auth:s%26cret%3A%25"
    assert parse_qs(server.forms[0], strict_parsing=True) == {"token": [OPAQUE.decode()], "token_type_hint": ["access_token"]}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"exp": NOW + 1, "nbf": NOW, "iss": issuing.ISSUER, "aud": ["x", issuing.AUDIENCE], "token_type": "Bearer"}, None),
        ({"token_use": "access_token", "typ": "JWT", "scope": "a b", "unknown": {"x": 1}}, None),
        ({"active": False}, TokenRejected),
        ({"exp": NOW}, TokenRejected),
        ({"nbf": NOW + 6}, TokenRejected),
        ({"iss": issuing.ISSUER + "/other"}, TokenRejected),
        ({"aud": "another"}, TokenRejected),
        ({"aud": []}, TokenRejected),
        ({"token_use": "refresh_token"}, TokenRejected),
        ({"token_type": "refresh_token"}, TokenRejected),
        ({"typ": "Refresh"}, TokenRejected),
        ({"sub": ""}, TokenRejected),
        ({"sub": "admin"}, TokenRejected),
        ({"active": "true"}, Unavailable),
        ({"active": 1}, Unavailable),
        ({"exp": "tomorrow"}, Unavailable),
    ],
)
async def test_answer_is_checked_like_a_token_that_can_be_read(changes: dict[str, Any], expected: type[ServiceError] | None):
    async with asked(**changes) as (api, _):
        outcome = await outcome_of(api.user(OPAQUE))
    assert outcome is expected if expected else not isinstance(outcome, type)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, '{"error":"invalid_client"}'),
        (500, ""),
        (503, ""),
        (302, ""),
        (200, "[]"),
        (200, "{}"),
        (200, "no"),
        (200, "x" * 70_000),
    ],
)
async def test_whatever_the_endpoint_says_of_us_is_never_said_of_the_token(status: int, body: str):
    async with asked() as (api, server):
        server.status, server.body = status, body
        assert await outcome_of(api.user(OPAQUE)) is Unavailable


async def test_questions_under_way_are_bounded_and_a_dead_endpoint_is_left_alone():
    async with asked() as (api, server):
        server.gate.clear()
        under_way = [asyncio.create_task(outcome_of(api.user(OPAQUE))) for _ in range(UNDER_WAY_MAX)]
        while len(server.heads) < UNDER_WAY_MAX:  # noqa: ASYNC110 - another task's doing
            await asyncio.sleep(0.001)
        assert await outcome_of(api.user(OPAQUE)) is Unavailable
        assert len(server.heads) == UNDER_WAY_MAX
        server.gate.set()
        assert all(not isinstance(outcome, type) for outcome in await asyncio.gather(*under_way))
    dead = IntrospectionApi("http://127.0.0.1:9", "c", "s", Policy(issuing.ISSUER, issuing.AUDIENCE), lambda: NOW, Counters())
    for _ in range(5):
        assert await outcome_of(dead.user(OPAQUE)) is Unavailable
    assert dead.breaker.is_open
    await dead.close()


async def test_what_was_revoked_is_refused_as_far_as_the_endpoint_tells():
    parts = Parts()
    parts.revoke_session()
    async with asked(session_id=issuing.SESSION) as (api, server):
        ask, policies = parts.issuer.user, settings_with().policies
        checks = Verifier(parts.authenticator, ask, ask, api.user, verify_lines, parts.clock, policies, UNLIMITED)
        assert await outcome_of(checks.authenticate(OPAQUE, "verify")) is TokenRejected
        server.body = json.dumps({**GOOD, "session_id": issuing.OTHER_SESSION, "iat": NOW - 60})
        entry, tier = await checks.authenticate(OPAQUE, "verify")
        assert (entry.identity.session_id, entry.identity.issued_at, tier) == (issuing.OTHER_SESSION, NOW - 60, "miss")
        parts.revoke_user()
        assert await outcome_of(checks.authenticate(OPAQUE, "verify")) is TokenRejected
