"""The issuer's keys kept at hand: loaded before the first request, refreshed in the background, the last good set kept.

A token that names an unknown key may be signed by a key newer than our copy, so it triggers a refresh; but anybody can
invent key names, so such refreshes keep a distance of UNKNOWN_KEY_COOLDOWN_S. Within it, an unknown key is refused at once where
the token is older than our copy: its key would be in it. A younger token may be signed by a key that we have not seen yet (an
issuer that starts anew with new keys publishes them no earlier than it uses them), which is no reason to log anybody out: 503.
A key that the issuer withdraws, or replaces under the same name, takes its cached tokens with it (`on_removed`).
JWT_SECRET, where it is set, is one more key, under the name that only HS256 tokens get; a project that signs with nothing else
publishes an empty document.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable

import structlog

from service.clocks import Clock
from service.errors import TokenRejected, Unavailable
from service.tokens.keys import KeySet, KeySetInvalid, VerificationKey, read_key_set
from service.tokens.parsing import SECRET_KEY_ID

REFRESH_S = 300.0
RETRY_S = 1.0
UNKNOWN_KEY_COOLDOWN_S = 30.0

log = structlog.get_logger("service.jwks")


class FetchFailed(Exception):
    """The key document could not be fetched; the message says why, in one line."""


class Jwks:
    """`fetch` answers the JWKS document's bytes or raises FetchFailed; bounds its own time; `on_removed` is given thumbprints."""

    def __init__(
        self,
        fetch: Callable[[], Awaitable[bytes]],
        clock: Clock,
        on_removed: Callable[[frozenset[str]], None],
        secret: VerificationKey | None = None,
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._on_removed = on_removed
        self._own = {} if secret is None else {SECRET_KEY_ID: secret}
        self._key_set = KeySet(self._own)
        self._thumbprints = frozenset(key.thumbprint for key in self._own.values())
        self._refreshing: asyncio.Task[None] | None = None
        self._attempted_at = -UNKNOWN_KEY_COOLDOWN_S
        self._last_failed = True
        self._good_since = 0.0  # seconds since 1970 at which the last good copy was asked for

    @property
    def is_loaded(self) -> bool:
        return bool(self._key_set.keys)

    @property
    def _is_refreshing(self) -> bool:
        return self._refreshing is not None and not self._refreshing.done()

    def knows(self, key_id: str) -> bool:
        return key_id in self._key_set.keys

    def vouches_for(self, thumbprint: str, key_id: str | None = None) -> bool:
        """The key of that thumbprint is published now, under that name where one is given."""
        if key_id is None:
            return thumbprint in self._thumbprints
        key = self._key_set.find(key_id)
        return key is not None and key.thumbprint == thumbprint

    def thumbprint_of(self, key_id: str) -> str | None:
        key = self._key_set.find(key_id)
        return None if key is None else key.thumbprint

    async def find(self, key_id: str, issued_at: float = 0.0) -> VerificationKey:
        """The key of that name, for a token that says it was issued then (seconds since 1970).

        TokenRejected if the issuer has none; Unavailable while we cannot know.
        """
        if key_id == SECRET_KEY_ID and not self._own:
            raise TokenRejected("bad_jwt", "signing algorithm not accepted")
        key = self._key_set.find(key_id)
        if key is None and (self._is_refreshing or self._clock.monotonic() - self._attempted_at >= UNKNOWN_KEY_COOLDOWN_S):
            await self.refresh()
            key = self._key_set.find(key_id)
        if key is not None:
            return key
        if self._last_failed:
            raise Unavailable("jwks", "signing keys cannot be fetched at the moment")
        if issued_at > self._good_since:
            raise Unavailable("jwks", "token is younger than our copy of the signing keys", self._cooldown_left_s())
        raise TokenRejected("bad_jwt", "token is signed by an unknown key")

    def _cooldown_left_s(self) -> int:
        return max(1, math.ceil(self._attempted_at + UNKNOWN_KEY_COOLDOWN_S - self._clock.monotonic()))

    async def refresh(self) -> None:
        """Fetches once, however many wait for it. Never raises: a failure keeps what we have."""
        if self._refreshing is None or not self._is_refreshing:
            self._attempted_at = self._clock.monotonic()
            self._refreshing = asyncio.create_task(self._refresh_once())
        await asyncio.shield(self._refreshing)

    async def run(self) -> None:
        """Keeps the set fresh until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(RETRY_S if self._last_failed else REFRESH_S)

    async def _refresh_once(self) -> None:
        asked_at = self._clock.wall()
        try:
            has_published = len(self._key_set.keys) > len(self._own)
            published = read_key_set(await self._fetch(), may_be_empty=bool(self._own) and not has_published)
        except (FetchFailed, KeySetInvalid) as error:
            self._last_failed = True
            log.warning("jwks_refresh_failed", reason=str(error), keys_kept=len(self._key_set.keys))
            return
        fresh = KeySet({**published.keys, **self._own})
        removed = _names(self._key_set) - _names(fresh)
        self._key_set, self._last_failed, self._good_since = fresh, False, asked_at
        self._thumbprints = frozenset(key.thumbprint for key in fresh.keys.values())
        if removed:
            log.info("jwks_keys_removed", count=len(removed))
            self._on_removed(frozenset(thumbprint for _, thumbprint in removed))


def _names(key_set: KeySet) -> set[tuple[str, str]]:
    return {(key_id, key.thumbprint) for key_id, key in key_set.keys.items()}
