"""Railway's regions and how many replicas each gets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from infra.provider.properties import Secret, Unknown
from infra.provider.rules import Problem, shown
from infra.railway.region_names import ALIASES, REGIONS, REPLICAS_MAX


def region(name: str) -> str:
    """The name Railway's API knows."""
    return ALIASES.get(name, name)


@dataclass(frozen=True, slots=True)
class ReplicasByRegion:
    """Rule: a map region -> replicas, 1 to 50 each and 50 together. Normal form: today's region names."""

    def problems(self, value: Any) -> Iterator[Problem]:
        placed = value.value if isinstance(value, Secret) else value
        if isinstance(placed, Unknown):
            return
        if not isinstance(placed, dict) or not placed:
            yield Problem("", "a map of region to number of replicas", shown(placed))
            return
        found = [problem for name, replicas in placed.items() for problem in _problems(name, replicas, placed)]
        yield from found
        total = sum(replicas for replicas in placed.values() if isinstance(replicas, int))
        if not found and total > REPLICAS_MAX:
            yield Problem("", f"at most {REPLICAS_MAX} replicas in all regions together", f"{total}")

    def normal(self, value: Any) -> Any:
        return {region(name): replicas for name, replicas in value.items()} if isinstance(value, dict) else value

    def schema(self) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": {"type": "integer"}}


def _problems(name: str, replicas: Any, placed: Mapping[str, Any]) -> Iterator[Problem]:
    if region(name) not in REGIONS:
        yield Problem(name, "one of " + ", ".join(REGIONS), f'"{name}"')
    elif region(name) != name and region(name) in placed:
        yield Problem(name, f"each region once ({name} is the old name of {region(name)})", "both names")
    elif isinstance(replicas, Unknown):
        return
    elif isinstance(replicas, bool) or not isinstance(replicas, int) or not 1 <= replicas <= REPLICAS_MAX:
        yield Problem(f"{name}/replicas", f"1 to {REPLICAS_MAX}", shown(replicas))


def patch(before: Mapping[str, int], wanted: Mapping[str, int]) -> dict[str, dict[str, int] | None]:
    """multiRegionConfig for the API: every wanted region with its replicas, null for each that goes."""
    gone: dict[str, dict[str, int] | None] = {name: None for name in before if name not in wanted}
    return gone | {name: {"numReplicas": replicas} for name, replicas in wanted.items()}


def placed(multi_region_config: Any) -> dict[str, int]:
    """The API's multiRegionConfig as region -> replicas."""
    if not isinstance(multi_region_config, dict):
        return {}
    return {
        region(name): int(entry.get("numReplicas") or 1) for name, entry in multi_region_config.items() if isinstance(entry, dict)
    }
