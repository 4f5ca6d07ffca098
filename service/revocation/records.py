"""The revocation set: pure, in memory, asked on every cache hit.

Theory of operation
-------------------
A *session* revocation refuses every token of that session. A *user* revocation refuses the user's tokens issued before a
watermark (`iat`, whole seconds on the issuer's clock), except those of one session where "log out my other devices" asked so.

Whole seconds and two clocks leave a grey zone around the watermark: a token issued in the same second may be the one that
was ended or the fresh log-in right after it. Guessing either way is wrong (a hole, or a user logged out by our fault), so
tokens within WATERMARK_GREY_S of the watermark are DOUBTFUL until the issuer has confirmed them after the revocation arrived.

Entries leave when they expire: they are kept for as long as anybody may remember a session as alive that has ended at the
issuer (ENDED_LIFE_S) or, where it could not be ended there, any of its tokens (TOKEN_LIFE_MAX_S). More than SUBJECTS_MAX of
them cannot be kept within our memory; the set then says `is_overfull` and the feed counts as silent until a fresh load fits.
"""

from __future__ import annotations

import enum
from typing import Literal

import msgspec

from service.tokens.identity import Identity

WATERMARK_GREY_S = 2.0
SUBJECTS_MAX = 200_000
# Marks of one user spare different sessions. The one that reaches furthest speaks for every session but the one it spares,
# the second for that one; were all others kept, each log-out of "others" would make every later hit of that user slower.
# Two are enough while the primary's clock never goes back; the rest is for when it does.
MARKS_MAX = 8


class Standing(enum.Enum):
    GOOD = "good"
    DOUBTFUL = "doubtful"
    REVOKED = "revoked"


class Revocation(msgspec.Struct, frozen=True):
    """One line of the log. Times in seconds since 1970."""

    sequence: int
    kind: Literal["session", "user"]
    subject: str
    watermark_iat: float
    expires_at: float
    except_session: str | None = None


class _Mark(msgspec.Struct, frozen=True):
    watermark_iat: float
    applied_at: float
    expires_at: float
    except_session: str | None


class Revocations:
    """Applying is idempotent and commutative: replays, gaps filled late and any order end in the same set."""

    def __init__(self, subjects_max: int = SUBJECTS_MAX) -> None:
        self._subjects_max = subjects_max
        self._sessions: dict[str, float] = {}
        self._users: dict[str, tuple[_Mark, ...]] = {}
        self.is_overfull = False

    def __len__(self) -> int:
        return len(self._sessions) + len(self._users)

    def apply(self, revocation: Revocation, now_monotonic: float) -> None:
        known = self._sessions if revocation.kind == "session" else self._users
        if revocation.subject not in known and len(self) >= self._subjects_max:
            self.is_overfull = True
            return
        if revocation.kind == "session":
            self._sessions[revocation.subject] = max(self._sessions.get(revocation.subject, 0.0), revocation.expires_at)
        else:
            self._mark_user(revocation, now_monotonic)

    def standing(self, identity: Identity, confirmed_at: float) -> Standing:
        """How a token stands that the issuer confirmed at `confirmed_at` (monotonic, the clock that `apply` is given)."""
        if identity.session_id in self._sessions:
            return Standing.REVOKED
        marks = self._users.get(identity.user_id)
        return Standing.GOOD if marks is None else _standing_by(marks, identity, confirmed_at)

    def expire(self, now_wall: float) -> None:
        """Lets go of what no remembered token can need any more."""
        for session_id in [session_id for session_id, expires_at in self._sessions.items() if expires_at <= now_wall]:
            del self._sessions[session_id]
        for user_id, marks in list(self._users.items()):
            kept = tuple(mark for mark in marks if mark.expires_at > now_wall)
            if kept:
                self._users[user_id] = kept
            else:
                del self._users[user_id]

    def _mark_user(self, revocation: Revocation, now_monotonic: float) -> None:
        marks = self._users.get(revocation.subject, ())
        twin = next((mark for mark in marks if mark.except_session == revocation.except_session), None)
        if twin is not None and twin.watermark_iat >= revocation.watermark_iat:
            return  # a replay must not move applied_at: it would make confirmed tokens doubtful again
        mark = _Mark(revocation.watermark_iat, now_monotonic, revocation.expires_at, revocation.except_session)
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
        if identity.issued_at <= mark.watermark_iat + WATERMARK_GREY_S and confirmed_at <= mark.applied_at:
            standing = Standing.DOUBTFUL
    return standing
