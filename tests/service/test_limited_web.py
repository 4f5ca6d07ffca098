"""The limits as callers meet them: statuses, headers, and the bodies that decide whose log-in it is."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, MutableMapping
from typing import Any

import httpx
import pytest

from service.errors import Unavailable
from service.limits.arithmetic import per
from service.limits.gate import Gate
from service.limits.local_store import LocalStore
from service.limits.rules import read_rules
from service.limits.users import UserRates
from service.metrics.counters import Counters
from service.upstream.auth_api import UpstreamAnswer
from service.web.limited_drop_in import READ_BYTES_MAX, LimitedDropIn, account_of
from tests.service import issuing
from tests.service.conftest import settings_with
from tests.service.parts import Hands, Parts
from tests.service.test_front import ORIGIN, Web

pytestmark = pytest.mark.anyio

WRONG = UpstreamAnswer(400, {"x-sb-error-code": "invalid_credentials"}, b'{"code":"invalid_credentials","message":"no"}')
LOGIN, REFRESH, REGISTER = (f"/api/v1/auth/{name}" for name in ("login", "refresh", "register"))
CREDENTIALS = {"email": "ann@example.com", "password": "p"}


@pytest.fixture
async def web(anyio_backend: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Web]:
    async def wrong(*_: object) -> UpstreamAnswer:
        return WRONG

    web = Web(Parts(), RATE_LIMIT_ADDRESS_PER_MINUTE="20", RATE_LIMIT_REFRESH_PER_MINUTE="2")
    monkeypatch.setattr(web.auth_api, "grant", wrong)
    monkeypatch.setattr(web.auth_api, "sign_up", wrong)
    async with web.client, web.behind:
        yield web
    await web.auth_api.close()
    await web.upstream.close()


async def test_what_is_left_is_sent_and_may_be_read_by_a_browser(web: Web):
    answers = [await web.client.post(LOGIN, json=CREDENTIALS, headers={"Origin": ORIGIN}) for _ in range(3)]
    assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == ["19", "18", "17"]
    assert answers[0].headers["x-ratelimit-limit"] == "20"
    assert answers[0].headers["x-ratelimit-reset"] == "3"
    assert "X-RateLimit-Remaining" in answers[0].headers["access-control-expose-headers"]
    registered = await web.client.post(REGISTER, json=CREDENTIALS)
    assert registered.headers["x-ratelimit-remaining"] == "16"


async def test_locked_log_in_is_429_in_the_issuers_words(web: Web):
    answers = [await web.client.post(LOGIN, json=CREDENTIALS) for _ in range(7)]
    assert [answer.status_code for answer in answers] == [400] * 6 + [429]
    refused = answers[-1]
    assert refused.json() == {"code": "over_request_rate_limit", "message": "Request rate limit reached"}
    assert refused.headers["retry-after"] == "5"
    assert refused.headers["x-ratelimit-remaining"] == "0"
    other = await web.client.post(LOGIN, json={**CREDENTIALS, "email": "bob@example.com"})
    assert other.status_code == 400


async def test_refresh_beyond_the_limit_is_503(web: Web):
    answers = [await web.client.post(REFRESH, json={"refresh_token": "r"}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [400, 400, 503]
    assert answers[-1].json()["code"] == "temporarily_unavailable"
    assert answers[-1].headers["retry-after"] == "30"


async def test_checks_of_tokens_have_no_rate(web: Web):
    """A gateway asks for all its users from one address, and a refusal here would be taken for the session's end."""
    for _ in range(50):
        assert (await web.client.get("/api/v1/auth/verify", headers={"Authorization": "Bearer x"})).status_code == 401


async def test_what_a_user_costs_beyond_hits_is_bounded_for_each_by_itself(anyio_backend: str):
    """Strict checks, /me and ever new variants of /auth/v1/user; a hit is answered whatever else the user has asked."""
    web = Web(Parts(), RATE_LIMIT_USER_PER_MINUTE="4")
    ann, bob = issuing.token(), issuing.token(sub=issuing.OTHER_USER, session_id=issuing.OTHER_SESSION)

    async def status(path: str, token: bytes = ann, **headers: str) -> int:
        answer = await web.client.get(path, headers={"Authorization": f"Bearer {token.decode()}", **headers})
        return answer.status_code if "retry-after" not in answer.headers else int(answer.headers["retry-after"])

    async with web.client, web.behind:
        assert [await status("/api/v1/auth/verify?policy=strict") for _ in range(2)] == [200, 200]
        assert await status("/api/v1/auth/me") == 200
        assert await status("/auth/v1/user", Origin="https://a.example.com") == 1, "the issuer is away here"
        assert await status("/auth/v1/user", Origin="https://b.example.com") == 15
        for path in ("/api/v1/auth/verify?policy=strict", "/api/v1/auth/me"):
            assert await status(path) == 15
        assert web.parts.counters.limited == {"user": 3}
        assert [await status("/api/v1/auth/verify") for _ in range(20)] == [200] * 20
        web.parts.issuer.user_id = issuing.OTHER_USER
        assert await status("/api/v1/auth/verify?policy=strict", bob) == 200
        web.parts.issuer.user_id = issuing.USER
        web.parts.hands.forward(15.0)
        assert await status("/api/v1/auth/verify?policy=strict") == 200
        assert await status("/api/v1/auth/verify?policy=strict", issuing.token(key=issuing.STRANGER)) == 401, "which is nobody's"
    await web.auth_api.close()
    await web.upstream.close()


def test_users_are_forgotten_rather_than_kept_without_bound():
    rates = UserRates(per(1, 60), lambda: 5.0, Counters(), users_max=3)
    for number in range(10):
        rates.take(f"user {number}")
    rates.take("user 0")
    with pytest.raises(Unavailable):
        rates.take("user 9")
    nobody = UserRates(per(0, 60), lambda: 5.0, Counters())
    for _ in range(10):
        nobody.take("user 0")


class Behind:
    """In the drop-in's place: keeps what it is sent, and answers."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.status, self.body = 400, WRONG.body

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> int:
        body, is_whole = b"", False
        while not is_whole:
            message = await receive()
            body += message.get("body", b"")
            is_whole = not message.get("more_body", False)
        self.bodies.append(body)
        await send({"type": "http.response.start", "status": self.status, "headers": [(b"x-from", b"issuer")]})
        await send({"type": "http.response.body", "body": self.body[:9], "more_body": True})
        await send({"type": "http.response.body", "body": self.body[9:]})
        return self.status


class DropInWorld:
    def __init__(self) -> None:
        rules = read_rules(settings_with(RATE_LIMIT_ADDRESS_PER_MINUTE="20", RATE_LIMIT_REFRESH_PER_MINUTE="2"))
        hands = Hands()
        gate = Gate(LocalStore(rules, lambda: int(hands.clock.wall() * 1e6)), rules, "k", Counters())
        self.behind = Behind()
        application: Any = LimitedDropIn(self.behind, gate)  # type: ignore[arg-type]
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://service")

    async def post(self, path: str, body: object, **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.client.post(f"/auth/v1/{path}", content=content, headers=headers)


@pytest.fixture
async def stand_in(anyio_backend: str) -> AsyncIterator[DropInWorld]:
    world = DropInWorld()
    async with world.client:
        yield world


async def test_drop_in_hands_on_the_very_bytes_and_adds_nothing(stand_in: DropInWorld):
    body = b' {"email":"ann@example.com", "password" : "p\\u0070"} '
    answer = await stand_in.post("token?grant_type=password", body)
    assert stand_in.behind.bodies == [body]
    assert (answer.status_code, answer.content) == (400, WRONG.body)
    assert set(answer.headers) == {"x-from"}


@pytest.mark.parametrize("version", ["", "2024-01-01"])
async def test_drop_in_locks_a_pair_in_the_shape_of_its_api_version(stand_in: DropInWorld, version: str):
    headers = {"X-Supabase-Api-Version": version, "Origin": "https://a.example"} if version else {}
    answers = [await stand_in.post("token?grant_type=password", CREDENTIALS, **headers) for _ in range(7)]
    assert [answer.status_code for answer in answers] == [400] * 6 + [429]
    assert answers[-1].headers["retry-after"] == "5"
    assert answers[-1].headers["x-sb-error-code"] == "over_request_rate_limit"
    assert answers[-1].json()["code"] == ("over_request_rate_limit" if version else 429)
    assert answers[-1].headers.get("access-control-allow-origin") == ("*" if version else None)
    assert len(stand_in.behind.bodies) == 6


async def test_drop_in_locks_whoever_guesses_codes(stand_in: DropInWorld):
    """Six digits, good for an hour, are found from many addresses long before a password is."""
    stand_in.behind.status, stand_in.behind.body = 403, b'{"code":"otp_expired","message":"Token has expired or is invalid"}'
    guess = {"type": "email", "email": "ann@example.com", "token": "123456"}
    answers = [await stand_in.post("verify", guess, **{"X-Supabase-Api-Version": "2024-01-01"}) for _ in range(7)]
    assert [answer.status_code for answer in answers] == [403] * 6 + [429]
    assert (await stand_in.post("token?grant_type=password", CREDENTIALS)).status_code == 429, "they are one account's"
    assert (await stand_in.post("verify", {"type": "email", "token_hash": "x" * 56})).status_code == 403, "which nobody guesses"


@pytest.mark.parametrize("path", ["token?grant_type=password", "verify"])
async def test_drop_in_reads_no_more_than_a_log_in_can_be(stand_in: DropInWorld, path: str):
    """What is not read cannot be counted, and what is read lies in memory."""
    answer = await stand_in.post(path, {**CREDENTIALS, "padding": "x" * READ_BYTES_MAX})
    assert (answer.status_code, answer.headers["x-sb-error-code"]) == (413, "request_entity_too_large")
    assert stand_in.behind.bodies == []


async def test_drop_in_success_wipes_the_slate(stand_in: DropInWorld):
    for _ in range(5):
        await stand_in.post("token?grant_type=password", CREDENTIALS)
    stand_in.behind.status = 200
    assert (await stand_in.post("token?grant_type=password", CREDENTIALS)).status_code == 200
    stand_in.behind.status = 400
    assert (await stand_in.post("token?grant_type=password", CREDENTIALS)).status_code == 400


async def test_answer_that_breaks_off_is_nobodys_failure(stand_in: DropInWorld, monkeypatch: pytest.MonkeyPatch):
    async def broken(*_: object) -> int:
        raise ConnectionError

    monkeypatch.setattr(Behind, "__call__", broken)
    for _ in range(8):
        with pytest.raises(ConnectionError):
            await stand_in.post("token?grant_type=password", CREDENTIALS)


async def test_drop_in_refresh_is_503_and_the_rest_429(stand_in: DropInWorld):
    refreshed = [await stand_in.post("token?grant_type=refresh_token", {"refresh_token": "r"}) for _ in range(3)]
    assert [answer.status_code for answer in refreshed] == [400, 400, 503]
    mails = [await stand_in.post("otp", {"email": f"{number}@example.com"}) for number in range(21)]
    assert [answer.status_code for answer in mails] == [400] * 20 + [429]
    assert (await stand_in.post("logout", {})).status_code == 400, "a log-out is never refused"


@pytest.mark.parametrize(
    ("body", "account"),
    [
        (b'{"email":"a@b.c","password":"p"}', "a@b.c"),
        (b'{"EMAIL":"a@b.c","password":"p"}', "a@b.c"),
        (b'{"phone":"+49170","password":"p"}', "+49170"),
        (b'{"email":"","phone":"49170"}', "49170"),
        (b'{"id_token":"x","provider":"google"}', None),
        (b'{"email":1}', None),
        (b"[]", None),
        (b'[["email","a@b.c"]]', None),
        (b"", None),
    ],
)
def test_account_is_read_as_the_issuer_will_read_it(body: bytes, account: str | None):
    assert account_of(body) == account


@pytest.mark.parametrize(
    "body",
    [
        b'{"email":"own@example.com","Email":"ann@example.com","password":"p"}',
        b'{"email":"own@example.com","email":"ann@example.com","password":"p"}',
        b'{"email":"own@example.com","phone":"49170","password":"p"}',
    ],
)
async def test_body_that_names_two_accounts_reaches_nobody(stand_in: DropInWorld, body: bytes):
    """Go's decoder takes the last and does not care about case: the attacker's own account would be counted for ann's."""
    answer = await stand_in.post("token?grant_type=password", body)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "validation_failed")
    assert stand_in.behind.bodies == []


@pytest.mark.parametrize("more", [b"[" * 3000 + b"]" * 3000, b"1" * 5000], ids=["deep", "long number"])
async def test_body_that_go_can_read_and_python_cannot_is_no_way_past_the_locks(stand_in: DropInWorld, more: bytes):
    """Go skips members that it does not know without looking into them, to a depth of 10,000."""
    body = b'{"email":"ann@example.com","password":"guess","x":' + more + b"}"
    answer = await stand_in.post("token?grant_type=password", body)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "bad_json")
    assert stand_in.behind.bodies == []


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe{", b"[" * 60_000, b'{"email":"ann@example.com"} and more'])
async def test_body_that_is_no_json_reaches_nobody(stand_in: DropInWorld, body: bytes):
    assert (await stand_in.post("token?grant_type=password", body)).status_code == 400
    assert stand_in.behind.bodies == []
