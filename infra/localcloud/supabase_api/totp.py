"""Time-based one-time passwords (RFC 6238: SHA-1, 30 s, six digits) and the image that an authenticator scans. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import struct
from urllib.parse import quote

STEP_S = 30
DIGITS = 6
STEPS_OFF_MAX = 1  # a clock may be this many steps off, either way
SECRET_BYTES = 20
MODULE_PIXELS = 3
QUIET_ZONE = 4  # modules of white around the code (ISO/IEC 18004)
# Go's url.PathEscape leaves these as they are
SAFE = "$&+=:@"


def new_secret() -> str:
    return base64.b32encode(secrets.token_bytes(SECRET_BYTES)).decode()


def code_at(secret: str, step: int) -> str:
    digest = hmac.digest(base64.b32decode(secret), struct.pack(">Q", step), hashlib.sha1)
    offset = digest[-1] & 15
    number = struct.unpack_from(">I", digest, offset)[0] & 0x7FFF_FFFF
    return f"{number % 10**DIGITS:0{DIGITS}d}"


def is_valid(secret: str, code: str, now_s: float) -> bool:
    """All steps are compared, so that the time taken tells nothing."""
    step = int(now_s) // STEP_S
    around = range(step - STEPS_OFF_MAX, step + STEPS_OFF_MAX + 1)
    matches = [hmac.compare_digest(code_at(secret, each), code.strip()) for each in around if code.isascii()]
    return any(matches)


def uri(secret: str, issuer: str, account: str) -> str:
    query = {"algorithm": "SHA1", "digits": str(DIGITS), "issuer": issuer, "period": str(STEP_S), "secret": secret}
    rendered = "&".join(f"{name}={quote(value, safe=SAFE)}" for name, value in query.items())
    return f"otpauth://totp/{quote(f'{issuer}:{account}', safe='/$&+,;=:@')}?{rendered}"
