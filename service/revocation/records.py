"""The revocation set: pure, in memory, asked on every cache hit.

Theory of operation
-------------------
A *session* revocation refuses every token of that session. A *user* revocation refuses the user's tokens issued before a
watermark (`iat`, whole seconds on the issuer's clock), except those of one session where "log out my other devices" asked so.
A *key* revocation refuses whatever that key signed, and one of *everyone* all tokens issued up to a watermark; both leave the
sessions alone, so a refresh brings a good token.

Whole seconds and two clocks make a user's watermark vague: a token issued in the same second may be the one that was ended or
the fresh log-in right after it, and an issuer whose clock runs ahead stamps an ended token with a later time. Guessing either
way is wrong (a hole, or a user logged out by our fault). So a token well before the watermark is REVOKED, and every other one
of that user is DOUBTFUL until the issuer has confirmed it after the revocation arrived, however late its `iat` is.

Entries leave when they expire: they are kept for as long as anybody may remember a session as alive that has ended at the
issuer (ENDED_LIFE_S) or, where it could not be ended there, any of its tokens (TOKEN_LIFE_MAX_S). That is counted from their
arrival on our own monotonic clock: a wall clock that is an hour ahead would let go of them while tokens are still remembered.
More than SUBJECTS_MAX of them cannot be kept within our memory; the set then says `is_overfull` and the feed counts as silent
until a fresh load fits.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterator
from typing import Literal

import msgspec

from service.tokens.identity import Identity

WATERMARK_GREY_S = 2.0
SUBJECTS_MAX = 200_000
# Marks of one user spare different sessions. The one that reaches furthest speaks for every session but the one it spares,
# the second for that one; were all others kept, each log-out of "others" would make every later hit of that user slower.
# Two are enough while the primary's clock never goes back; the rest is for when it does.
MARKS_MAX = 8
# The lines that a mark speaks for. A watermark cannot tell a replay from a second revocation in the same second, which also
# ends the session that began in between. What is pushed out and replayed costs the user one more confirmation, no more.
SEQUENCES_MAX = 16
EXPIRED_AT_ONCE = 200


class Standing(enum.Enum):
    GOOD = "good"
    DOUBTFUL = "doubtful"
    REVOKED = "revoked"


Kind = Literal["session", "user", "key", "everyone"]


class Revocation(msgspec.Struct, frozen=True):
    """One line of the log.

    subject: a session's or user's id, a key's thumbprint (RFC 7638), nothing for everyone. watermark_iat: seconds since 1970.
    lives_s: how much longer the line was needed when it was read, so that no clock but the reader's own counts.
    """

    sequence: int
    kind: Kind
    subject: str
    watermark_iat: float
    lives_s: float
    except_session: str | None = None


class _Mark(msgspec.Struct, frozen=True):
    watermark_iat: float
    applied_at: float
    expires_at: float
    except_session: str | None
    sequences: tuple[int, ...]


class Revocations:
    """Applying is idempotent and commutative: replays, gaps filled late and any order end in the same set.

    All times are monotonic: the clock that `apply` is given.
    """

    def __init__(self, subjects_max: int = SUBJECTS_MAX) -> None:
        self._subjects_max = subjects_max
        self._sessions: dict[str, float] = {}
        self._users: dict[str, tuple[_Mark, ...]] = {}
        self._keys: dict[str, float] = {}
        self._watermarks: dict[str, float] = {}  # of everyone: watermark, as text like the others' subjects
        self._watermark_iat = -math.inf
        self.is_wide = False  # tokens may be refused whose session and user are not in here
        self.is_overfull = False
        self.changes = 0  # counts whatever may make good bad: what was GOOD stays so until it moves

    def __len__(self) -> int:
        return len(self._sessions) + len(self._users) + len(self._keys) + len(self._watermarks)

    def apply(self, revocation: Revocation, now: float) -> None:
        self.changes += 1
        if revocation.kind == "user":
            if revocation.subject in self._users or self._has_room():
                self._mark_user(revocation, now)
            return
        subject = str(revocation.watermark_iat) if revocation.kind == "everyone" else revocation.subject
        known = {"session": self._sessions, "key": self._keys, "everyone": self._watermarks}[revocation.kind]
        if subject in known or self._has_room():
            known[subject] = max(known.get(subject, -math.inf), now + revocation.lives_s)
            self._widen()

    def standing(self, identity: Identity, confirmed_at: float) -> Standing:
        """How a token stands that the issuer confirmed at `confirmed_at`."""
        if identity.session_id in self._sessions or (self.is_wide and self.refuses_widely(identity)):
            return Standing.REVOKED
        marks = self._users.get(identity.user_id)
        return Standing.GOOD if marks is None else _standing_by(marks, identity, confirmed_at)

    def refuses_widely(self, identity: Identity) -> bool:
        """The token is refused for its key or its age, and not for its session or user: a refresh brings a good one."""
        return identity.key_thumbprint in self._keys or identity.issued_at < self._watermark_iat + 1

    def expire(self, now: float) -> None:
        """Lets go of what no remembered token can need any more."""
        for _ in self.expiring(now):
            pass

    def expiring(self, now: float) -> Iterator[None]:
        """The same in steps of EXPIRED_AT_ONCE, with anything applied in between: a full set takes 130 ms. For one caller at a
        time."""
        looked_at = 0
        for known in (self._sessions, self._keys, self._watermarks):
            for subject in list(known):
                if known[subject] <= now:  # as it is now: it may have been revoked once more since the list was made
                    del known[subject]
                looked_at += 1
                if looked_at % EXPIRED_AT_ONCE == 0:
                    yield
        self._widen()
        for user_id in list(self._users):
            kept = tuple(mark for mark in self._users[user_id] if mark.expires_at > now)
            if kept:
                self._users[user_id] = kept
            else:
                del self._users[user_id]
            looked_at += 1
            if looked_at % EXPIRED_AT_ONCE == 0:
                yield

    def _has_room(self) -> bool:
        self.is_overfull = self.is_overfull or len(self) >= self._subjects_max
        return len(self) < self._subjects_max

    def _widen(self) -> None:
        self._watermark_iat = max(map(float, self._watermarks), default=-math.inf)
        self.is_wide = bool(self._keys or self._watermarks)

    def _mark_user(self, revocation: Revocation, now: float) -> None:
        marks = self._users.get(revocation.subject, ())
        twin = next((mark for mark in marks if mark.except_session == revocation.except_session), None)
        sequences = () if twin is None else twin.sequences
        if revocation.sequence in sequences:
            return  # a replay must not move applied_at: it would make confirmed tokens doubtful again
        watermark_iat = revocation.watermark_iat if twin is None else max(twin.watermark_iat, revocation.watermark_iat)
        kept_sequences = (*sequences[-(SEQUENCES_MAX - 1) :], revocation.sequence)
        # The longer life counts: a line about sessions that live on at the issuer is needed for a day, later ones may not be.
        expires_at = max(now + revocation.lives_s, -math.inf if twin is None else twin.expires_at)
        mark = _Mark(watermark_iat, now, expires_at, revocation.except_session, kept_sequences)
        kept = sorted((*(other for other in marks if other is not twin), mark), key=_reach, reverse=True)
        self._users[revocation.subject] = tuple(kept[:MARKS_MAX])


def _reach(mark: _Mark) -> tuple[float, float]:
    return mark.watermark_iat, mark.applied_at


def _standing_by(marks: tuple[_Mark, ...], identity: Identity, confirmed_at: float) -> Standing:
    standing = Standing.GOOD
    for mark in marks:
        if mark.except_session == identity.session_id:
            continue
        if identity.issued_at <= mark.watermark_iat - WATERMARK_GREY_S:
            return Standing.REVOKED
        if confirmed_at <= mark.applied_at:
            standing = Standing.DOUBTFUL
    return standing
