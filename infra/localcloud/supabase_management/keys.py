"""The anon and service_role keys of a project: HS256 tokens signed with the project's own secret, as Supabase makes them."""

from __future__ import annotations

import secrets
import string

from joserfc import jwt
from joserfc.jwk import OctKey

KEY_LIFE_S = 10 * 365 * 24 * 3600
REF_CHARACTERS = 20


def new_ref() -> str:
    return "".join(secrets.choice(string.ascii_lowercase) for _ in range(REF_CHARACTERS))


def new_jwt_secret() -> str:
    return secrets.token_urlsafe(40)


def api_key(role: str, ref: str, jwt_secret: str, issued_at_s: int) -> str:
    claims = {"iss": "supabase", "ref": ref, "role": role, "iat": issued_at_s, "exp": issued_at_s + KEY_LIFE_S}
    return jwt.encode({"alg": "HS256", "typ": "JWT"}, claims, OctKey.import_key(jwt_secret))
