"""The anon and service_role keys of a project: HS256 tokens signed with the project's own secret, as Supabase makes them.

Signed here (RFC 7515 section 5.1) rather than by a JOSE library: its import is a fifth of what the daemon needs to start.
"""

from __future__ import annotations

import base64
import hmac
import json
import secrets
import string

KEY_LIFE_S = 10 * 365 * 24 * 3600
REF_CHARACTERS = 20


def new_ref() -> str:
    return "".join(secrets.choice(string.ascii_lowercase) for _ in range(REF_CHARACTERS))


def new_jwt_secret() -> str:
    return secrets.token_urlsafe(40)


def api_key(role: str, ref: str, jwt_secret: str, issued_at_s: int) -> str:
    claims: dict[str, str | int] = {
        "iss": "supabase",
        "ref": ref,
        "role": role,
        "iat": issued_at_s,
        "exp": issued_at_s + KEY_LIFE_S,
    }
    signed = f"{_encoded({'alg': 'HS256', 'typ': 'JWT'})}.{_encoded(claims)}"
    mac = hmac.digest(jwt_secret.encode(), signed.encode("ascii"), "sha256")
    return f"{signed}.{_base64url(mac)}"


def _encoded(part: dict[str, str | int]) -> str:
    return _base64url(json.dumps(part, separators=(",", ":")).encode())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
