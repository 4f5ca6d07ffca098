"""The raw front: same answers as the framework, CORS by table, what every answer carries, what is never trusted."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request

from service.accounts.positions import Positions
from service.accounts.worker import Worker
from service.cache.introspection import Verifier
from service.cache.redis_tier import RedisTier
from service.database.pools import Database
from service.errors import TokenRejected, Unavailable
from service.limits.arithmetic import per
from service.limits.gate import Gate
from service.limits.local_store import LocalStore
from service.limits.rules import read_rules
from service.limits.users import UserRates
from service.metrics.exposition import Exposition, Gauges
from service.metrics.performance import Performance
from service.readiness import Readiness
from service.revocation.feed import RevocationFeed
from service.upstream.auth_api import AuthApi
from service.upstream.pass_through import PassThrough
from service.web.app import build_app, client_address
from service.web.auth_endpoints import AuthEndpoints, verify_lines
from service.web.compression import Compression
from service.web.cors import Cors
from service.web.drop_in import DropIn
from service.web.front import BODY_BYTES_MAX, Front
from service.web.limited_drop_in import LimitedDropIn
from service.web.limited_endpoints import LimitedEndpoints
from service.web.shortcut import Shortcut
from service.web.sign_ins import SignIns
from tests.service import issuing
from tests.service.conftest import settings_with
from tests.service.parts import Parts

pytestmark = pytest.mark.anyio

TOKEN = issuing.token(email='änn"\r\n@example.com')
ORIGIN = "https://app.example.com"
VERIFY, ME = "/api/v1/auth/verify", "/api/v1/auth/me"


class Web:
    """A front over `parts`, with real but unreachable dependencies; `framework` is the application behind it."""

    def __init__(self, parts: Parts, **changes: str) -> None:
        settings = settings_with(CORS_ORIGINS=ORIGIN, **changes)
        self.parts = parts
        database = Database(settings, parts.clock, parts.counters)
        self.auth_api = AuthApi(settings.auth_url, settings.jwks_address, "anon", parts.counters)
        worker = Worker(database, {}, parts.counters)
        url = settings.database_url.get_secret_value()
        feed = RevocationFeed(url, {}, parts.revocations, parts.clock, parts.counters, {})
        ask_opaque = parts.issuer.user if settings.opaque_tokens == "introspect" else None
        rates = UserRates(per(settings.rate_limit_user_per_minute, 60), parts.clock.monotonic, parts.counters)
        ask, policies = parts.issuer.user, settings.policies
        self.verifier = verifier = Verifier(parts.authenticator, ask, ask, ask_opaque, verify_lines, parts.clock, policies, rates)
        endpoints = AuthEndpoints(
            authenticator=parts.authenticator,
            verifier=verifier,
            auth_api=self.auth_api,
            database=database,
            revocations=parts.revocations,
            positions=Positions(lambda _since: None, None, parts.clock, 2.0),
            worker=worker,
            rates=rates,
            is_followed=lambda: False,
            service_role_key="service-role-key",
            clock=parts.clock,
            counters=parts.counters,
        )
        no_redis: RedisTier | None = None
        readiness = Readiness(
            jwks=parts.jwks,
            feed=feed,
            database=database,
            shared=no_redis,
            staleness_max_s=2.0,
            is_draining=lambda: False,
            release="r",
            region="here",
        )
        nothing = lambda: 0  # noqa: E731
        gauges = Gauges(nothing, nothing, nothing, lambda: 0.0, nothing, nothing, nothing, nothing, dict)
        exposition = Exposition(parts.counters, gauges, "r", "here")
        rules = read_rules(settings)
        self.gate = Gate(LocalStore(rules, lambda: int(parts.clock.wall() * 1e6)), rules, "k", parts.counters)
        limited = LimitedEndpoints(endpoints, self.gate)
        self.framework: FastAPI = build_app(
            settings, endpoints, limited, readiness, exposition, Performance(parts.counters, gauges, database)
        )
        cors = Cors(settings.cors_origins, settings.cors_max_age_s)
        self.upstream = PassThrough(settings.supabase_url, parts.counters)
        drop_in = DropIn(
            upstream=self.upstream,
            authenticator=parts.authenticator,
            endpoints=endpoints,
            sign_ins=SignIns(endpoints, parts.counters),
            entries_max=100,
            bytes_max=1_000_000,
            policy=policies["user"],
            rates=rates,
            clock=parts.clock,
            counters=parts.counters,
        )
        self.shortcut = Shortcut(verifier, drop_in.kept_user, cors, parts.counters, parts.clock)
        self.front = Front(
            framework=self.framework,
            drop_in=LimitedDropIn(drop_in, self.gate),
            endpoints=endpoints,
            verifier=verifier,
            cors=cors,
            compression=Compression(settings.gzip_bytes_min, settings.gzip_level),
            counters=parts.counters,
            at_once=self.shortcut.at_once,
        )
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(self.front), base_url="http://service")  # type: ignore[arg-type]
        self.behind = httpx.AsyncClient(transport=httpx.ASGITransport(self.framework), base_url="http://service")


@pytest.fixture
async def web(anyio_backend: str) -> AsyncIterator[Web]:
    web = Web(Parts())
    async with web.client, web.behind:
        yield web
    await web.auth_api.close()
    await web.upstream.close()


def bearer(token: bytes = TOKEN, scheme: str = "Bearer") -> list[tuple[str, str]]:
    return [("Authorization", f"{scheme} {token.decode()}")]


REQUESTS: dict[str, tuple[str, list[tuple[str, str]]]] = {
    "good token": (VERIFY, bearer()),
    "good token, scheme in lower case": (VERIFY, bearer(scheme="bearer")),
    "no token": (VERIFY, []),
    "two tokens": (VERIFY, bearer() + bearer()),
    "two tokens, the first good": (VERIFY, [*bearer(), ("Authorization", "Bearer x")]),
    "basic": (VERIFY, [("Authorization", "Basic YTpi")]),
    "bearer without token": (VERIFY, [("Authorization", "Bearer ")]),
    "expired": (VERIFY, bearer(issuing.token(exp=issuing.NOW - 1))),
    "padded": (VERIFY, bearer(TOKEN + b"=")),
    "two blanks": (VERIFY, bearer(b" " + TOKEN)),
    "me": (ME, bearer()),
    "me without token": (ME, []),
}
DRESSING = {"x-process-time", "vary", "x-content-type-options", "x-frame-options", "referrer-policy", "strict-transport-security"}


@pytest.mark.parametrize(("path", "headers"), REQUESTS.values(), ids=REQUESTS.keys())
async def test_front_and_framework_answer_alike(web: Web, path: str, headers: list[tuple[str, str]]):
    """Two code paths to one answer is how CVE-2025-64484 and its kin happen; here they are held to be the same."""
    await web.parts.verify(TOKEN)
    front = await web.client.get(path, headers=headers)
    behind = await web.behind.get(path, headers=headers)
    assert (front.status_code, front.content) == (behind.status_code, behind.content)
    assert {name: value for name, value in front.headers.items() if name not in DRESSING} == {
        name: value for name, value in behind.headers.items() if name not in DRESSING
    }
    assert set(front.headers) >= DRESSING


@pytest.mark.parametrize(("method", "path"), [("POST", "/api/v1/auth/login/"), ("GET", f"{VERIFY}/"), ("GET", "/metrics/")])
async def test_nobody_is_sent_elsewhere(web: Web, method: str, path: str):
    """A redirect would carry the caller's Host (CVE-2026-48710, GHSA-3529-5m8x-rpv3) and, behind an edge that ends TLS, http: a
    password in clear."""
    headers = {"Host": "evil.example", "X-Forwarded-Host": "evil.example"}
    answer = await web.client.request(method, path, headers=headers, json={"email": "a@b.c", "password": "p"})
    assert answer.status_code == 404
    assert "location" not in answer.headers
    assert "evil.example" not in answer.text


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([("x-real-ip", "203.0.113.7"), ("x-forwarded-for", "198.51.100.1, 203.0.113.7")], "203.0.113.7"),
        ([("x-real-ip", "2001:DB8::1")], "2001:db8::1"),
        ([("x-forwarded-for", "198.51.100.1")], "192.0.2.5"),
        ([("x-real-ip", "198.51.100.1"), ("x-real-ip", "203.0.113.7")], "192.0.2.5"),
        ([("x-real-ip", "198.51.100.1\r\nx-evil: 1")], "192.0.2.5"),
        ([], "192.0.2.5"),
    ],
)
async def test_caller_does_not_choose_the_address_its_log_ins_are_limited_by(headers: list[tuple[str, str]], expected: str):
    """Only X-Real-IP is the edge's word; the first entry of X-Forwarded-For may be anybody's."""
    raw = [(name.encode(), value.encode()) for name, value in headers]
    assert client_address(Request({"type": "http", "headers": raw, "client": ("192.0.2.5", 4711)})) == expected


async def test_verify_tells_who_it_is(web: Web):
    answer = await web.client.get(VERIFY, headers=bearer())
    assert answer.status_code == 200
    assert answer.content == b""
    assert answer.headers["x-auth-user-id"] == issuing.USER
    assert answer.headers["x-auth-session-id"] == issuing.SESSION
    assert answer.headers["x-auth-role"] == "authenticated"
    assert answer.headers["x-auth-email"] == '%C3%A4nn"%0D%0A@example.com'
    assert answer.headers["x-cache"] == "miss"
    assert answer.headers["cache-control"] == "no-store"
    assert float(answer.headers["x-process-time"]) >= 0
    assert (await web.client.get(VERIFY, headers=bearer())).headers["x-cache"] == "l1"


@pytest.mark.parametrize("name", ["X-Auth-User-Id", "X_Auth_User_Id", "X-Auth-Role", "X-Forwarded-User", "X-Forwarded-Uri"])
async def test_what_the_caller_says_of_itself_is_neither_believed_nor_echoed(web: Web, name: str):
    """CVE-2025-64484, CVE-2026-40575."""
    forged = [(name, "forged"), ("Connection", "X-Auth-User-Id, Authorization")]
    refused = await web.client.get(VERIFY, headers=forged)
    assert refused.status_code == 401
    answer = await web.client.get(VERIFY, headers=bearer() + forged)
    assert answer.headers["x-auth-user-id"] == issuing.USER
    assert "forged" not in str(answer.headers)


async def test_live_needs_nothing(web: Web):
    answer = await web.client.get("/health/live")
    assert (answer.status_code, answer.json()) == (200, {"status": "live"})
    assert set(answer.headers) >= DRESSING


async def test_rejection_is_401_with_a_challenge(web: Web):
    answer = await web.client.get(VERIFY, headers=bearer(issuing.token(key=issuing.STRANGER)))
    assert answer.status_code == 401
    assert answer.json() == {"code": "bad_jwt", "message": "signature is invalid"}
    assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert (await web.client.get(VERIFY)).headers["www-authenticate"] == "Bearer"


async def test_fault_is_503_with_retry_after(web: Web):
    web.parts.issuer.fault = Unavailable("upstream", "away")
    answer = await web.client.get(VERIFY, headers=bearer())
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"


async def test_bug_is_503_too_and_says_nothing_of_itself(web: Web):
    web.parts.issuer.fault = ZeroDivisionError("secret detail")  # type: ignore[assignment]
    answer = await web.client.get(VERIFY, headers=bearer())
    assert answer.status_code == 503
    assert "secret" not in answer.text


async def test_me_is_answered_without_a_database(web: Web):
    answer = await web.client.get(ME, headers=bearer())
    assert answer.json() == {"id": issuing.USER, "profile": None, "roles": [], "permissions": []}
    assert answer.headers["x-degraded"] == "profile"


CORS_TABLE = [
    # method, origin, is on the list
    ("OPTIONS", ORIGIN, True),
    ("OPTIONS", "https://evil.example.com", False),
    ("OPTIONS", "https://app.example.com.evil.com", False),
    ("OPTIONS", "http://app.example.com", False),
    ("OPTIONS", "null", False),
    ("OPTIONS", None, False),
    ("GET", ORIGIN, True),
    ("GET", "https://evil.example.com", False),
    ("GET", "null", False),
    ("GET", None, False),
    ("POST", ORIGIN, True),
    ("POST", "https://evil.example.com", False),
]


@pytest.mark.parametrize(("method", "origin", "is_listed"), CORS_TABLE)
async def test_cors(web: Web, method: str, origin: str | None, is_listed: bool):
    headers = {"Access-Control-Request-Method": "POST", **({"Origin": origin} if origin else {})}
    path = "/api/v1/auth/login" if method != "GET" else VERIFY
    answer = await web.client.request(method, path, headers=headers)
    allowed = {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}
    assert "origin" in answer.headers["vary"].lower()
    if not is_listed:
        assert allowed == {}
        return
    assert allowed["access-control-allow-origin"] == origin
    assert allowed["access-control-allow-credentials"] == "true"
    if method == "OPTIONS":
        assert answer.status_code == 204
        assert allowed["access-control-max-age"] == "3600"
        assert answer.headers["cache-control"] == "private, max-age=3600"
        assert "authorization" in allowed["access-control-allow-headers"]
    else:
        exposed = allowed["access-control-expose-headers"]
        assert "X-Process-Time" in exposed
        assert "X-RateLimit-Remaining" in exposed


REFUSED: list[tuple[str, str, Any, int, str]] = [
    ("POST", "/api/v1/auth/login", {"email": "a@example.com"}, 400, "validation_failed"),
    ("POST", "/api/v1/auth/login", {"email": 1, "password": "hunter2hunter2"}, 400, "validation_failed"),
    ("POST", "/api/v1/auth/login", ["hunter2hunter2"], 400, "validation_failed"),
    ("POST", "/api/v1/auth/refresh", {}, 400, "validation_failed"),
    ("POST", "/api/v1/auth/revoke", {}, 401, "no_authorization"),
    ("POST", "/api/v1/auth/revoke", {"user_id": issuing.USER}, 401, "no_authorization"),
    ("GET", "/performance-metrics", None, 401, "no_authorization"),
    ("GET", "/nowhere", None, 404, "not_found"),
    ("DELETE", VERIFY, None, 405, "method_not_allowed"),
    ("POST", "/api/v1/auth/login", {"email": "a@example.com", "password": "p"}, 503, "temporarily_unavailable"),
    ("POST", "/api/v1/auth/login", {"email": "x" * BODY_BYTES_MAX, "password": "p"}, 413, "request_too_large"),
]


WRONG_REVOCATIONS: list[Any] = [
    {},
    {"user_id": issuing.USER, "session_id": issuing.SESSION},
    {"user_id": "x' or 1=1"},
    {"user_id": None},
    {"key_id": "k", "issued_before": 1},
    {"key_id": "published by nobody"},
    {"issued_before": 0},
    {"issued_before": int(issuing.NOW) + 60},
    {"user_id": issuing.USER, "scope": "all"},
]


@pytest.mark.parametrize("body", WRONG_REVOCATIONS)
async def test_wrong_revocation_is_refused(web: Web, body: Any):
    bearer = {"Authorization": "Bearer service-role-key"}
    answer = await web.client.post("/api/v1/auth/revoke", json=body, headers=bearer)
    assert (answer.status_code, answer.json()["code"]) == (400, "validation_failed")


@pytest.mark.parametrize(("method", "path", "body", "status", "code"), REFUSED)
async def test_refusals_have_one_shape_and_repeat_no_input(web: Web, method: str, path: str, body: Any, status: int, code: str):
    answer = await web.client.request(method, path, json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert set(answer.json()) == {"code", "message"}
    assert "hunter2" not in answer.text


async def test_body_without_a_length_is_bounded_too(web: Web):
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(BODY_BYTES_MAX // 65536 + 2):
            yield b" " * 65536

    answer = await web.client.post("/api/v1/auth/login", content=endless())
    assert answer.status_code >= 400


async def test_service_role_key_opens_performance_metrics(web: Web):
    answer = await web.client.get("/performance-metrics", headers={"Authorization": "Bearer service-role-key"})
    assert set(answer.json()) == {"auth", "system", "database"}
    assert (await web.client.get("/performance-metrics", headers=bearer())).status_code == 401


async def test_metrics_count_what_happened(web: Web):
    for _ in range(3):
        await web.client.get(VERIFY, headers=bearer())
    await web.client.get("/nowhere/1")
    await web.client.get("/nowhere/2")
    text = (await web.client.get("/metrics")).text
    assert 'cached_auth_cache_lookups_total{outcome="hit",tier="l1"} 2.0' in text
    assert 'cached_auth_requests_total{route="/api/v1/auth/verify",status="200"} 3.0' in text
    assert 'cached_auth_requests_total{route="other",status="404"} 2.0' in text
    assert "nowhere" not in text, "a label taken from requests would grow without bound"


async def test_large_answers_are_gzipped_and_small_ones_are_not(web: Web):
    answer = await web.client.get("/metrics", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert len(answer.text) > 1000
    assert "content-encoding" not in (await web.client.get("/health/ready", headers={"Accept-Encoding": "gzip"})).headers


async def test_not_ready_names_the_parts(web: Web):
    answer = await web.client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["parts"] == {
        "process": "ok",
        "jwks": "not loaded",
        "revocation_feed": "silent",
        "database": "unreachable",
        "redis": "not configured",
    }


@pytest.mark.parametrize(("environment", "status"), [("dev", 200), ("staging", 200), ("prod", 404)])
async def test_docs_are_not_served_in_production(environment: str, status: int):
    web = Web(Parts(), ENVIRONMENT=environment)
    async with web.client, web.behind:
        assert (await web.client.get("/openapi.json")).status_code == status
        assert (await web.client.get("/docs")).status_code == status
    await web.auth_api.close()
    await web.upstream.close()


BAD_CHANGES = [
    {},
    [],
    {"display_name": ""},
    {"display_name": "x" * 201},
    {"display_name": "Ann\x00"},
    {"display_name": "Ann\r\nBcc: all@example.com"},
    {"display_name": "\ud800"},
    {"display_name": 7},
    {"display_name": "Ann", "email": "other@example.com"},
]


@pytest.mark.parametrize("body", BAD_CHANGES, ids=str)
async def test_profile_takes_no_bad_name_and_nothing_else(web: Web, body: object):
    headers = {"Authorization": f"Bearer {TOKEN.decode()}", "Content-Type": "application/json"}
    answer = await web.client.patch(ME, content=json.dumps(body), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "validation_failed")


async def test_change_of_a_profile_asks_the_issuer_each_time(web: Web):
    """What is in memory will do for reading; who writes must not be a moment behind."""
    await web.parts.verify(TOKEN)
    asked = web.parts.issuer.asked
    headers = {"Authorization": f"Bearer {TOKEN.decode()}"}
    answer = await web.client.patch(ME, json={"display_name": None}, headers=headers)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1"), "its database is away"
    assert web.parts.issuer.asked == asked + 1
    web.parts.issuer.fault = TokenRejected("session_not_found", "gone")
    answer = await web.client.patch(ME, json={"display_name": 7}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "session_not_found"), "before the body is looked at"
    assert (await web.client.patch(ME, json={"display_name": "x"})).status_code == 401


async def test_openapi_names_every_endpoint(web: Web):
    paths = set(json.loads((await web.client.get("/openapi.json")).content)["paths"])
    assert {f"/api/v1/auth/{name}" for name in ("verify", "me", "login", "logout", "refresh", "register", "revoke")} <= paths


async def test_openapi_names_every_answer_and_no_other(web: Web):
    """What Schemathesis found: 400, 401 and 503 were not in the document, FastAPI's own 422 was, and metrics were JSON."""
    document = json.loads((await web.client.get("/openapi.json")).content)
    operations = {path: operation for path, methods in document["paths"].items() for operation in methods.values()}
    assert not [path for path, operation in operations.items() if "422" in operation["responses"]]
    for path in ("login", "refresh", "register", "logout", "revoke"):
        assert {"400", "413", "503"} <= operations[f"/api/v1/auth/{path}"]["responses"].keys()
    assert {"400", "404", "413", "429"} <= document["paths"][ME]["patch"]["responses"].keys()
    secured = {path for path, operation in operations.items() if operation.get("security") == [{"bearer": []}]}
    assert secured == {*(f"/api/v1/auth/{name}" for name in ("verify", "me", "logout", "revoke")), "/performance-metrics"}
    assert all("401" in operations[path]["responses"] for path in secured)
    assert list(operations["/metrics"]["responses"]["200"]["content"]) == ["text/plain"]
    revocation = document["components"]["schemas"]["RevocationRequest"]
    assert (revocation["minProperties"], revocation["maxProperties"]) == (1, 1)
    assert revocation["properties"]["issued_before"]["minimum"] == 1


async def test_options_advertises_no_method_that_a_resource_has_not(web: Web):
    answer = await web.client.options(VERIFY)
    assert answer.status_code == 204
    assert "allow" not in answer.headers


@pytest.mark.parametrize("name", ["Range", "If-Range", "If-None-Match", "If-Modified-Since", "If-Match", "If-Unmodified-Since"])
async def test_what_many_may_be_answered_with_is_asked_for_whole(web: Web, monkeypatch: pytest.MonkeyPatch, name: str):
    """A 304 to one caller's question would be an empty answer to the others who share it."""
    asked: list[bytes] = []

    @asynccontextmanager
    async def opened(
        _method: str, _target: bytes, headers: list[tuple[bytes, bytes]], _body: object
    ) -> AsyncIterator[httpx.Response]:
        asked.extend(name for name, _ in headers)
        yield httpx.Response(200, stream=httpx.ByteStream(b"{}"))

    monkeypatch.setattr(web.upstream, "opened", opened)
    answer = await web.client.get("/auth/v1/settings", headers={"apikey": "k", name: "x"})
    assert answer.status_code == 200
    assert b"apikey" in asked
    assert name.lower().encode() not in asked
