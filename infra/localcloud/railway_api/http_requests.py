"""What the edges' access logs say of one service: which lines are its own, and which replica answered. Pure but for the reading.

An edge knows addresses, not services: a line belongs to a service by the address and port that the client named, and to a
replica by the address that the edge reached it at, which for a replica of another region is the near end of a link.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from infra.localcloud.plane.interface import REGIONS, LogLine
from infra.localcloud.railway_api.call import Call
from infra.localcloud.world import lookup
from infra.localcloud.world.model import Deployment, Instance
from infra.localcloud.world.networking import custom_domains_of

LINES_MAX = 5000  # per edge; a busy second leaves a sample of its lines only (edge/access_log.py)


class Request(msgspec.Struct, frozen=True):
    """One line of an edge. `region` is the edge's, and not in the line."""

    time_ms: int
    request_id: str
    method: str
    host: str
    path: str
    status: int
    duration_ms: float
    upstream: str
    client: str
    region: str = ""

    @property
    def timestamp(self) -> str:
        found = datetime.fromtimestamp(self.time_ms / 1000, UTC)
        return found.isoformat(timespec="milliseconds").replace("+00:00", "Z")


_decoder = msgspec.json.Decoder(Request)


def parsed(region: str, lines: Iterable[LogLine]) -> Iterator[Request]:
    """Without whatever else an edge may have written."""
    for line in lines:
        try:
            yield msgspec.structs.replace(_decoder.decode(line.text), region=region)
        except msgspec.DecodeError:
            continue


def requests_of(call: Call, instance: Instance) -> list[Request]:
    """To any of its domains, oldest first."""
    hosts = _hosts(call, instance)
    lines = (found for region in REGIONS for found in parsed(region, call.cloud.plane.logs(f"edge-{region}", LINES_MAX)))
    return sorted((found for found in lines if found.host.lower() in hosts), key=lambda found: found.time_ms)


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


def answered_by(found: Request, replicas: dict[tuple[str, str], str]) -> str | None:
    return replicas.get((found.region, found.upstream.rpartition(":")[0]))


def percentiles(durations_ms: list[float]) -> dict[str, Any]:
    """Nearest rank, so that each is a duration that really occurred."""
    ordered = sorted(durations_ms)
    return {f"p{rank}": ordered[max(0, -(-len(ordered) * rank // 100) - 1)] for rank in (50, 90, 95, 99)}
