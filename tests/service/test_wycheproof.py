"""Google's Wycheproof vectors for JWS, as far as a verifier for ES256 and RS256 can meet them.

Vectors carry other payloads than access tokens do, so they go through the signature half: strict splitting, header rules,
key rules, signature. What we refuse although the vector calls it valid is listed, each with its reason.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from service.errors import TokenRejected
from service.tokens.keys import KeySetInvalid, read_key_set
from service.tokens.parsing import Claims, ParsedToken, _decode, _read_header
from service.tokens.verification import check_signature
from tests.shared import SHARED, needs_shared

VECTORS = "vectors/json_web_signature_test.json"

# Valid by the vectors, refused here on purpose.
WAIVERS = {
    "other algorithm": "only ES256 and RS256 are accepted; the vector is for another one",
    "no kid": "a token that names no key is not our issuer's",
}
ACCEPTED = ("ES256", "RS256")


def verifies(jws: str, public: dict[str, Any]) -> bool:
    try:
        key_set = read_key_set(json.dumps({"keys": [public]}).encode())
        parts = jws.split(".")
        if len(parts) != 3:
            return False
        algorithm, key_id = _read_header(_decode(parts[0].encode()))
        _decode(parts[1].encode())
        key = key_set.find(key_id)
        if key is None:
            return False
        claims = Claims(iss="", aud="", sub="", session_id="", exp=0, iat=0)
        parsed = ParsedToken(algorithm, key_id, claims, f"{parts[0]}.{parts[1]}".encode(), _decode(parts[2].encode()))
        check_signature(parsed, key)
    except (TokenRejected, KeySetInvalid, UnicodeEncodeError):
        return False
    return True


def header_of(jws: str) -> dict[str, Any]:
    try:
        found = json.loads(_decode(jws.split(".")[0].encode()))
    except (TokenRejected, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def waiver_for(jws: str, public: dict[str, Any]) -> str | None:
    header = header_of(jws)
    if public.get("alg", "ES256") not in ACCEPTED or header.get("alg") not in ACCEPTED:
        return WAIVERS["other algorithm"]
    if "kid" not in header:
        return WAIVERS["no kid"]
    return None


def vectors() -> list[Any]:
    path = SHARED / VECTORS
    if not path.exists():
        return []
    groups = json.loads(path.read_text())["testGroups"]
    return [
        pytest.param(test["jws"], group.get("public") or group["private"], test["result"], id=f"{test['tcId']}-{test['comment']}")
        for group in groups
        for test in group["tests"]
    ]


@needs_shared(VECTORS)
@pytest.mark.parametrize(("jws", "public", "result"), vectors())
def test_vector(jws: Any, public: dict[str, Any], result: str):
    if not isinstance(jws, str):
        pytest.skip("JSON serialization: the service takes compact tokens only")
    is_good = verifies(jws, public)
    if result != "valid":
        assert not is_good
    elif not is_good:
        assert waiver_for(jws, public) is not None


@needs_shared(VECTORS)
def test_some_vectors_verify():
    """Guards the table above against a verifier that refuses everything."""
    good = [case for case in vectors() if isinstance(case.values[0], str) and verifies(case.values[0], case.values[1])]
    assert len(good) >= 5
