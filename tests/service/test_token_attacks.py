"""The attack corpus: one line per known attack on JWT verifiers, each refused by name."""

from __future__ import annotations

import json

import pytest
from joserfc.jwk import ECKey, RSAKey

from service.errors import TokenRejected
from service.tokens.keys import KeySetInvalid, read_key_set
from service.tokens.parsing import TOKEN_BYTES_MAX, parse
from service.tokens.verification import Policy, check_claims, check_signature, identity_of
from tests.service import issuing
from tests.service.issuing import EC, ISSUER, NOW, RSA, STRANGER

POLICY = Policy(ISSUER, issuing.AUDIENCE)
KEYS = read_key_set(issuing.jwks())
GOOD = issuing.token()
PUBLIC_PEM = RSA.as_pem(private=False)
PUBLIC_JWK = json.dumps(EC.as_dict(private=False)).encode()
PUBLIC_STRANGER = STRANGER.as_dict(private=False)


def verify(token: bytes, now: float = NOW) -> str:
    """The whole verification as the service does it; the user's id."""
    parsed = parse(token)
    check_claims(parsed.claims, POLICY, now)
    key = KEYS.find(parsed.key_id)
    if key is None:
        raise TokenRejected("bad_jwt", "unknown key")
    check_signature(parsed, key)
    return identity_of(parsed, key).user_id


def stray_bits(token: bytes) -> bytes:
    """The last character of a 64-byte signature carries two spare bits; decoders ignore them."""
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return token[:-1] + alphabet[alphabet.index(token[-1]) + 1 :][:1]


GOOD_PAYLOAD = json.dumps(issuing.claims()).encode()
ATTACKS: dict[str, bytes] = {
    "alg none, no signature": issuing.token({"alg": "none"}, None, "none"),
    "alg None in capitals": issuing.token({"alg": "NONE"}, None, "none"),
    "alg none with the good signature": issuing.with_signature(issuing.token({"alg": "none"}), GOOD.rpartition(b".")[2]),
    "no alg": issuing.token({"alg": None}),
    "alg is a list": issuing.token({"alg": ["ES256"]}),
    "alg HS256 over the RSA public key": issuing.hmac_token(PUBLIC_PEM, {"kid": "rsa-1"}),
    "alg HS256 over the public JWK (GHSA-xgmm-8j9v-c9wx)": issuing.hmac_token(PUBLIC_JWK),
    "alg HS256 named ES256": issuing.hmac_token(PUBLIC_JWK, {"alg": "ES256"}),
    "alg RS256 with the EC key's name": issuing.token({"kid": "ec-1"}, RSA, "RS256"),
    "alg ES256 with the RSA key's name": issuing.token({"kid": "rsa-1"}),
    "alg ES384": issuing.token({"alg": "ES384"}),
    "alg PS256": issuing.token({"alg": "PS256"}, RSA, "RS256"),
    "alg HS512 over the public JWK": issuing.hmac_token(PUBLIC_JWK, {"alg": "HS512"}),
    "alg HS256 without a key's name": issuing.hmac_token(PUBLIC_PEM, {"kid": None}),
    "signed by a stranger with our key's name": issuing.token(key=STRANGER),
    "embedded jwk (CVE-2026-27962)": issuing.token({"jwk": PUBLIC_STRANGER}, STRANGER),
    "jku": issuing.token({"jku": "https://attacker.example/jwks.json"}),
    "x5u": issuing.token({"x5u": "file:///etc/passwd"}),
    "x5c": issuing.token({"x5c": ["MII"]}),
    "crit that we do not know (CVE-2025-59420)": issuing.token({"crit": ["exp"], "exp": 1}),
    "crit that is empty": issuing.token({"crit": []}),
    "crit null (CVE-2026-32597)": issuing.sign({"alg": "ES256", "kid": "ec-1", "crit": None}, GOOD_PAYLOAD, EC, "ES256"),
    "b64 false (GHSA-w7vc-732c-9m39)": issuing.token({"b64": False, "crit": ["b64"]}),
    "b64 without crit": issuing.token({"b64": True}),
    "zip": issuing.token({"zip": "DEF"}),
    "kid is a path": issuing.token({"kid": "../../dev/null"}),
    "kid is SQL": issuing.token({"kid": "' OR 1=1 --"}),
    "kid missing": issuing.token({"kid": None}),
    "kid is a number": issuing.token({"kid": 1}),
    "kid is endless": issuing.token({"kid": "k" * 500}),
    "typ of an ID token": issuing.token({"typ": "id_token+jwt"}),
    "signature with padding": GOOD + b"==",
    "claims with padding": GOOD.replace(b".", b"=.", 1),
    "signature with stray bits": stray_bits(GOOD),
    "standard base64 alphabet": GOOD[:-4] + b"+/+/",
    "line break inside": GOOD[:40] + b"\n" + GOOD[40:],
    "blank at the end": GOOD + b" ",
    "NUL at the end": GOOD + b"\0",
    "two parts": GOOD.rpartition(b".")[0],
    "four parts": GOOD + b".AAAA",
    "five parts (a JWE)": GOOD + b".AAAA.AAAA",
    "empty signature": issuing.with_signature(GOOD, b""),
    "empty": b"",
    "dots": b"..",
    "all-zero signature (CVE-2022-21449)": issuing.with_signature(GOOD, issuing.encode(bytes(64)).encode()),
    "DER instead of raw signature": issuing.with_signature(GOOD, issuing.encode(b"\x30\x06\x02\x01\x01\x02\x01\x01").encode()),
    "signature one byte short": issuing.with_signature(GOOD, issuing.encode(bytes(63)).encode()),
    "signature one byte long": issuing.with_signature(GOOD, issuing.encode(bytes(65)).encode()),
    "oversize": issuing.token(note="x" * TOKEN_BYTES_MAX),
    "header is not JSON": b"AAAA." + GOOD.split(b".", 1)[1],
    "header is a list": issuing.encode(b"[]").encode() + b"." + GOOD.split(b".", 1)[1],
    "claims are not JSON": issuing.sign({"alg": "ES256", "kid": "ec-1"}, b"\xff\xfe", EC, "ES256"),
    "claims are a list": issuing.sign({"alg": "ES256", "kid": "ec-1"}, b"[]", EC, "ES256"),
    "iss of another project": issuing.token(iss="https://attacker.example/auth/v1"),
    "iss is a prefix of ours (CVE-2024-53861)": issuing.token(iss=ISSUER[:-1]),
    "iss begins with ours": issuing.token(iss=ISSUER + "/evil"),
    "iss with a slash": issuing.token(iss=ISSUER + "/"),
    "iss is a list with ours in it": issuing.token(iss=[ISSUER]),
    "iss missing": issuing.token(iss=None),
    "aud of another service": issuing.token(aud="other"),
    "aud is empty": issuing.token(aud=[]),
    "aud is a substring of ours": issuing.token(aud="auth"),
    "aud missing": issuing.token(aud=None),
    "exp now": issuing.token(exp=NOW),
    "exp past": issuing.token(exp=NOW - 1),
    "exp missing": issuing.token(exp=None),
    "exp is text": issuing.token(exp=str(NOW + 60)),
    "exp is true": issuing.token(exp=True),
    "exp beyond numbers": issuing.sign(
        {"alg": "ES256", "kid": "ec-1"}, GOOD_PAYLOAD.replace(str(NOW + 3600).encode(), b"1e999"), EC, "ES256"
    ),
    "nbf ahead": issuing.token(nbf=NOW + 60),
    "iat ahead": issuing.token(iat=NOW + 60),
    "iat missing": issuing.token(iat=None),
    "sub missing": issuing.token(sub=None),
    "sub is a number": issuing.token(sub=1),
    "sub in capitals would dodge its revocation": issuing.token(sub=issuing.USER.upper().replace("1", "A")),
    "sub with a line break would split a header": issuing.token(sub=issuing.USER + "\r\nx-auth-role: admin"),
    "session_id missing": issuing.token(session_id=None),
    "session_id empty": issuing.token(session_id=""),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_attack_is_refused(attack: bytes):
    with pytest.raises(TokenRejected) as caught:
        verify(attack)
    assert caught.value.code == "bad_jwt"


def test_good_tokens_are_accepted():
    """Without this every line above could pass for the wrong reason."""
    assert verify(GOOD) == issuing.USER
    assert verify(issuing.rsa_token()) == issuing.USER
    assert verify(issuing.token(aud=["other", issuing.AUDIENCE])) == issuing.USER
    assert verify(issuing.token(nbf=NOW)) == issuing.USER


def test_token_cut_at_every_byte_is_refused():
    for length in range(len(GOOD)):
        with pytest.raises(TokenRejected):
            verify(GOOD[:length])


def test_every_single_character_change_is_refused():
    for place in range(0, len(GOOD), 3):
        changed = GOOD[:place] + (b"A" if GOOD[place : place + 1] != b"A" else b"B") + GOOD[place + 1 :]
        with pytest.raises(TokenRejected):
            verify(changed)


def test_twin_signature_names_the_same_session():
    """(r, n-s) verifies by mathematics, and half of all genuine tokens are high-s; what matters is that the twin brings no
    identity of its own: whatever revokes the original revokes it too."""
    twin = issuing.twin(GOOD)
    assert twin != GOOD
    assert verify(twin) == issuing.USER
    assert identity_of(parse(twin), KEYS.keys["ec-1"]) == identity_of(parse(GOOD), KEYS.keys["ec-1"])


UNUSABLE_KEYS = {
    "symmetric": {"kty": "oct", "kid": "ec-1", "alg": "HS256", "k": "AAAA"},
    "for encryption": {**EC.as_dict(private=False), "use": "enc"},
    "not for verifying": {**EC.as_dict(private=False), "key_ops": ["encrypt"]},
    "another curve": ECKey.generate_key("P-384", {"kid": "ec-1"}).as_dict(private=False),
    "another algorithm": {**EC.as_dict(private=False), "alg": "ES384"},
    "for an algorithm that we do not allow (CVE-2026-48523)": {**RSA.as_dict(private=False), "alg": "RS512"},
    "RSA for PSS": {**RSA.as_dict(private=False), "alg": "PS256"},
    "nameless": {name: value for name, value in EC.as_dict(private=False).items() if name != "kid"},
    "off the curve": {**EC.as_dict(private=False), "y": EC.as_dict(private=False)["x"]},
    "halved": {"kty": "EC", "crv": "P-256", "kid": "ec-1", "x": "AAAA"},
}


@pytest.mark.parametrize("member", UNUSABLE_KEYS.values(), ids=UNUSABLE_KEYS.keys())
def test_unusable_key_never_enters(member: dict[str, object]):
    with pytest.raises(KeySetInvalid):
        read_key_set(json.dumps({"keys": [member]}).encode())
    kept = read_key_set(json.dumps({"keys": [member, RSA.as_dict(private=False)]}).encode())
    assert list(kept.keys) == ["rsa-1"]


@pytest.mark.filterwarnings("ignore")
def test_short_rsa_key_never_enters():
    short = RSAKey.generate_key(1024, {"kid": "short"}).as_dict(private=False)
    with pytest.raises(KeySetInvalid):
        read_key_set(json.dumps({"keys": [short]}).encode())


@pytest.mark.parametrize("document", [b"", b"[]", b"{}", b'{"keys": 1}', b'{"keys": [1]}', b'{"keys": []}', b"<html>"])
def test_document_that_is_no_key_set_is_refused(document: bytes):
    with pytest.raises(KeySetInvalid):
        read_key_set(document)
