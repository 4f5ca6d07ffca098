"""Whether a password is that of a bcrypt hash: by the system's libcrypt where it can, a seventh sooner than by the package.

A log-in is hardly anything else, and a cloud on one machine hashes for all its regions. libxcrypt's is Solar Designer's
crypt_blowfish, of which everybody's bcrypt is a copy or is tested against; a trial at import makes sure. What C's strings cannot
hold, and whatever the system has no library for, the package takes.
"""

from __future__ import annotations

import ctypes
import hmac
from collections.abc import Callable

import bcrypt

LIBRARIES = ("libcrypt.so.1", "libcrypt.so.2")
DATA_BYTES = 32_768  # sizeof(struct crypt_data), crypt(3)
SETTING_BYTES = 29  # "$2b$10$" and 22 characters of salt; the 31 after it are the hash
SAME_ALGORITHM = (b"$2a$", b"$2b$", b"$2y$")
Crypt = Callable[[bytes, bytes], bytes | None]


def matches(password: bytes, stored: bytes) -> bool:
    """In constant time. Raises ValueError where `stored` is no hash, or the password is longer than 72 bytes."""
    if _crypt is None or b"\0" in password or len(password) > 72 or stored[:4] not in SAME_ALGORITHM:
        return bcrypt.checkpw(password, stored)
    # crypt_blowfish takes precautions with $2a$ that nobody else does; as $2b$ it is everybody's.
    found = _crypt(password, b"$2b$" + stored[4:SETTING_BYTES])
    if found is None:
        raise ValueError("no bcrypt hash")
    return hmac.compare_digest(found[SETTING_BYTES:], stored[SETTING_BYTES:])


def _loaded() -> Crypt | None:
    """The system's, if it is there and right."""
    for name in LIBRARIES:
        try:
            function = ctypes.CDLL(name).crypt_rn  # a CDLL's calls let other threads run meanwhile
        except (OSError, AttributeError):
            continue
        function.restype = ctypes.c_char_p
        function.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int]
        if _is_right(crypt := _calling(function)):
            return crypt
    return None


def _calling(function: Callable[..., bytes | None]) -> Crypt:
    def crypt(password: bytes, setting: bytes) -> bytes | None:
        return function(password, setting, ctypes.create_string_buffer(DATA_BYTES), DATA_BYTES)

    return crypt


def _is_right(crypt: Crypt) -> bool:
    password, setting = "pässword".encode(), bcrypt.gensalt(4)
    return crypt(password, setting) == bcrypt.hashpw(password, setting)


_crypt = _loaded()
