"""The issuer's public keys: a JWKS read once into keys that are each good for one algorithm only.

Symmetric (`oct`) keys never enter from a document, so a token can never be verified with something that is public (RFC 8725
section 2.1). The one symmetric key there may be is a setting (JWT_SECRET), and it goes by a name that no document can give.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OctKey, RSAKey

from service.tokens.moduli import is_strong_modulus
from service.tokens.parsing import KEY_ID_CHARACTERS_MAX, SYMMETRIC

KEYS_MAX = 32


class KeySetInvalid(Exception):
    """The remote's fault: what it published holds no key that we may use."""


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A key, the only algorithm that it may be used with, and the name that no other key has (RFC 7638 for public ones)."""

    algorithm: str
    key: ECKey | RSAKey | OctKey
    thumbprint: str


@dataclass(frozen=True, slots=True)
class KeySet:
    """Keys by `kid`. Empty until the first load."""

    keys: Mapping[str, VerificationKey] = field(default_factory=dict)

    def find(self, key_id: str) -> VerificationKey | None:
        return self.keys.get(key_id)


def secret_key(secret: str, cache_key: str) -> VerificationKey:
    """JWT_SECRET for HS256. Records in Redis name their key, so its name must not help anybody to guess a weak secret."""
    keyed_by = blake2b(cache_key.encode(), digest_size=32, person=b"secret-key-name").digest()
    name = blake2b(secret.encode(), digest_size=16, key=keyed_by).hexdigest()
    return VerificationKey(SYMMETRIC, OctKey.import_key(secret.encode()), f"secret-{name}")


def read_key_set(document: bytes, *, may_be_empty: bool = False) -> KeySet:
    """A JWKS document's usable keys; unusable ones (encryption, oct, other curves) are passed over. KeySetInvalid if none."""
    try:
        members = msgspec.json.decode(document, type=dict[str, Any])["keys"]
        found = {key_id: key for key_id, key in map(_read_key, members[:KEYS_MAX]) if key is not None}
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as exc:
        raise KeySetInvalid("not a JWKS document") from exc
    if not found and not may_be_empty:
        raise KeySetInvalid("no ES256 or RS256 key in it; the project must use asymmetric JWT signing keys")
    return KeySet(found)


def _read_key(member: dict[str, Any]) -> tuple[str, VerificationKey | None]:
    key_id = member.get("kid")
    if not isinstance(key_id, str) or not 0 < len(key_id) <= KEY_ID_CHARACTERS_MAX:
        return "", None
    if member.get("use", "sig") != "sig" or "verify" not in member.get("key_ops", ["verify"]):
        return key_id, None
    return key_id, _import_key(member)


def _import_key(member: dict[str, Any]) -> VerificationKey | None:
    kind, claimed = member.get("kty"), member.get("alg")
    try:
        if kind == "EC" and member.get("crv") == "P-256" and claimed in (None, "ES256"):
            curve_key = ECKey.import_key({name: member[name] for name in ("kty", "crv", "x", "y")})
            return VerificationKey("ES256", curve_key, curve_key.thumbprint())
        if kind == "RSA" and claimed in (None, "RS256") and is_strong_modulus(member["n"]):
            key = RSAKey.import_key({name: member[name] for name in ("kty", "n", "e")})
            return VerificationKey("RS256", key, key.thumbprint())
    except (JoseError, KeyError, ValueError, TypeError):
        return None
    return None
