"""Our verification held against PyJWT's: two programs that share no line, asked about the same made-up tokens.

Ours is meant to be the stricter. So whatever it accepts PyJWT must accept too, and what PyJWT accepts and ours refuses must be
for one of the reasons that are listed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, tzinfo
from typing import Any

import jwt as pyjwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from service.errors import TokenRejected
from service.tokens.keys import read_key_set, secret_key
from service.tokens.parsing import SECRET_KEY_ID, parse
from service.tokens.verification import CLOCK_SKEW_S, Policy, check_claims, check_signature
from tests.service import issuing
from tests.service.issuing import NOW

SECRET = "the project's legacy secret, which is long enough"
POLICY = Policy(issuing.ISSUER, issuing.AUDIENCE)
KEYS = {**read_key_set(issuing.jwks()).keys, SECRET_KEY_ID: secret_key(SECRET, "cache key")}
PUBLIC = {"ES256": issuing.EC.public_key, "RS256": issuing.RSA.public_key, "HS256": SECRET}

# Where ours refuses what PyJWT accepts: message, and why it may.
STRICTER = {
    "token is expired": "PyJWT's leeway reaches past exp, ours does not",
    "sub and session_id must be UUIDs": "revocations are looked up by these",
    "claims are missing or of the wrong type": "session_id is needed here, and times are numbers, not text",
    "header member not accepted: jwk": "a token brings no key of its own",
    "header member not accepted: b64": "nothing that changes how the rest is read (RFC 7797)",
    "header names no key": "our issuer names its keys",
    "token is signed by an unknown key": "the oracle is told the key by its algorithm, we look for its name",
    "not an access token": "typ of something else",
    "signing algorithm does not belong to the key": "the name of a key of another kind",
    "token is not canonical base64url": "one spelling for a token",
    "token is not three base64url parts": "one spelling for a token",
    "token is from another issuer": "`iss` is compared as it is",
}


class Then(datetime):
    """PyJWT takes no clock: it asks `datetime.now`. The moment of import is no substitute: the tests may run minutes later."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Then:
        return cls.fromtimestamp(NOW, tz)


@pytest.fixture(scope="module", autouse=True)
def same_clock() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jwt.api_jwt.datetime", Then)
        yield


def ours(token: bytes) -> str | None:
    """None where it is accepted, else why not."""
    try:
        parsed = parse(token)
        check_claims(parsed.claims, POLICY, NOW)
        key = KEYS.get(parsed.key_id)
        if key is None:
            return "token is signed by an unknown key"
        check_signature(parsed, key)
    except TokenRejected as refusal:
        return refusal.message
    return None


def oracle(token: bytes) -> bool:
    try:
        algorithm = pyjwt.get_unverified_header(token)["alg"]
        pyjwt.decode(
            token,
            PUBLIC[algorithm],  # type: ignore[arg-type]
            algorithms=[algorithm],
            issuer=issuing.ISSUER,
            audience=issuing.AUDIENCE,
            leeway=CLOCK_SKEW_S,
            options={"require": ["exp", "iat", "iss", "aud", "sub"]},
        )
    except (pyjwt.PyJWTError, KeyError, ValueError, TypeError):
        return False
    return True


def hold_together(token: bytes) -> None:
    reason = ours(token)
    if reason is None:
        assert oracle(token), "ours accepts what PyJWT refuses"
    elif oracle(token):
        assert reason in STRICTER, reason


OFFSETS_S = some.sampled_from([-100_000, -3600, -60, -1, 0, 1, 60, 3600, 100_000])
TIMES = OFFSETS_S.map(lambda offset: NOW + offset) | some.sampled_from([None, "soon", True, -1, 1e300])
CLAIMS = some.fixed_dictionaries(
    {},
    optional={
        "exp": TIMES,
        "iat": TIMES,
        "nbf": TIMES,
        "iss": some.sampled_from([issuing.ISSUER, issuing.ISSUER[:-1], issuing.ISSUER + "/", "", None, [issuing.ISSUER]]),
        "aud": some.sampled_from([issuing.AUDIENCE, [issuing.AUDIENCE, "x"], "auth", [], "", None, {"authenticated": 1}]),
        "sub": some.sampled_from([issuing.USER, issuing.USER.upper(), "", 1, None]),
        "session_id": some.sampled_from([issuing.SESSION, "", None]),
        "role": some.text(max_size=5),
    },
)
HEADERS = some.fixed_dictionaries(
    {},
    optional={
        "alg": some.sampled_from(["ES256", "RS256", "HS256", "none", "ES384", "HS512"]),
        "kid": some.sampled_from(["ec-1", "rsa-1", "", None, "../x"]),
        "typ": some.sampled_from(["JWT", "at+jwt", "id_token", None]),
        "crit": some.sampled_from([[], ["exp"], ["b64"]]),
        "b64": some.booleans(),
        "jwk": some.just(issuing.STRANGER.as_dict(private=False)),
    },
)
SIGNERS = {"ES256": (issuing.EC, "ec-1"), "RS256": (issuing.RSA, "rsa-1"), "HS256": (secret_key(SECRET, "").key, None)}


def made(algorithm: str, claims: dict[str, Any], header: dict[str, Any]) -> bytes:
    key, name = SIGNERS[algorithm]
    head = {"alg": algorithm, "typ": "JWT", **({"kid": name} if name else {}), **header}
    head = {member: value for member, value in head.items() if value is not None}
    payload = issuing.claims(**{"iat": NOW - 10, "exp": NOW + 3600, **claims})
    signer = issuing.sign if algorithm != "HS256" else issuing.sign_with_secret
    return signer(head, json.dumps(payload).encode(), key, algorithm)


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
@settings(max_examples=150, deadline=None)
@given(some.sampled_from(sorted(SIGNERS)), CLAIMS, HEADERS)
def test_claims_and_headers_of_every_kind(algorithm: str, claims: dict[str, Any], header: dict[str, Any]):
    hold_together(made(algorithm, claims, header))


@settings(max_examples=150, deadline=None)
@given(
    some.sampled_from(sorted(SIGNERS)),
    some.floats(0, 1, exclude_max=True),
    some.sampled_from(list("AZaz09-_.=+/ \n")),
    some.sampled_from(["replace", "insert", "cut"]),
)
def test_tokens_that_were_tampered_with(algorithm: str, place: float, character: str, how: str):
    good = made(algorithm, {}, {})
    index = int(place * len(good))
    rest = {"replace": good[index + 1 :], "insert": good[index:], "cut": b""}[how]
    hold_together(good[:index] + (b"" if how == "cut" else character.encode()) + rest)


@pytest.mark.parametrize("algorithm", sorted(SIGNERS))
def test_good_tokens_are_good_to_both(algorithm: str):
    """Without this all of the above could hold because nothing is ever accepted."""
    token = made(algorithm, {}, {})
    assert ours(token) is None
    assert oracle(token)


@pytest.mark.parametrize("algorithm", sorted(SIGNERS))
def test_tokens_that_pyjwt_makes_are_good_here(algorithm: str):
    private = {"ES256": issuing.EC.private_key, "RS256": issuing.RSA.private_key, "HS256": SECRET}[algorithm]
    claims = issuing.claims(iat=NOW - 10, exp=NOW + 3600)
    token = pyjwt.encode(claims, private, algorithm, headers={"kid": SIGNERS[algorithm][1] or "legacy"})  # type: ignore[arg-type]
    assert ours(token.encode()) is None
