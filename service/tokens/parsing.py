"""A compact JWS taken apart, strictly: exactly one spelling of a token is accepted.

What a lenient decoder lets pass (padding, stray bits in the last character, white space) would give one token many
spellings, each with a cache key of its own. Signed headers that change how the rest is read (crit, b64: RFC 7797) or bring
their own key (jwk, jku, x5c, x5u: RFC 8725 section 3.10) are refused by their presence, whatever they say.
"""

from __future__ import annotations

import base64
import binascii
import re

import msgspec

from service.errors import TokenRejected

TOKEN_BYTES_MAX = 8192
ASYMMETRIC = ("ES256", "RS256")
SYMMETRIC = "HS256"
ALGORITHMS = (*ASYMMETRIC, SYMMETRIC)
# The name of the one secret, which no published key can have: `kid` in a key document is never empty.
SECRET_KEY_ID = ""
KEY_ID_CHARACTERS_MAX = 128
UUID_PATTERN = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"

_SHAPE = re.compile(rb"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_UUID = re.compile(UUID_PATTERN)
_REFUSED_HEADERS = frozenset({"crit", "b64", "jwk", "jku", "x5c", "x5u", "zip"})
_TYPES = frozenset({"jwt", "at+jwt"})
# RFC 7518 section 3.4: r and s of 32 bytes each. An RSA signature is as long as its modulus; 512 bytes is RSA-4096.
_SIGNATURE_BYTES = {"ES256": 64, "HS256": 32}


class Claims(msgspec.Struct, frozen=True):
    """The claims we read; all others are ignored. A wrong type is a rejection, not a conversion."""

    iss: str
    aud: str | list[str]
    sub: str
    session_id: str
    exp: float
    iat: float
    nbf: float | None = None
    role: str = ""
    email: str = ""


class ParsedToken(msgspec.Struct, frozen=True):
    """What the token says of itself. Nothing in here is to be believed before the signature is checked."""

    algorithm: str
    key_id: str  # SECRET_KEY_ID where the algorithm is HS256, whatever the token names
    claims: Claims
    signing_input: bytes
    signature: bytes


_claims_decoder = msgspec.json.Decoder(Claims)
_header_decoder = msgspec.json.Decoder(dict[str, object])


def parse(token: bytes) -> ParsedToken:
    """`token` taken apart. TokenRejected (bad_jwt) for every spelling but the one our issuer writes."""
    if len(token) > TOKEN_BYTES_MAX:
        raise _bad("token is longer than 8 KB")
    if _SHAPE.fullmatch(token) is None:
        raise _bad("token is not three base64url parts")
    header_part, claims_part, signature_part = token.split(b".")
    algorithm, key_id = _read_header(_decode(header_part))
    claims = _read_claims(_decode(claims_part))
    signature = _decode(signature_part)
    if len(signature) != _SIGNATURE_BYTES.get(algorithm, len(signature)):
        raise _bad("signature has the wrong length")
    return ParsedToken(algorithm, key_id, claims, token[: len(token) - len(signature_part) - 1], signature)


# msgspec says DecodeError of wrong JSON and lets Python's own error through for wrong UTF-8.
def _read_header(text: bytes) -> tuple[str, str]:
    try:
        header = _header_decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise _bad("header is not a JSON object") from exc
    refused = _REFUSED_HEADERS & header.keys()
    if refused:
        raise _bad(f"header member not accepted: {min(refused)}")
    algorithm, key_id, kind = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise _bad("signing algorithm not accepted")
    # The algorithm decides whether a published key or the secret is looked for, so neither can be taken for the other.
    if algorithm == SYMMETRIC:
        key_id = SECRET_KEY_ID
    elif not isinstance(key_id, str) or not 0 < len(key_id) <= KEY_ID_CHARACTERS_MAX:
        raise _bad("header names no key")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise _bad("not an access token")
    return algorithm, key_id


def _read_claims(text: bytes) -> Claims:
    try:
        claims = _claims_decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise _bad("claims are missing or of the wrong type") from exc
    # One spelling here too: revocations are looked up by these very strings.
    if _UUID.fullmatch(claims.sub) is None or _UUID.fullmatch(claims.session_id) is None:
        raise _bad("sub and session_id must be UUIDs")
    return claims


def _decode(part: bytes) -> bytes:
    try:
        decoded = base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))
    except (binascii.Error, ValueError) as exc:
        raise _bad("token is not base64url") from exc
    # The decoder ignores spare bits in the last character; RFC 4648 section 3.5 lets us refuse them.
    if base64.urlsafe_b64encode(decoded).rstrip(b"=") != part:
        raise _bad("token is not canonical base64url")
    return decoded


def _bad(message: str) -> TokenRejected:
    return TokenRejected("bad_jwt", message)
