"""Who a verified token speaks for."""

from __future__ import annotations

import msgspec


class Identity(msgspec.Struct, frozen=True, array_like=True):
    """The claims that later checks need. Times in seconds since 1970, rounded down for iat, exactly as claimed for exp.

    key_thumbprint: of the very key that verified the token (RFC 7638); a `kid` is only what the issuer calls it at the time.
    """

    user_id: str
    session_id: str
    role: str
    email: str
    issued_at: float
    expires_at: float
    key_thumbprint: str


class IssuerUser(msgspec.Struct, frozen=True):
    """What the issuer says of a user: the id in its answer, and the JSON as it came."""

    user_id: str
    json: bytes
