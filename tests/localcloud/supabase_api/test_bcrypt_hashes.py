"""The system's bcrypt and the package's say the same of every password."""

from __future__ import annotations

import bcrypt
import pytest

from infra.localcloud.supabase_api import bcrypt_hashes

PASSWORDS = [
    b"",
    b"a",
    "pässwörd €".encode(),
    b"\xff\xa3" * 9,
    b"x" * 71,
    b"x" * 72,
    b"with\0nothing after",
    b"with\0something",
]


@pytest.fixture(params=["the system's", "the package's"])
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "the package's":
        monkeypatch.setattr(bcrypt_hashes, "_crypt", None)
    elif bcrypt_hashes._crypt is None:
        pytest.skip("this system's C library has no bcrypt")


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("prefix", [b"2a", b"2b", b"2y"])
def test_password_matches_its_own_hash_and_no_other(prefix: bytes):
    hashes = [b"$%b$%b" % (prefix, bcrypt.hashpw(password, bcrypt.gensalt(4))[4:]) for password in PASSWORDS]
    found = [[bcrypt_hashes.matches(password, stored) for stored in hashes] for password in PASSWORDS]
    assert found == [[one == other for other in range(len(hashes))] for one in range(len(PASSWORDS))]


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("stored", [b"", b"$2b$", b"$2b$04$tooshort", b"$2b$99$" + b"." * 53, b"$1$abc$def", b"plain"])
def test_what_is_no_hash_is_an_error_and_matches_nothing(stored: bytes):
    with pytest.raises(ValueError, match=r"."):
        bcrypt_hashes.matches(b"plain", stored)


def test_library_that_is_wrong_is_not_used():
    assert not bcrypt_hashes._is_right(lambda _, setting: setting + b"." * 31)
    assert not bcrypt_hashes._is_right(lambda _, __: None)
