"""Asks the replicas for their own cache counters, to hold against what the X-Cache headers claim."""

from __future__ import annotations

from loadtests.exposition import Lookups, parse_lookups
from loadtests.http_session import exchange, new_session
from loadtests.outputs import Outputs
from loadtests.scenarios.interface import Ask

TIMEOUT_S = 2.0


def read(outputs: Outputs) -> dict[str, Lookups]:
    """Per region, summed over its replicas. A region of which a replica does not answer is left out."""
    found: dict[str, Lookups] = {}
    for region, known in outputs.regions.items():
        parts = [_read_one(url) for url in known.replica_urls]
        complete = [part for part in parts if part is not None]
        if complete and len(complete) == len(parts):
            found[region] = Lookups(sum(part.requests for part in complete), sum(part.hits for part in complete))
    return found


def _read_one(url: str) -> Lookups | None:
    session = new_session(url, 1, TIMEOUT_S)
    answer = exchange(session, Ask("GET", "/metrics"), f"{url}/metrics", "metrics", TIMEOUT_S, lambda _answer: None)
    return parse_lookups(answer.body.decode(errors="replace")) if answer.status == 200 else None
