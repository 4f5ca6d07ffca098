"""Which refresh token may be exchanged for what. Pure: rows and time are passed in.

GoTrue's rules (internal/tokens/service.go, RefreshTokenGrant), in order:
1. A token that was not used yet is exchanged: it is revoked and a child is issued.
2. A used token that is the parent of the session's active token gets that active token again, however late. The client
   did not manage to store the answer; it gains nothing it was not given before.
3. Any other used token may be exchanged again within the reuse interval (several tabs of one browser).
4. After that it is taken for stolen, and the session ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from infra.localcloud.supabase_api.session_limits import NO_LIMITS, SessionLimits

REUSE_INTERVAL = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A row of auth.refresh_tokens. `parent` is "" for the first token of a session."""

    id: int
    token: str
    parent: str
    is_revoked: bool
    updated: datetime


@dataclass(frozen=True, slots=True)
class Exchange:
    """Revoke the presented token and issue a child of it."""


@dataclass(frozen=True, slots=True)
class HandOut:
    """Answer with this token, which is active already."""

    token: str


@dataclass(frozen=True, slots=True)
class EndSession:
    """The token was stolen, or somebody replays it: delete the session."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """As EndSession, where the project has switched rotation off: the session stays."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a project may set."""

    reuse_interval: timedelta = REUSE_INTERVAL
    has_rotation: bool = True
    limits: SessionLimits = NO_LIMITS


DEFAULT_RULES = Rules()
Verdict = Exchange | HandOut | EndSession | Refuse


def judge(presented: RefreshToken, active: RefreshToken | None, now: datetime, rules: Rules = DEFAULT_RULES) -> Verdict:
    """What to do with `presented`, given the session's newest unrevoked token, if there is one."""
    if not presented.is_revoked:
        return Exchange()
    if active is not None and active.parent == presented.token:
        return HandOut(active.token)
    if now > presented.updated + rules.reuse_interval:
        return EndSession() if rules.has_rotation else Refuse()
    return Exchange()
