"""What the edges' access logs say of one service: which lines are its own, and which replica answered. Pure but for the reading.

An edge knows addresses, not services: a line belongs to a service by the address and port that the client named, and to a
replica by the address that the edge reached it at, which for a replica of another region is the near end of a link.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from infra.localcloud.access_lines import access_lines
from infra.localcloud.edge.access_log import AccessLine
from infra.localcloud.plane.interface import REGIONS
from infra.localcloud.railway_api.call import Call
from infra.localcloud.world import lookup
from infra.localcloud.world.model import Deployment, Instance
from infra.localcloud.world.networking import custom_domains_of

LINES_MAX = 20_000  # per edge: about what its log files hold (plane/log_files.py)
Seen = tuple[str, AccessLine]
"""The region of the edge, and its line."""


def timestamp(line: AccessLine) -> str:
    found = datetime.fromtimestamp(line.time_ms / 1000, UTC)
    return found.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def requests_of(call: Call, instance: Instance, lines_max: int = LINES_MAX) -> list[Seen]:
    """To any of its domains, oldest first; of the newest `lines_max` lines of each edge. Takes some 0.1 s of a thread for all."""
    hosts = _hosts(call, instance)
    found = access_lines(call.cloud.plane, lines_max)
    own = ((region, line) for region, lines in found.items() for line in lines if line.host.lower() in hosts)
    return sorted(own, key=lambda seen: seen[1].time_ms)


def _hosts(call: Call, instance: Instance) -> set[str]:
    """Every Host that leads to it: its domains' names, and where the edges of all regions listen for them."""
    own = lookup.domains_of(call.world, instance.service_id, instance.environment_id)
    domains = {found.listens_at for found in own}
    custom = custom_domains_of(call.world, instance.service_id, instance.environment_id)
    hosts = domains | {found.domain for found in own} | {found.domain for found in custom}
    for routes in call.cloud.conductor.router.shown.values():
        for route in routes:
            if route.domain in domains:
                hosts.add(f"{route.address}:{route.port}")
            elif route.domain in hosts:
                hosts.add(f"{route.domain}:{route.port}".lower())
    return hosts


def replicas_by_address(call: Call, deployment: Deployment) -> dict[tuple[str, str], str]:
    """(the edge's region, the address it reaches the replica at) -> the replica's key."""
    return {
        (region, call.cloud.plane.seen_from(region, replica.address)): replica.key
        for replica in deployment.replicas
        for region in REGIONS
    }


def answered_by(seen: Seen, replicas: dict[tuple[str, str], str]) -> str | None:
    region, line = seen
    return replicas.get((region, line.upstream.rpartition(":")[0]))


def percentiles(durations_ms: list[float]) -> dict[str, Any]:
    """Nearest rank, so that each is a duration that really occurred."""
    ordered = sorted(durations_ms)
    return {f"p{rank}": ordered[max(0, -(-len(ordered) * rank // 100) - 1)] for rank in (50, 90, 95, 99)}
