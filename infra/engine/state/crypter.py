"""The passphrase secrets provider.

State of the provider: `v1:<base64 salt>:<encrypted "pulumi">`; each ciphertext: `v1:<base64 nonce>:<base64 text>`.
AES-256-GCM, key by PBKDF2-SHA256 over 1,000,000 rounds. The derivation takes about 0.3 s, so it happens on first need
and once per process: a command that meets no secret pays nothing.
"""

import base64
import hashlib
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

from infra.engine.errors import StateError, UsageError

ROUNDS: Final = 1_000_000
_keys: dict[tuple[str, bytes], bytes] = {}
_lock = threading.Lock()


class Crypter(Protocol):
    def encrypt(self, text: str) -> str: ...
    def decrypt(self, ciphertext: str) -> str: ...


def read_passphrase(environment: Mapping[str, str]) -> str | None:
    """PULUMI_CONFIG_PASSPHRASE (may be empty), else the first line of the file PULUMI_CONFIG_PASSPHRASE_FILE, else None."""
    if "PULUMI_CONFIG_PASSPHRASE" in environment:
        return environment["PULUMI_CONFIG_PASSPHRASE"]
    if path := environment.get("PULUMI_CONFIG_PASSPHRASE_FILE"):
        try:
            return Path(path).read_text().strip()
        except OSError as exc:
            raise UsageError(f"PULUMI_CONFIG_PASSPHRASE_FILE: cannot read {path}: {exc.strerror}") from exc
    return None


class PassphraseCrypter:
    """Encrypts with a key derived from the passphrase and the stack's salt."""

    def __init__(self, state: str, passphrase: str | None) -> None:
        self.state = state
        self._passphrase = passphrase
        self._checked = False

    @classmethod
    def fresh(cls, passphrase: str | None) -> "PassphraseCrypter":
        """A crypter with a new salt, for a stack that has none."""
        salt = os.urandom(8)
        crypter = cls("v1:" + base64.b64encode(salt).decode() + ":", passphrase)
        crypter._checked = True
        crypter.state += crypter.encrypt("pulumi")
        return crypter

    def encrypt(self, text: str) -> str:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = os.urandom(12)
        sealed = AESGCM(self._key()).encrypt(nonce, text.encode(), None)
        return f"v1:{base64.b64encode(nonce).decode()}:{base64.b64encode(sealed).decode()}"

    def decrypt(self, ciphertext: str) -> str:
        return _open(self._key(), ciphertext)

    def _key(self) -> bytes:
        if self._passphrase is None:
            raise UsageError(
                "passphrase must be set with PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE environment variables"
            )
        version, salt, check = self.state.split(":", 2)
        if version != "v1":
            raise StateError(f"encryptionsalt: expected version v1, got {version}; it was written by a newer engine")
        key = derive_key(self._passphrase, base64.b64decode(salt))
        if not self._checked:
            try:
                verified = _open(key, check) == "pulumi"
            except StateError:
                verified = False
            if not verified:
                raise StateError("incorrect passphrase: it does not open this stack's secrets; check PULUMI_CONFIG_PASSPHRASE")
            self._checked = True
        return key


def derive_key(passphrase: str, salt: bytes) -> bytes:
    """The 32-byte key; cached for the life of the process."""
    with _lock:
        if (passphrase, salt) not in _keys:
            _keys[passphrase, salt] = hashlib.pbkdf2_hmac("sha256", passphrase.encode(), salt, ROUNDS, dklen=32)
        return _keys[passphrase, salt]


def _open(key: bytes, ciphertext: str) -> str:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        version, nonce, sealed = ciphertext.split(":")
        if version != "v1":
            raise ValueError(version)
        return AESGCM(key).decrypt(base64.b64decode(nonce), base64.b64decode(sealed), None).decode()
    except (ValueError, InvalidTag) as exc:
        raise StateError("a ciphertext cannot be decrypted: it is damaged or was made with another passphrase") from exc
