"""Is this token good, right now, for us? Pure: keys, policy and time come in, an Identity or a TokenRejected comes out.

An ES256 signature (r, s) has a twin (r, n-s) that verifies just as well. The twin is not refused: our issuer (Go's
crypto/ecdsa) does not normalise s, so half of all genuine tokens are "high-s" ones. It does no harm here because caches are
keyed by the whole token and revocations by session and user, which the twin shares with its original.
"""

from __future__ import annotations

from dataclasses import dataclass

from joserfc.errors import JoseError
from joserfc.jws import JWSRegistry

from service.errors import TokenRejected
from service.tokens.identity import Identity
from service.tokens.keys import VerificationKey
from service.tokens.parsing import ALGORITHMS, Claims, ParsedToken

# How far the issuer's clock may run ahead of ours unless JWT_CLOCK_SKEW_S says otherwise. `exp` gets no such grace: nothing is
# served past it.
CLOCK_SKEW_S = 5.0

_registry = JWSRegistry(algorithms=list(ALGORITHMS))


@dataclass(frozen=True, slots=True)
class Policy:
    """Whose tokens count here."""

    issuer: str
    audience: str
    clock_skew_s: float = CLOCK_SKEW_S


def check_claims(claims: Claims, policy: Policy, now: float) -> None:
    """Issuer and audience exactly ours, and `now` (seconds since 1970) within the token's time. TokenRejected."""
    if claims.iss != policy.issuer:
        raise TokenRejected("bad_jwt", "token is from another issuer")
    audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud
    if policy.audience not in audiences:
        raise TokenRejected("bad_jwt", "token is for another audience")
    if now >= claims.exp:
        raise TokenRejected("bad_jwt", "token is expired")
    if claims.nbf is not None and claims.nbf > now + policy.clock_skew_s:
        raise TokenRejected("bad_jwt", "token is not valid yet")
    if claims.iat > now + policy.clock_skew_s:
        raise TokenRejected("bad_jwt", "token is issued in the future")


def check_signature(parsed: ParsedToken, key: VerificationKey) -> None:
    """The signature is `key`'s over exactly these bytes, by the algorithm that the key (not the token) decides. TokenRejected."""
    if parsed.algorithm != key.algorithm:
        raise TokenRejected("bad_jwt", "signing algorithm does not belong to the key")
    try:
        is_good = _registry.get_alg(key.algorithm).verify(parsed.signing_input, parsed.signature, key.key)
    except (JoseError, ValueError) as exc:
        raise TokenRejected("bad_jwt", "signature is malformed") from exc
    if not is_good:
        raise TokenRejected("bad_jwt", "signature is invalid")


def identity_of(parsed: ParsedToken, key: VerificationKey) -> Identity:
    """The identity that the token claims; call after the checks, with the key that verified it."""
    claims = parsed.claims
    return Identity(claims.sub, claims.session_id, claims.role, claims.email, claims.iat, claims.exp, key.thumbprint)
