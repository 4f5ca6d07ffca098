"""RSA moduli that must not be relied on: too short, or made by Infineon's broken library (ROCA, CVE-2017-15361).

Its primes are k * M + 65537^a mod M with M a product of small primes, so modulo each of these the modulus is a power of 65537
(Nemec et al., CCS 2017, section 2.3). A modulus made otherwise is one for all of them with a chance of about one in 2^27.
"""

from __future__ import annotations

import base64

RSA_BITS_MIN = 2048
_PRIMES = (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)


def _powers(prime: int) -> frozenset[int]:
    return frozenset(pow(65537, exponent, prime) for exponent in range(prime - 1))


_POWERS = {prime: _powers(prime) for prime in _PRIMES}


def is_strong_modulus(text: str) -> bool:
    """`text`: a JWK's `n`. ValueError, TypeError where it is no base64url."""
    modulus = int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")
    return modulus.bit_length() >= RSA_BITS_MIN and not is_roca(modulus)


def is_roca(modulus: int) -> bool:
    return all(modulus % prime in powers for prime, powers in _POWERS.items())
