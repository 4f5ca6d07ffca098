"""Google's Wycheproof vectors for JOSE, all of them, as far as a verifier of access tokens can meet them.

Vectors carry other payloads than access tokens do, so they go through the signature half: strict splitting, header rules,
key rules, signature. What we refuse although the vector calls it valid is listed, each with its reason; a vector that is not
valid is accepted never.
"""

from __future__ import annotations

import base64
import contextlib
import json
from collections import Counter
from typing import Any

import pytest

from service.errors import TokenRejected
from service.settings import JWT_SECRET_BYTES_MIN
from service.tokens.keys import KeySetInvalid, VerificationKey, read_key_set, secret_key
from service.tokens.parsing import SECRET_KEY_ID, Claims, ParsedToken, _decode, _read_header
from service.tokens.verification import check_signature
from tests.shared import SHARED, needs_shared

FILES = ("json_web_signature_test.json", "json_web_key_test.json", "json_web_crypto_test.json")

# Valid by the vectors, refused here on purpose: how many of each, and why.
WAIVERS = {
    "encrypted": "a JWE: our issuer signs access tokens and encrypts none",
    "algorithm": "only ES256, RS256 and (by a secret of ours) HS256 are accepted; the vector is for another one",
    "lenient": "a spelling that a lenient decoder lets pass; one token has one spelling here",
    "key has no name": "a published key without `kid` is none of our issuer's",
}
# Called invalid by the vectors, accepted here: numbers 367 and 370 are, letter for letter, the token that 357 calls valid.
SAME_AS_VALID = {"signature-367-invalidBase64Padding", "signature-370-invalidBase64PaddingInPayload"}
WAIVED = Counter({"encrypted": 2, "algorithm": 28, "lenient": 2, "key has no name": 2})
ACCEPTED = 23


def keys_of(group: dict[str, Any]) -> dict[str, VerificationKey]:
    """The group's keys as the service would come by them: public ones from a document, one secret from the settings."""
    given = group.get("public") or group["private"]
    members = given.get("keys", [given])
    found: dict[str, VerificationKey] = {}
    with contextlib.suppress(KeySetInvalid):
        found.update(read_key_set(json.dumps({"keys": members}).encode()).keys)
    # A setting cannot stand beside a key document by accident, so of a mixed set only the published keys come in.
    if not found and len(members) == 1 and members[0]["kty"] == "oct" and members[0].get("alg", "HS256") == "HS256":
        secret = base64.urlsafe_b64decode(members[0]["k"] + "==")
        if len(secret) >= JWT_SECRET_BYTES_MIN:  # the settings take no shorter one
            found[SECRET_KEY_ID] = VerificationKey("HS256", secret_of(secret), "secret")
    return found


def secret_of(secret: bytes) -> Any:
    from joserfc.jwk import OctKey

    assert type(secret_key("x" * 32, "y").key) is OctKey, "the vectors use the same kind of key as the setting makes"
    return OctKey.import_key(secret)


def verifies(jws: str, keys: dict[str, VerificationKey]) -> bool:
    try:
        parts = jws.split(".")
        if len(parts) != 3:
            return False
        algorithm, key_id = _read_header(_decode(parts[0].encode()))
        _decode(parts[1].encode())
        key = keys.get(key_id)
        if key is None:
            return False
        claims = Claims(iss="", aud="", sub="", session_id="", exp=0, iat=0)
        parsed = ParsedToken(algorithm, key_id, claims, f"{parts[0]}.{parts[1]}".encode(), _decode(parts[2].encode()))
        check_signature(parsed, key)
    except (TokenRejected, UnicodeEncodeError):
        return False
    return True


def header_of(jws: str) -> dict[str, Any]:
    try:
        found = json.loads(_decode(jws.split(".")[0].encode()))
    except (TokenRejected, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def waiver_for(test: dict[str, Any], group: dict[str, Any]) -> str | None:
    if "jwe" in test:
        return "encrypted"
    header = header_of(test["jws"])
    if not header or not all(_is_canonical(part) for part in test["jws"].split(".")):
        return "lenient"
    if header.get("alg") not in ("ES256", "RS256", "HS256"):
        return "algorithm"
    given = group.get("public") or group["private"]
    if "kid" not in given:
        return "key has no name"
    return None


def _is_canonical(part: str) -> bool:
    try:
        _decode(part.encode())
    except (TokenRejected, UnicodeEncodeError):
        return False
    return True


def vectors() -> list[Any]:
    found = []
    for name in FILES:
        path = SHARED / "vectors" / name
        groups = json.loads(path.read_text())["testGroups"] if path.exists() else []
        for group in groups:
            for test in group["tests"]:
                label = f"{name.split('_')[2]}-{test['tcId']}-{test['comment']}"
                found.append(pytest.param(test, group, id=label))
    return found


@needs_shared(f"vectors/{FILES[0]}")
@pytest.mark.parametrize(("test", "group"), vectors())
def test_vector(request: pytest.FixtureRequest, test: dict[str, Any], group: dict[str, Any]):
    if request.node.callspec.id in SAME_AS_VALID:
        twin = next(other for other in group["tests"] if other["tcId"] == 357)
        assert (twin["jws"], twin["result"]) == (test["jws"], "valid")
        return
    jws = test.get("jws")
    is_good = isinstance(jws, str) and verifies(jws, keys_of(group))  # a dictionary is the JSON serialization, or a JWE
    if test["result"] != "valid":
        assert not is_good
    elif not is_good:
        assert waiver_for(test, group) in WAIVERS


@needs_shared(f"vectors/{FILES[0]}")
def test_waivers_are_the_ones_that_are_listed():
    """A verifier that refused everything would pass the table above; so what is waived is counted."""
    waived: Counter[str | None] = Counter()
    accepted = 0
    for case in vectors():
        test, group = case.values
        if test["result"] == "valid":
            if isinstance(test.get("jws"), str) and verifies(test["jws"], keys_of(group)):
                accepted += 1
            else:
                waived[waiver_for(test, group)] += 1
    assert (accepted, waived) == (ACCEPTED, WAIVED)
