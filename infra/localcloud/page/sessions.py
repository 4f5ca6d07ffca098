"""Who may use the page: one-time codes that become sessions. In memory only, so a restart of the daemon ends all of them.

Theory of operation. Whoever has the account's token gets a link with a code in its fragment, which no browser sends to a
server and no server logs. The page's script exchanges the code, once, for a session token, keeps that in sessionStorage and
sends it as a header. There is no cookie on purpose: cookies of 127.0.0.1 are shared by everything that listens there,
whatever the port, and are sent along with requests that other pages cause. A session opens what the page shows and switches
(`/_local/...`), not the GraphQL API. It remembers by whose token its link was made: it must not outlive a token that is deleted.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from infra.localcloud.railway_api.principal import Principal

CODE_LIFE_S = 300.0
SESSION_LIFE_S = 12 * 3600.0
CODES_MAX = 20
SESSIONS_MAX = 50


@dataclass(frozen=True, slots=True)
class _Given:
    until: float
    owner: Principal


class Sessions:
    """Kept are digests only. `clock` in seconds, monotonic."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._codes: dict[bytes, _Given] = {}
        self._sessions: dict[bytes, _Given] = {}

    def new_code(self, owner: Principal) -> str:
        return self._new(self._codes, CODE_LIFE_S, CODES_MAX, owner)

    def exchange(self, code: str) -> str | None:
        """A session for a code that was given out, is not too old and was not used before."""
        found = self._find(self._codes, code)
        if found is None:
            return None
        return self._new(self._sessions, SESSION_LIFE_S, SESSIONS_MAX, self._codes.pop(found).owner)

    def owner(self, session: str) -> Principal | None:
        """Whose token let it in; None for what is no session (any more). Whether the token is there still, it does not know."""
        found = self._find(self._sessions, session)
        return None if found is None else self._sessions[found].owner

    def _new(self, table: dict[bytes, _Given], life_s: float, most: int, owner: Principal) -> str:
        while len(table) >= most:
            del table[next(iter(table))]
        secret = secrets.token_urlsafe(32)
        table[_digest(secret)] = _Given(self._clock() + life_s, owner)
        return secret

    def _find(self, table: dict[bytes, _Given], secret: str) -> bytes | None:
        now, wanted = self._clock(), _digest(secret)
        found = None
        for digest, given in list(table.items()):  # all of them, so that the time tells nothing
            if given.until < now:
                del table[digest]
            elif hmac.compare_digest(digest, wanted):
                found = digest
        return found


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
