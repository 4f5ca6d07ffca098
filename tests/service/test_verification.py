"""HS256 by a secret, clocks that differ, policy `strict`, opaque tokens: what each accepts, asks and remembers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from service.cache.introspection import Ask, Verifier, is_opaque
from service.errors import TokenRejected, Unavailable
from service.tokens.identity import IssuerUser
from service.tokens.keys import secret_key
from service.tokens.parsing import parse
from service.tokens.verification import Policy, check_claims
from service.web.auth_endpoints import verify_lines
from service.web.front import asks_strictly
from tests.service import issuing
from tests.service.conftest import settings_with
from tests.service.issuing import NOW
from tests.service.parts import CACHE_KEY, UNLIMITED, Parts, outcome_of
from tests.service.test_front import ME, VERIFY, Web, bearer

pytestmark = pytest.mark.anyio

SECRET = "the project's legacy secret, which is long enough"
OPAQUE = b"sbp_0123456789abcdef0123456789"
LEGACY = issuing.hmac_token(SECRET.encode())


async def test_hs256_is_refused_unless_there_is_a_secret():
    parts = Parts()
    assert await outcome_of(parts.verify(LEGACY)) is TokenRejected
    assert await Parts(jwt_secret=SECRET).verify(LEGACY) == "miss"


@pytest.mark.parametrize(
    "attack",
    [
        issuing.hmac_token(b"another secret, which is just as long as the first"),
        issuing.hmac_token(issuing.RSA.as_pem(private=False), {"kid": "rsa-1"}),
        issuing.hmac_token(json.dumps(issuing.EC.as_dict(private=False)).encode()),
        issuing.hmac_token(b""),
        issuing.hmac_token(SECRET.encode(), {"alg": "ES256"}),
        issuing.hmac_token(SECRET.encode(), {"alg": "RS256", "kid": "rsa-1"}),
        issuing.hmac_token(SECRET.encode(), {"alg": "HS512"}),
        issuing.hmac_token(SECRET.encode(), {"kid": ""})[:-2] + b"AA",
        issuing.token({"alg": "HS256"}),
        issuing.hmac_token(SECRET.encode(), exp=NOW - 1),
        issuing.hmac_token(SECRET.encode(), iss="https://attacker.example/auth/v1"),
        issuing.hmac_token(SECRET.encode(), {"crit": ["exp"]}),
    ],
)
async def test_secret_opens_no_door_beside_its_own(attack: bytes):
    """The algorithm decides which key is looked for, never the other way round (RFC 8725 section 3.1)."""
    assert await outcome_of(Parts(jwt_secret=SECRET).verify(attack)) is TokenRejected


@pytest.mark.parametrize("kid", ["ec-1", "", None, "anything"])
async def test_name_that_an_hs256_token_gives_its_key_is_of_no_account(kid: str | None):
    assert await Parts(jwt_secret=SECRET).verify(issuing.hmac_token(SECRET.encode(), {"kid": kid})) == "miss"


async def test_published_keys_stay_good_beside_the_secret():
    parts = Parts(jwt_secret=SECRET)
    assert [await parts.verify(token) for token in (issuing.token(), issuing.rsa_token(), LEGACY)] == ["miss"] * 3


async def test_project_that_publishes_no_key_is_served_by_its_secret():
    parts = Parts(jwt_secret=SECRET)
    parts.key_document = b'{"keys": []}'
    assert parts.jwks.is_loaded
    await parts.jwks.refresh()
    assert await parts.verify(LEGACY) == "miss"
    assert await outcome_of(parts.verify(issuing.token())) is TokenRejected, "not 503: there is no such key"


async def test_emptied_document_does_not_wipe_keys_that_were_there():
    parts = Parts(jwt_secret=SECRET)
    await parts.jwks.refresh()
    parts.key_document = b'{"keys": []}'
    await parts.jwks.refresh()
    assert await parts.verify(issuing.token()) == "miss"


async def test_records_of_a_secret_that_was_changed_are_worth_nothing():
    before = Parts(jwt_secret=SECRET)
    await before.verify(LEGACY)
    after = Parts(before.hands, before.shared.sealed, jwt_secret=SECRET + " and longer")
    assert await outcome_of(after.verify(LEGACY)) is TokenRejected
    same = Parts(before.hands, before.shared.sealed, jwt_secret=SECRET)
    assert await same.verify(LEGACY) == "l2"


def test_name_of_the_secret_helps_nobody_to_guess_it():
    """It lies in Redis; a plain hash of a weak secret could be tried against a dictionary there."""
    assert secret_key(SECRET, CACHE_KEY).thumbprint != secret_key(SECRET, "another key").thumbprint
    assert secret_key(SECRET, CACHE_KEY).thumbprint == secret_key(SECRET, CACHE_KEY).thumbprint


@pytest.mark.parametrize("claim", ["nbf", "iat"])
@pytest.mark.parametrize(("skew_s", "ahead_s", "is_good"), [(5, 5, True), (5, 6, False), (0, 1, False), (60, 60, True)])
def test_clock_skew_is_what_the_setting_says(claim: str, skew_s: float, ahead_s: float, is_good: bool):
    claims = parse(issuing.token(**{claim: NOW + ahead_s})).claims
    policy = Policy(issuing.ISSUER, issuing.AUDIENCE, skew_s)
    if is_good:
        check_claims(claims, policy, NOW)
    else:
        with pytest.raises(TokenRejected):
            check_claims(claims, policy, NOW)


def test_no_skew_reaches_past_exp():
    with pytest.raises(TokenRejected):
        check_claims(parse(issuing.token(exp=NOW)).claims, Policy(issuing.ISSUER, issuing.AUDIENCE, 60.0), NOW)


def verifier(parts: Parts, policy: str = "cached", when_silent: str = "ask", *, opaque: bool = False) -> Verifier:
    ask = parts.issuer.user
    policies = settings_with(VERIFY_POLICY=policy, REVOCATION_WHEN_SILENT=when_silent).policies
    return Verifier(parts.authenticator, ask, ask, ask if opaque else None, verify_lines, parts.clock, policies, UNLIMITED)


async def test_strict_asks_for_every_request_and_remembers_nothing():
    parts, token = Parts(), issuing.token()
    strict = verifier(parts, "strict")
    for asked in (1, 2, 3):
        assert (await strict.authenticate(token, "verify"))[1] == "miss"
        assert parts.issuer.asked == asked
    assert strict.cached(token) is None
    assert not parts.shared.sealed


async def test_strict_notices_what_a_cache_could_not():
    parts, token = Parts(), issuing.token()
    await parts.verify(token)
    parts.issuer.fault = TokenRejected("session_not_found", "ended elsewhere, and nobody told us")
    assert await parts.verify(token) == "l1"
    assert await outcome_of(verifier(parts).authenticate(token, "verify", is_strict=True)) is TokenRejected
    assert await outcome_of(parts.verify(token)) is TokenRejected, "what was learned counts for everybody"


async def test_strict_does_not_share_a_question_that_began_earlier():
    """It may have been answered before the session ended."""
    parts, token = Parts(), issuing.token()
    parts.issuer.gate = asyncio.Event()
    strict = verifier(parts, "strict")
    both = [asyncio.create_task(strict.authenticate(token, "verify")) for _ in range(2)]
    while parts.issuer.asked < 2:
        await parts.issuer.was_asked.wait()
        await asyncio.sleep(0)
    parts.issuer.gate.set()
    await asyncio.gather(*both)


async def test_strict_holds_all_other_laws():
    parts, token = Parts(), issuing.token()
    strict = verifier(parts, "strict")
    parts.issuer.fault = Unavailable("upstream", "away")
    assert await outcome_of(strict.authenticate(token, "verify")) is Unavailable
    parts.issuer.fault, parts.issuer.user_id = None, issuing.OTHER_USER
    assert await outcome_of(strict.authenticate(token, "verify")) is Unavailable
    parts.issuer.user_id = issuing.USER
    parts.issuer.during = parts.revoke_session
    assert await outcome_of(strict.authenticate(token, "verify")) is TokenRejected
    assert await outcome_of(strict.authenticate(issuing.token(key=issuing.STRANGER), "verify")) is TokenRejected
    assert parts.issuer.asked == 3, "neither a revoked session nor a forged token is worth a question"


async def test_strict_is_no_way_past_a_revocation_that_overtook_the_answer():
    """A token as young as the revocation: the issuer may have said yes before the session ended."""
    parts, young = Parts(), issuing.token(iat=NOW)
    parts.issuer.during = parts.revoke_user
    assert await outcome_of(verifier(parts).authenticate(young, "verify", is_strict=True)) is Unavailable
    parts.issuer.during = None
    parts.hands.forward(1.0)
    assert (await verifier(parts).authenticate(young, "verify", is_strict=True))[1] == "miss", "confirmed after it"


async def test_neither_strict_nor_opaque_is_a_way_round_refuse(monkeypatch: pytest.MonkeyPatch):
    """The issuer knows nothing of a key's or everyone's revocation; without the feed its word is not enough."""
    parts = Parts()

    async def ask(_token: bytes) -> IssuerUser:
        return IssuerUser(issuing.USER, b'{"id":"%s"}' % issuing.USER.encode())

    monkeypatch.setattr(parts.issuer, "user", ask)
    checks = verifier(parts, when_silent="ask,verify=refuse", opaque=True)
    for token, is_strict in ((issuing.token(), True), (OPAQUE, False)):
        parts.feed.is_alive = True
        assert (await checks.authenticate(token, "verify", is_strict=is_strict))[1] == "miss"
        parts.feed.is_alive = False
        parts.hands.forward(2.5)
        assert await outcome_of(checks.authenticate(token, "verify", is_strict=is_strict)) is Unavailable
        assert (await checks.authenticate(token, "me", is_strict=is_strict))[1] == "miss", "whose rule is its own"


async def test_each_route_has_its_own_policy_and_they_share_what_is_known():
    """One is asked of the issuer each time, one answers from memory alone while the feed speaks, one goes on without it."""
    parts, token = Parts(), issuing.token()
    checks = verifier(parts, "cached,user=strict", "refuse,me=ask")
    assert [(await checks.authenticate(token, route))[1] for route in ("me", "verify", "verify", "user", "user")] == [
        "miss",
        "l1",
        "l1",
        "miss",
        "miss",
    ]
    assert checks.cached(token) is not None
    parts.feed.is_alive = False
    parts.hands.forward(2.5)
    assert checks.cached(token) is None
    assert await outcome_of(checks.authenticate(token, "verify")) is Unavailable
    assert (await checks.authenticate(token, "me"))[1] == "miss"
    assert (await checks.authenticate(token, "me"))[1] == "l1", "on the issuer's own word, which is not 2 s old"
    assert checks.cached(token) is None, "which is not enough here"
    assert await outcome_of(checks.authenticate(token, "verify")) is Unavailable


async def test_those_whom_the_settings_mean_do_not_share_a_lane_with_callers_who_ask_for_more():
    parts, token = Parts(), issuing.token()
    asked: list[str] = []

    def lane(name: str) -> Ask:
        async def ask(token: bytes) -> IssuerUser:
            asked.append(name)
            return await parts.issuer.user(token)

        return ask

    policies = settings_with(VERIFY_POLICY="cached,verify=strict").policies
    checks = Verifier(parts.authenticator, lane("settings"), lane("caller"), None, verify_lines, parts.clock, policies, UNLIMITED)
    for route, is_strict in (("verify", False), ("verify", True), ("me", True)):
        await checks.authenticate(token, route, is_strict=is_strict)
    assert asked == ["settings", "settings", "caller"]


@pytest.mark.parametrize(
    ("token", "is_so"),
    [
        (OPAQUE, True),
        (b"abcdefghijklmnopqrstuvwxyz+/==", True),
        (issuing.token(), False),
        (b"aaaaaaaaaa.aaaaaaaaaa.aaaaaaaaaa", False),
        (b"short", False),
        (b"x" * 8193, False),
        (OPAQUE + b" ", False),
        (OPAQUE + b"\0", False),
        (b"caf\xc3\xa9" * 10, False),
    ],
)
def test_what_looks_like_a_jwt_is_never_anything_else(token: bytes, is_so: bool):
    assert is_opaque(token) is is_so


async def test_opaque_token_is_the_issuers_to_judge_each_time(monkeypatch: pytest.MonkeyPatch):
    parts = Parts()
    user = {"id": issuing.USER, "email": "ann@example.com", "role": "authenticated"}

    async def ask(_token: bytes) -> IssuerUser:
        parts.issuer.asked += 1
        return IssuerUser(issuing.USER, json.dumps(user).encode())

    monkeypatch.setattr(parts.issuer, "user", ask)
    opaque = verifier(parts, opaque=True)
    for _ in range(2):
        entry, tier = await opaque.authenticate(OPAQUE, "verify")
        assert (entry.identity.user_id, entry.identity.email, entry.identity.session_id, tier) == (
            issuing.USER,
            "ann@example.com",
            "",
            "miss",
        )
    assert parts.issuer.asked == 2
    assert not parts.shared.sealed
    assert await outcome_of(verifier(parts).authenticate(OPAQUE, "verify")) is TokenRejected, "unless the setting says otherwise"
    user["id"] = "admin"
    assert await outcome_of(opaque.authenticate(OPAQUE, "verify")) is Unavailable


async def test_bad_jwt_gets_no_second_chance_as_an_opaque_token():
    parts = Parts()
    assert await outcome_of(verifier(parts, opaque=True).authenticate(issuing.token(exp=NOW - 1), "verify")) is TokenRejected
    assert parts.issuer.asked == 0


@pytest.fixture(params=["cached", "strict", "cached,verify=strict", "strict,me=cached,user=cached"])
async def web(request: pytest.FixtureRequest, anyio_backend: str) -> AsyncIterator[Web]:
    web = Web(Parts(), VERIFY_POLICY=request.param)
    async with web.client, web.behind:
        yield web
    await web.auth_api.close()
    await web.upstream.close()


@pytest.mark.parametrize("path", [VERIFY, ME])
@pytest.mark.parametrize("query", ["", "?policy=strict", "?policy=cached&policy=strict", "?policy=cached"])
async def test_callers_may_ask_for_more_care_and_never_for_less(web: Web, request: pytest.FixtureRequest, path: str, query: str):
    headers = bearer(issuing.token())
    tiers = [(await web.client.get(path + query, headers=headers)).headers["x-cache"] for _ in range(3)]
    strict_paths = {"cached": (), "strict": (VERIFY, ME)}.get(request.node.callspec.params["web"], (VERIFY,))
    is_strict = "strict" in query or path in strict_paths
    assert tiers == (["miss"] * 3 if is_strict else ["miss", "l1", "l1"])


@pytest.mark.parametrize(
    ("query", "is_so"),
    [
        (b"policy=strict", True),
        (b"policy=%73trict", True),
        (b"p%6Flicy=strict", True),
        (b"policy=Strict", True),
        (b"policy=strikt", True),
        (b"policy=", True),
        (b"policy=cached&policy=strict", True),
        (b"policy=cached", False),
        (b"other=strict", False),
        (b"", False),
    ],
)
def test_policy_that_is_not_understood_is_no_reason_for_less_care(query: bytes, is_so: bool):
    assert asks_strictly(query) is is_so
