"""The edge's table as the plane sends it, and the order in which replicas are tried. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

Upstream = tuple[str, int]


class UpstreamGroup(msgspec.Struct, frozen=True):
    """The replicas of one region, reachable at these addresses from this edge."""

    region: str
    upstreams: tuple[Upstream, ...]


class EdgeRoute(msgspec.Struct, frozen=True):
    """`groups` come nearest first; the first is the edge's own region where that has replicas.

    Several `is_by_host` routes may share an address; `domain` is then the host name they answer to."""

    domain: str
    address: str
    port: int
    groups: tuple[UpstreamGroup, ...]
    is_deployed: bool
    is_by_host: bool = False
    is_tcp: bool = False


class Candidate(msgspec.Struct, frozen=True):
    upstream: Upstream
    region: str


def candidates(
    route: EdgeRoute, random_index: Callable[[int], int], is_suspect: Callable[[Upstream], bool]
) -> Iterator[Candidate]:
    """Nearest region first, a random replica within it (no sticky sessions); lately unreachable ones last.

    Found when they are asked for: most requests need no second one."""
    suspects: list[Candidate] = []
    for group in route.groups:
        size = len(group.upstreams)
        first = random_index(size) if size > 1 else 0
        for step in range(first, first + size):
            candidate = Candidate(group.upstreams[step % size], group.region)
            if is_suspect(candidate.upstream):
                suspects.append(candidate)
            else:
                yield candidate
    yield from suspects
