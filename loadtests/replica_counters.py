"""The replicas' own cache counters, to hold against what the X-Cache headers claim."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from loadtests.http_session import exchange, new_session
from loadtests.measurement import CacheCrossCheck
from loadtests.outputs import Outputs
from loadtests.scenarios.interface import Ask

METRIC = "cached_auth_cache_lookups_total"
TIMEOUT_S = 2.0
_SAMPLE = re.compile(rf"^{METRIC}\{{(?P<labels>[^}}]*)\}} (?P<value>[0-9.eE+-]+)", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Lookups:
    """Since the replica started. A request looks into L1 first, so L1's look-ups are the requests."""

    requests: float = 0.0
    hits: float = 0.0


def parse_lookups(exposition: str) -> Lookups | None:
    """Sums the counter out of Prometheus text; None where the metric is not there."""
    requests = hits = 0.0
    samples = list(_SAMPLE.finditer(exposition))
    for sample in samples:
        labels = dict(_LABEL.findall(sample["labels"]))
        value = float(sample["value"])
        requests += value if labels.get("tier") == "l1" else 0.0
        hits += value if labels.get("outcome") == "hit" else 0.0
    return Lookups(requests, hits) if samples else None


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


def differences(before: Mapping[str, Lookups], after: Mapping[str, Lookups]) -> Iterable[CacheCrossCheck]:
    """What was counted between two readings."""
    for region in before.keys() & after.keys():
        lookups, hits = after[region].requests - before[region].requests, after[region].hits - before[region].hits
        if lookups >= 0 and hits >= 0:  # negative: a replica was restarted in between
            yield CacheCrossCheck(region, lookups, hits)
