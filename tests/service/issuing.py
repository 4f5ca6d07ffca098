"""An issuer for tests: keys, tokens good and bad, and the JWKS that goes with them."""

from __future__ import annotations

import base64
import hmac
import json
from typing import Any

from joserfc.jwk import ECKey, RSAKey
from joserfc.jws import JWSRegistry

ISSUER = "https://project.example.com/auth/v1"
AUDIENCE = "authenticated"
USER = "11111111-1111-4111-8111-111111111111"
SESSION = "22222222-2222-4222-8222-222222222222"
OTHER_USER = "33333333-3333-4333-8333-333333333333"
OTHER_SESSION = "44444444-4444-4444-8444-444444444444"
NOW = 1_800_000_000.0
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

_registry = JWSRegistry(algorithms=["ES256", "RS256"])

EC = ECKey.generate_key("P-256", {"kid": "ec-1", "alg": "ES256", "use": "sig"})
EC_NEXT = ECKey.generate_key("P-256", {"kid": "ec-2", "alg": "ES256", "use": "sig"})
RSA = RSAKey.generate_key(2048, {"kid": "rsa-1", "alg": "RS256", "use": "sig"})
STRANGER = ECKey.generate_key("P-256", {"kid": "ec-1", "alg": "ES256", "use": "sig"})


def jwks(*keys: Any) -> bytes:
    return json.dumps({"keys": [key.as_dict(private=False) for key in keys or (EC, RSA)]}).encode()


def claims(**changes: Any) -> dict[str, Any]:
    """Good claims at NOW; a change to None removes the claim."""
    good = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": USER,
        "session_id": SESSION,
        "role": "authenticated",
        "email": "ann@example.com",
        "iat": NOW - 10,
        "exp": NOW + 3600,
    }
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sign(header: dict[str, Any], payload: bytes, key: Any, algorithm: str) -> bytes:
    """A compact JWS with exactly this header, signed by `algorithm` whatever the header says."""
    head = encode(json.dumps(header).encode())
    signing_input = f"{head}.{encode(payload)}".encode()
    signature = b"" if algorithm == "none" else _registry.get_alg(algorithm).sign(signing_input, key)
    return signing_input + b"." + encode(signature).encode()


def sign_with_secret(header: dict[str, Any], payload: bytes, key: Any, _algorithm: str) -> bytes:
    """The same with HS256, whatever the header says."""
    signing_input = f"{encode(json.dumps(header).encode())}.{encode(payload)}".encode()
    return signing_input + b"." + encode(hmac.digest(key.raw_value, signing_input, "sha256")).encode()


def token(header: dict[str, Any] | None = None, key: Any = EC, algorithm: str = "ES256", **changes: Any) -> bytes:
    """A token with good claims (but for `changes`) and a good header (but for `header`; None removes a member)."""
    good = {"alg": algorithm, "kid": key.kid if key is not None else "ec-1", "typ": "JWT"}
    head = {name: value for name, value in {**good, **(header or {})}.items() if value is not None}
    return sign(head, json.dumps(claims(**changes)).encode(), key, algorithm)


def rsa_token(**changes: Any) -> bytes:
    return token(key=RSA, algorithm="RS256", **changes)


def hmac_token(secret: bytes, header: dict[str, Any] | None = None, **changes: Any) -> bytes:
    """HS256 with `secret`: the confusion attacks use something public as the secret."""
    good = {"alg": "HS256", "kid": "ec-1", "typ": "JWT", **(header or {})}
    head = encode(json.dumps({name: value for name, value in good.items() if value is not None}).encode())
    signing_input = f"{head}.{encode(json.dumps(claims(**changes)).encode())}".encode()
    return signing_input + b"." + encode(hmac.digest(secret, signing_input, "sha256")).encode()


def twin(original: bytes) -> bytes:
    """The other valid ES256 signature of the same token: (r, n - s)."""
    signing_input, _, last = original.rpartition(b".")
    raw = base64.urlsafe_b64decode(last + b"==")
    s = P256_ORDER - int.from_bytes(raw[32:], "big")
    return signing_input + b"." + encode(raw[:32] + s.to_bytes(32, "big")).encode()


def with_signature(original: bytes, signature: bytes) -> bytes:
    return original.rpartition(b".")[0] + b"." + signature
