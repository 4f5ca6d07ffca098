"""The stack's outputs as the gate needs them: where to send load, and the keys for seeding and revoking.

Errors: OutputsError   the file is missing, is not what it should be, or points at a host that may not be loaded
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import msgspec


class OutputsError(Exception):
    """The outputs cannot be used. One line: path, expected, given, what to try."""


@dataclass(frozen=True, slots=True)
class RegionOutputs:
    """`url` is the region's edge; `replica_urls` reach single replicas where the stack lives on this machine."""

    url: str
    replica_urls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outputs:
    """`cloud` is local, railway, or empty where the outputs do not say."""

    stack: str
    endpoint: str
    release: str
    regions: dict[str, RegionOutputs]
    supabase_url: str
    anon_key: str
    service_role_key: str
    cloud: str = ""
    cors_origins: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Outputs(stack={self.stack!r}, regions={list(self.regions)}, keys=[secret])"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no report may hold."""
        return (self.anon_key, self.service_role_key)


def load_outputs(file: Path, region: str | None = None) -> Outputs:
    """Reads the outputs file, keeps one region if asked. Keys the gate does not know are left alone: stacks export more."""
    try:
        outputs = msgspec.json.decode(file.read_bytes(), type=Outputs)
    except OSError as exc:
        raise OutputsError(f"{file}: expected the stack's outputs (--outputs FILE), got {exc.strerror}") from exc
    except (msgspec.ValidationError, msgspec.DecodeError) as exc:
        # msgspec's messages name the path and the type, never the value: no secret can leak here.
        raise OutputsError(f"{file}: expected stack outputs: {exc}") from exc
    if not outputs.regions:
        raise OutputsError(f"{file}: regions: expected at least one region, got none")
    if region is None:
        return outputs
    if region not in outputs.regions:
        raise OutputsError(f"--region: expected one of {', '.join(outputs.regions)}, got {region!r}")
    return replace(outputs, regions={region: outputs.regions[region]})


def urls(outputs: Outputs) -> tuple[str, ...]:
    """Every URL that a run would send to."""
    found = [outputs.supabase_url]
    for region in outputs.regions.values():
        found += [region.url, *region.replica_urls]
    return tuple(found)


def remote_hosts(targets: Iterable[str]) -> tuple[str, ...]:
    """The hosts among them that do not resolve to loopback alone; a host that does not resolve counts as remote."""
    hosts = dict.fromkeys(urlsplit(target).hostname or target for target in targets)
    return tuple(host for host in hosts if not _is_loopback(host))


def _is_loopback(host: str) -> bool:
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError:
        return False
    return bool(found) and all(ipaddress.ip_address(str(address).partition("%")[0]).is_loopback for address in found)


def guard_hosts(outputs: Outputs, is_remote_allowed: bool) -> None:
    """Load goes to this machine unless somebody said otherwise. OutputsError."""
    remote = remote_hosts(urls(outputs))
    if remote and not is_remote_allowed:
        raise OutputsError(f"{', '.join(remote)}: expected hosts on this machine; to send load to others give --allow-remote")


def guard_seeding(outputs: Outputs, is_seeding_allowed: bool) -> None:
    """A thousand made-up users do not belong into a production project unless somebody said so. OutputsError."""
    is_local = outputs.cloud == "local" or (not outputs.cloud and not remote_hosts([outputs.supabase_url]))
    if not is_local and not is_seeding_allowed:
        raise OutputsError(
            f"stack {outputs.stack}: expected cloud local for seeding users, got {outputs.cloud or outputs.supabase_url!r}; "
            "to create load-test users there give --allow-seeding"
        )
