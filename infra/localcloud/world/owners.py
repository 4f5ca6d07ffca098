"""The names under which addresses are held at the plane. One place, so that what is allocated also gets freed."""

from __future__ import annotations

from infra.localcloud.plane.interface import REGIONS


def private(instance_id: str, region: str) -> str:
    return f"private:{instance_id}:{region}"


def replica(key: str) -> str:
    return f"replica:{key}"


def door(key: str) -> str:
    return f"door:{key}"


def domain(domain_id: str, region: str) -> str:
    return f"domain:{domain_id}:{region}"


def edge(region: str) -> str:
    """The address that all TCP proxies and custom domains of a region share."""
    return f"edge:{region}"


def egress(instance_id: str, region: str) -> str:
    return f"egress:{instance_id}:{region}"


def supabase(ref: str) -> str:
    return f"supabase:{ref}"


def read_replica(identifier: str) -> str:
    return f"read-replica:{identifier}"


def all_private(instance_id: str) -> tuple[str, ...]:
    return tuple(private(instance_id, region) for region in REGIONS)


def all_domain(domain_id: str) -> tuple[str, ...]:
    return tuple(domain(domain_id, region) for region in REGIONS)
