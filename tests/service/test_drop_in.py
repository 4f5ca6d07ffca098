"""/auth/v1/* held against the Auth stand-in itself, byte for byte, with real processes; and what is stronger than its yes."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from loadtests.bench.replica_stack import Replica, ReplicaStack, running_stack
from service.upstream.pass_through import end_to_end, request_headers

pytestmark = pytest.mark.story

PASSWORD = "a long enough one 1"
NEW = {"X-Supabase-Api-Version": "2024-01-01"}
JSON = {"Content-Type": "application/json"}


class Pair:
    """The issuer, and the replica in front of it, asked the same."""

    def __init__(self, stack: ReplicaStack, replica: Replica) -> None:
        self.stack = stack
        self.replica = replica
        self.key = stack.environment["SUPABASE_ANON_KEY"]

    def both(self, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> tuple[bytes, bytes]:
        """(issuer's, replica's) answer as bytes, without the date."""
        return tuple(raw(url, method, path, headers, body) for url in (self.stack.supabase_url, self.replica.url))  # type: ignore[return-value]

    def signed_up(self) -> dict[str, Any]:
        body = {"email": f"{uuid4().hex}@example.com", "password": PASSWORD}
        answer = httpx.post(f"{self.replica.url}/auth/v1/signup", json=body, headers={"apikey": self.key})
        assert answer.status_code == 200
        tokens: dict[str, Any] = answer.json()
        return tokens

    def ask(self, method: str, path: str, token: str, **more: Any) -> httpx.Response:
        headers = {"apikey": self.key, "Authorization": f"Bearer {token}", **NEW}
        return httpx.request(method, f"{self.replica.url}/auth/v1/{path}", headers=headers, **more)

    def metric(self, line: str) -> float:
        found = re.search(rf"^{re.escape(line)} (.+)$", httpx.get(f"{self.replica.url}/metrics").text, re.MULTILINE)
        return float(found[1]) if found else 0.0


def raw(url: str, method: str, path: str, headers: dict[str, str], body: bytes) -> bytes:
    host, port = url.removeprefix("http://").split(":")
    head = {"Host": "project.example.com", "Connection": "close", **headers}
    if body and "Transfer-Encoding" not in head:
        head["Content-Length"] = str(len(body))
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items()), "", ""]
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall("\r\n".join(lines).encode() + body)
        received = b""
        while data := connection.recv(65_536):
            received += data
    top, _, rest = received.partition(b"\r\n\r\n")
    status, *fields = top.split(b"\r\n")
    return b"\r\n".join([status, *sorted(line for line in fields if not line.lower().startswith(b"date:")), b"", rest])


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with running_stack(tmp_path_factory.mktemp("drop-in")) as stack:
        yield Pair(stack, stack.start_replica())


@pytest.fixture(scope="module")
def token(pair: Pair) -> str:
    return str(pair.signed_up()["access_token"])


def kept_alive(url: str, fields: str) -> list[bytes]:
    """The answer to GET /auth/v1/user over a connection that stays, without the date."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection, connection.makefile("rb") as answer:
        connection.sendall(f"GET /auth/v1/user HTTP/1.1\r\nHost: project.example.com\r\n{fields}\r\n\r\n".encode())
        lines = list(iter(answer.readline, b"\r\n"))
        length = next(int(line.split(b":")[1]) for line in lines if line.lower().startswith(b"content-length:"))
        return [*(line for line in lines if not line.lower().startswith(b"date:")), answer.read(length)]


# What is asked: method, path, headers ({key} and {token} are filled in), body.
SAME: dict[str, tuple[str, str, dict[str, str], bytes]] = {
    "user": ("GET", "user", {"apikey": "{key}", "Authorization": "Bearer {token}"}, b""),
    "user, new errors": ("GET", "user", {"apikey": "{key}", "Authorization": "Bearer {token}", **NEW}, b""),
    "user, browser": ("GET", "user", {"apikey": "{key}", "Authorization": "Bearer {token}", "Origin": "https://a.example"}, b""),
    "user, key in the query": ("GET", "user?apikey={key}", {"Authorization": "Bearer {token}"}, b""),
    "user, other audience": ("GET", "user", {"apikey": "{key}", "Authorization": "Bearer {token}", "X-JWT-AUD": "other"}, b""),
    "user, no key": ("GET", "user", {"Authorization": "Bearer {token}"}, b""),
    "user, wrong key": ("GET", "user", {"apikey": "wrong", "Authorization": "Bearer {token}"}, b""),
    "user, no token": ("GET", "user", {"apikey": "{key}"}, b""),
    "user, no token, new errors": ("GET", "user", {"apikey": "{key}", **NEW}, b""),
    "user, the key as token": ("GET", "user", {"apikey": "{key}", "Authorization": "Bearer {key}"}, b""),
    "user, no JWT": ("GET", "user", {"apikey": "{key}", "Authorization": "Bearer x.y.z", **NEW}, b""),
    "user, two blanks": ("GET", "user", {"apikey": "{key}", "Authorization": "Bearer  {token}"}, b""),
    "keys": ("GET", ".well-known/jwks.json", {}, b""),
    "openid": ("GET", ".well-known/openid-configuration", {}, b""),
    "settings": ("GET", "settings", {"apikey": "{key}"}, b""),
    "settings, no key": ("GET", "settings", {}, b""),
    "health": ("GET", "health", {"apikey": "{key}"}, b""),
    "head": ("HEAD", "health", {"apikey": "{key}"}, b""),
    "preflight": (
        "OPTIONS",
        "token",
        {"Origin": "https://a.example", "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "apikey"},
        b"",
    ),
    "nowhere": ("GET", "nowhere", {"apikey": "{key}"}, b""),
    "wrong method": ("DELETE", "user", {"apikey": "{key}"}, b""),
    "wrong password": (
        "POST",
        "token?grant_type=password",
        {"apikey": "{key}", **JSON},
        b'{"email":"a@b.example","password":"x"}',
    ),
    "unknown grant": ("POST", "token?grant_type=x", {"apikey": "{key}", **JSON, **NEW}, b"{}"),
    "no JSON": ("POST", "signup", {"apikey": "{key}", **JSON, **NEW}, b"{"),
    "chunked": (
        "POST",
        "signup",
        {"apikey": "{key}", "Transfer-Encoding": "chunked", **JSON},
        b'5\r\n{"ema\r\n6\r\nil":1}\r\n0\r\n\r\n',
    ),
    "change of nothing": ("PUT", "user", {"apikey": "{key}", "Authorization": "Bearer {token}", **JSON}, b'{"app_metadata":{}}'),
    "log-out with a bad scope": ("POST", "logout?scope=x", {"apikey": "{key}", "Authorization": "Bearer {token}"}, b""),
    "log-out without a token": ("POST", "logout", {"apikey": "{key}"}, b""),
    "administration": ("GET", "admin/users", {"apikey": "{key}", "Authorization": "Bearer {token}"}, b""),
}


@pytest.mark.parametrize(("method", "path", "headers", "body"), SAME.values(), ids=SAME.keys())
def test_answer_is_the_issuers_byte_for_byte(
    pair: Pair, token: str, method: str, path: str, headers: dict[str, str], body: bytes
):
    """Twice: the first is fetched, the second may come from memory."""

    def filled(text: str) -> str:
        return text.format(key=pair.key, token=token)

    for _ in range(2):
        issuers, ours = pair.both(
            method, filled(f"/auth/v1/{path}"), {name: filled(text) for name, text in headers.items()}, body
        )
        assert ours == issuers


@pytest.mark.parametrize("has_trigger", [True, False])
def test_log_in_on_this_way_is_followed_and_its_token_is_known(pair: Pair, has_trigger: bool):
    """By the database's own trigger or, where that may not be, by the replica once the answer has gone."""
    statement = "SELECT cached_auth.watch_auth()" if has_trigger else "DROP TRIGGER cached_auth_sessions_begun ON auth.sessions"
    run_on(pair, statement)
    deadline = time.monotonic() + 10
    while not is_followed_and_known(pair):  # the replica hears within half a second that the trigger is gone
        assert time.monotonic() < deadline
    assert run_on(pair, "SELECT count(*) FROM cached_auth.outbox o JOIN auth.sessions s USING (user_id)") % 3 == 0
    run_on(pair, "SELECT cached_auth.watch_auth()")


def is_followed_and_known(pair: Pair) -> bool:
    """A new user signs up; False where no profile came. What follows the answer may come after the first questions."""
    issued = 'cached_auth_cache_lookups_total{outcome="confirmed",tier="issuer"}'
    before = pair.metric(issued)
    bearer = {"Authorization": f"Bearer {pair.signed_up()['access_token']}"}
    asked = [httpx.get(f"{pair.replica.url}/api/v1/auth/me", headers=bearer).json()["profile"] for _ in range(5)]
    assert pair.metric(issued) <= before + 1, "the first question may be quicker than what follows the answer"
    return asked[-1] is not None


def run_on(pair: Pair, statement: str) -> Any:
    """The statement's one value, on the primary."""

    async def run() -> Any:
        connection = await asyncpg.connect(pair.stack.database_url)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return asyncio.run(run())


def test_user_is_answered_from_memory_and_by_variant(pair: Pair):
    token = pair.signed_up()["access_token"]
    confirmed = 'cached_auth_cache_lookups_total{outcome="confirmed",tier="issuer"}'
    before = pair.metric(confirmed)
    assert len({pair.ask("GET", "user", token).content for _ in range(10)}) == 1
    assert pair.metric(confirmed) == before + 1
    refused = httpx.get(f"{pair.replica.url}/auth/v1/user", headers={"apikey": "wrong", "Authorization": f"Bearer {token}"})
    assert refused.status_code == 401, "what one key may see is not shown to another"


@pytest.mark.parametrize("scope", ["local", "global", "others", None])
def test_log_out_is_known_before_it_is_answered(pair: Pair, scope: str | None):
    token = pair.signed_up()["access_token"]
    assert pair.ask("GET", "user", token).status_code == 200
    assert httpx.get(f"{pair.replica.url}/api/v1/auth/verify", headers={"Authorization": f"Bearer {token}"}).status_code == 200
    assert pair.ask("POST", f"logout?scope={scope}" if scope else "logout", token).status_code == 204
    verified = httpx.get(f"{pair.replica.url}/api/v1/auth/verify", headers={"Authorization": f"Bearer {token}"})
    user = pair.ask("GET", "user", token)
    if scope == "others":
        assert (verified.status_code, user.status_code) == (200, 200)
    else:
        assert (verified.status_code, verified.json()["code"]) == (401, "session_revoked")
        assert (user.status_code, user.json()["code"]) == (403, "session_not_found")


def test_scope_that_two_readers_would_read_differently_is_refused(pair: Pair):
    token = pair.signed_up()["access_token"]
    assert pair.ask("POST", "logout?scope=local&scope=others", token).status_code == 400
    assert pair.ask("GET", "user", token).status_code == 200


def test_revocation_that_the_issuer_does_not_know_is_stronger_than_its_yes(pair: Pair):
    """Where we had no right to end the session, only our log stands against it."""
    tokens = pair.signed_up()
    assert pair.ask("GET", "user", tokens["access_token"]).status_code == 200
    claims = httpx.get(
        f"{pair.replica.url}/api/v1/auth/verify", headers={"Authorization": f"Bearer {tokens['access_token']}"}
    ).headers

    session_id = claims["x-auth-session-id"]
    run_on(pair, f"INSERT INTO cached_auth.revocations (kind, subject) VALUES ('session', '{session_id}')")  # noqa: S608
    for _ in range(2000):
        answer = pair.ask("GET", "user", tokens["access_token"])
        if answer.status_code != 200:
            break
    assert (answer.status_code, answer.json()["code"]) == (403, "session_not_found")


def test_user_from_memory_is_the_same_by_the_shortcut_and_by_the_long_way(pair: Pair, token: str):
    """A scheme in lower case takes the long way."""
    answers = [
        kept_alive(pair.replica.url, f"apikey: {pair.key}\r\nAuthorization: {scheme} {token}")
        for scheme in ("Bearer", "Bearer", "bearer", "Bearer")
    ]
    assert answers[0][0] == b"HTTP/1.1 200 OK\r\n"
    assert all(answer == answers[0] for answer in answers)


def test_change_of_the_user_shows_at_once(pair: Pair):
    token = pair.signed_up()["access_token"]
    assert pair.ask("GET", "user", token).json()["user_metadata"].get("name") is None
    assert pair.ask("PUT", "user", token, json={"data": {"name": "Ann"}}).status_code == 200
    assert pair.ask("GET", "user", token).json()["user_metadata"]["name"] == "Ann"


@pytest.mark.parametrize("is_told", [True, False])
def test_body_is_bounded(pair: Pair, is_told: bool):
    body = b" " * (1_048_576 + 1)
    content = body if is_told else iter([body[:600_000], body[600_000:]])
    answer = httpx.post(f"{pair.replica.url}/auth/v1/signup", content=content, headers={"apikey": pair.key, **JSON, **NEW})
    assert (answer.status_code, answer.json()["code"]) == (413, "request_entity_too_large")


@pytest.mark.parametrize("path", ["%75ser", "../auth/v1/user", "./user", "x//user", "x/%2e%2e/user", "user/"])
def test_path_with_two_readings_is_handed_to_nobody(pair: Pair, token: str, path: str):
    head = {"apikey": pair.key, "Authorization": f"Bearer {token}", **NEW}
    answer = raw(pair.replica.url, "GET", f"/auth/v1/{path}", head, b"")
    assert answer.startswith(b"HTTP/1.1 404 ")


TWO_READINGS = {
    "both framings": b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcd",
    "a length with a sign": b"Content-Length: +2\r\n\r\n{}",
    "a coding that nobody knows": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a blank before the colon": b"Content-Length : 4\r\n\r\nabcd",
    "a folded line": b"X-A: b\r\n Content-Length: 4\r\n\r\nabcd",
    "a bare carriage return": b"X-A: b\rContent-Length: 4\r\n\r\nabcd",
    "a chunk longer than it says": b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}0\r\n\r\n",
}


@pytest.mark.parametrize("rest", TWO_READINGS.values(), ids=TWO_READINGS.keys())
def test_request_with_two_readings_is_refused_and_nothing_after_it_is_read(pair: Pair, rest: bytes):
    """Request smuggling: what one server takes for a body, the next takes for somebody else's request."""
    host, port = pair.replica.url.removeprefix("http://").split(":")
    smuggled = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"POST /auth/v1/signup HTTP/1.1\r\nHost: x\r\n" + rest + smuggled)
        received = b""
        while data := connection.recv(65_536):
            received += data
    assert received.startswith(b"HTTP/1.1 400 ")
    assert received.count(b"HTTP/1.1 ") == 1


def test_silent_issuer_is_503_and_memory_goes_on(tmp_path_factory: pytest.TempPathFactory):
    with running_stack(tmp_path_factory.mktemp("silent")) as stack:
        pair = Pair(stack, stack.start_replica())
        token = pair.signed_up()["access_token"]
        good = pair.ask("GET", "user", token)
        keys = pair.ask("GET", ".well-known/jwks.json", token)
        stack.supabase.end()
        assert pair.ask("GET", "user", token).content == good.content
        assert pair.ask("GET", ".well-known/jwks.json", token).content == keys.content
        for answer, shape in (
            (pair.ask("GET", "settings", token), {"code", "message"}),
            (pair.ask("POST", "logout", token), {"code", "message"}),
            (httpx.post(f"{pair.replica.url}/auth/v1/token?grant_type=password", json={}), {"code", "error_code", "msg"}),
        ):
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            assert set(json.loads(answer.content)) == shape


def test_callers_word_about_itself_is_replaced():
    """X-Forwarded-For decides whose rate limit it is; Connection must not take ours out (CVE-2025-48865)."""
    given = [
        (b"apikey", b"k"),
        (b"x-forwarded-for", b"198.51.100.1"),
        (b"x_forwarded_for", b"198.51.100.1"),
        (b"x-forwarded-host", b"evil.example"),
        (b"x-real-ip", b"198.51.100.1"),
        (b"sb-forwarded-for", b"198.51.100.1"),
        (b"forwarded", b"for=198.51.100.1"),
        (b"host", b"evil.example"),
        (b"connection", b"keep-alive, x-secret, sb-forwarded-for"),
        (b"x-secret", b"hop"),
        (b"te", b"trailers"),
    ]
    address = b"203.0.113.7"
    expected = [(b"apikey", b"k"), (b"x-forwarded-for", address), (b"sb-forwarded-for", address)]
    assert request_headers(given, address.decode()) == expected


def test_hop_by_hop_headers_stay_on_their_hop():
    given = [(b"Content-Type", b"x"), (b"Transfer-Encoding", b"chunked"), (b"Keep-Alive", b"timeout=5"), (b"Upgrade", b"h2c")]
    assert end_to_end(given) == [(b"content-type", b"x")]
