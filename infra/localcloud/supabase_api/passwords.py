"""Passwords: rules, bcrypt off the loop, and a comparison that costs the same for unknown users."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import bcrypt

from infra.localcloud.supabase_api import bcrypt_hashes
from infra.localcloud.supabase_api.errors import ApiError, WeakPassword, validation_failed

CHARACTERS_MIN = 6
BYTES_MAX = 72  # bcrypt reads no further
COST_MAX = 15  # 2^15 rounds take about two seconds; an imported hash must not be able to hold a thread for an hour
THREADS = 2
WAITING_MAX = 64
R = TypeVar("R")
BCRYPT_HASH = re.compile(r"\$2[abxy]\$(\d\d)\$[./A-Za-z0-9]{53}")


def check_strength(password: str, characters_min: int = CHARACTERS_MIN) -> None:
    """Raises ApiError validation_failed when too long, WeakPassword when too short."""
    if len(password.encode()) > BYTES_MAX:
        raise validation_failed(f"Password cannot be longer than {BYTES_MAX} characters")
    if len(password.encode()) < characters_min:  # Go's len counts bytes
        raise WeakPassword(f"Password should be at least {characters_min} characters.", ("length",))


def is_importable(password_hash: str) -> bool:
    """Whether an administrator may store this hash. GoTrue also knows argon2 and Firebase scrypt; we do not."""
    match = BCRYPT_HASH.fullmatch(password_hash)
    return match is not None and 4 <= int(match[1]) <= COST_MAX


class Passwords:
    """bcrypt on two threads. Past `WAITING_MAX` waiting requests the caller is told to come back (504, as GoTrue's limit)."""

    def __init__(self, cost: int) -> None:
        self._cost = cost
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="bcrypt")
        self._waiting = 0
        # Compared against when there is no such user, so that both answers take as long.
        self._nobodys_hash = bcrypt.hashpw(b"nobody", bcrypt.gensalt(cost)).decode()

    async def hashed(self, password: str) -> str:
        return (await self._run(_hash, password, self._cost)).decode()

    async def matches(self, password: str, password_hash: str | None) -> bool:
        """Whether the password is the hash's. With None it takes as long and is False."""
        is_equal = await self._run(_compare, password, password_hash or self._nobodys_hash)
        return is_equal and bool(password_hash)

    async def _run(self, work: Callable[..., R], *arguments: object) -> R:
        if self._waiting >= WAITING_MAX:
            raise ApiError(504, "request_timeout", "Processing this request timed out, please retry after a moment.")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _hash(password: str, cost: int) -> bytes:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost))


def _compare(password: str, password_hash: str) -> bool:
    # Go's bcrypt reads the first 72 bytes of a longer password; Python's refuses it.
    return bcrypt_hashes.matches(password.encode()[:BYTES_MAX], password_hash.encode())
