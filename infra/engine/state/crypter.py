"""The passphrase secrets provider.

State of the provider: `v1:<base64 salt>:<encrypted "pulumi">`; each ciphertext: `v1:<base64 nonce>:<base64 text>`.
AES-256-GCM, key by PBKDF2-SHA256 over 1,000,000 rounds. The derivation takes about 0.15 s, so it happens on first need
and once per process: a command that meets no secret pays nothing.
"""

import base64
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Protocol

from infra.engine.errors import StateError, UsageError

ROUNDS: Final = 1_000_000
_keys: dict[tuple[str, bytes], bytes] = {}
_lock = threading.Lock()


class Crypter(Protocol):
    def encrypt(self, text: str) -> str: ...
    def decrypt(self, ciphertext: str) -> str: ...


TRIES_MAX: Final = 3
_UNLOCK: Final = (
    "Enter your passphrase to unlock config/secrets\n"
    "    (set PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE to remember): "
)


class Passphrase:
    """What opens a stack's secrets: known from the environment, else asked for when the first secret is met."""

    def __init__(self, known: str | None, ask: Callable[[str], str] | None = None) -> None:
        """`ask` puts a question to a person, without echo; None where nobody is there to answer."""
        self._known = known
        self._ask = ask
        self._tries = 0
        self._was_asked = False

    def get(self) -> str:
        """Raises UsageError where it is neither known nor to be had."""
        if self._known is None:
            self._known = self._asker()(_UNLOCK)
        return self._known

    def get_new(self) -> str:
        """For a stack that has no secrets yet: typed twice."""
        if self._known is None:
            ask = self._asker()
            first = ask("Enter your passphrase to protect config/secrets: ")
            if ask("Re-enter your passphrase to confirm: ") != first:
                raise UsageError("passphrases do not match")
            self._known = first
        return self._known

    def may_try_again(self) -> bool:
        """After a wrong one: forgets it where a person typed it, a few times."""
        self._tries += 1
        if self._ask is None or self._tries >= TRIES_MAX or not self._was_asked:
            return False
        self._known = None
        return True

    def _asker(self) -> Callable[[str], str]:
        if self._ask is None:
            raise UsageError(
                "passphrase must be set with PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE environment variables"
            )
        self._was_asked = True
        return self._ask


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

    def __init__(self, state: str, passphrase: Passphrase) -> None:
        self.state = state
        self._passphrase = passphrase
        self._checked = False

    @classmethod
    def fresh(cls, passphrase: Passphrase) -> "PassphraseCrypter":
        """A crypter with a new salt, for a stack that has none."""
        passphrase.get_new()
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
        if not self.state:
            raise StateError("the checkpoint holds secrets, but names no secrets provider to open them")
        version, salt, check = self.state.split(":", 2)
        if version != "v1":
            raise StateError(f"encryptionsalt: expected version v1, got {version}; it was written by a newer engine")
        key = derive_key(self._passphrase.get(), base64.b64decode(salt))
        while not (self._checked or _is_key_of(key, check)):
            if not self._passphrase.may_try_again():
                raise StateError("incorrect passphrase: it does not open this stack's secrets; check PULUMI_CONFIG_PASSPHRASE")
            key = derive_key(self._passphrase.get(), base64.b64decode(salt))
        self._checked = True
        return key


def _is_key_of(key: bytes, check: str) -> bool:
    try:
        return _open(key, check) == "pulumi"
    except StateError:
        return False


def derive_key(passphrase: str, salt: bytes) -> bytes:
    """The 32-byte key; cached for the life of the process.

    By `cryptography`, as its own OpenSSL takes half the time of the 3.0 that many Pythons are built with (0.15 s, not 0.31 s).
    """
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

    with _lock:
        if (passphrase, salt) not in _keys:
            _keys[passphrase, salt] = PBKDF2HMAC(SHA256(), 32, salt, ROUNDS).derive(passphrase.encode())
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
