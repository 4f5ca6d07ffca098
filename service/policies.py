"""How careful each kind of check is. Pure; the settings hold the words, the checks hold these.

Three routes answer for a token from memory, and they need not be equally careful: /verify may guard payments while /me paints a
page. Each has two rules of its own: whether the issuer is asked every time, and what happens while the revocation feed is silent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

Route = Literal["verify", "me", "user"]  # /api/v1/auth/verify, /api/v1/auth/me, GET /auth/v1/user
ROUTES: tuple[Route, ...] = get_args(Route)


@dataclass(frozen=True, slots=True)
class RoutePolicy:
    """is_strict: the issuer is asked for each check, and nothing is kept. must_hear: without a word of the revocation feed within
    REVOCATION_STALENESS_MAX_S nothing is answered for (503), whatever the issuer says."""

    is_strict: bool = False
    must_hear: bool = False


Policies = Mapping[Route, RoutePolicy]


def by_route(text: str, words: Sequence[str]) -> dict[Route, str]:
    """A word for each route out of `word` or `word,route=word,...`, of which the first is everybody's else.

    ValueError: its text begins with the place, such as `/me: expected cached or strict`; what was given is not repeated.
    """
    first, *others = (part.strip() for part in text.split(","))
    expected = f"expected {' or '.join(words)}"
    if first not in words:
        raise ValueError(f"{expected}, then route=word for routes of their own, with commas between them")
    found: dict[Route, str] = dict.fromkeys(ROUTES, first)
    named: set[str] = set()
    for other in others:
        name, _, word = other.partition("=")
        route = next((route for route in ROUTES if route == name), None)
        if route is None:
            raise ValueError(f"{expected} for a route ({', '.join(ROUTES)}); another is named")
        if route in named:
            raise ValueError(f"/{route}: named twice")
        if word not in words:
            raise ValueError(f"/{route}: {expected}")
        named.add(route)
        found[route] = word
    return found
