"""Reads the replicas' cache counters out of Prometheus text, and what was counted between two readings. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from loadtests.measurement import CacheCrossCheck

METRIC = "cached_auth_cache_lookups_total"
TIERS = ("l1", "l2")
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
        hits += value if labels.get("outcome") == "hit" and labels.get("tier") in TIERS else 0.0
    return Lookups(requests, hits) if samples else None


def differences(before: Mapping[str, Lookups], after: Mapping[str, Lookups]) -> Iterable[CacheCrossCheck]:
    """What was counted between two readings."""
    for region in before.keys() & after.keys():
        lookups, hits = after[region].requests - before[region].requests, after[region].hits - before[region].hits
        if lookups >= 0 and hits >= 0:  # negative: a replica was restarted in between
            yield CacheCrossCheck(region, lookups, hits)
