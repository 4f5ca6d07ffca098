"""What a patch of an environment says, parsed, and how one goes over another."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from infra.localcloud.world.errors import BadInput

DEPTH_MAX = 10


class CustomDomainPatch(Struct, frozen=True):
    port: int | None = None


class ServicePatch(Struct, frozen=True):
    """`changes` as in UpdateInstance; of `variables` and `custom_domains` a value of None removes one.

    `is_created`: the service gets an instance in the environment where it has none yet, as a duplicated environment's do.
    `tcp_proxies` by the service's port: True wants one there, False wants none."""

    service_id: str
    changes: dict[str, Any] = {}
    regions: dict[str, int | None] | None = None
    variables: dict[str, str | None] = {}
    sealed: tuple[str, ...] = ()
    tcp_proxies: dict[int, bool] = {}
    custom_domains: dict[str, CustomDomainPatch | None] = {}
    is_deleted: bool = False
    is_created: bool = False


class NewVolume(Struct, frozen=True):
    """`service_id` None: mounted by nobody yet. `name` None: Railway's own kind of name; `region` None: where its service is."""

    service_id: str | None
    mount_path: str
    name: str | None = None
    region: str | None = None


class NewService(Struct, frozen=True):
    """`patch` is its part of the environment's patch as it will be shown, `changes` the same parsed; `domains` are the target
    ports of its service domains, which need addresses and are therefore made afterwards."""

    service_id: str
    name: str
    icon: str | None
    patch: dict[str, Any]
    changes: ServicePatch
    volumes: tuple[NewVolume, ...] = ()
    domains: tuple[int | None, ...] = ()


class EnvironmentChanges(Struct, frozen=True):
    """A patch, parsed."""

    services: tuple[ServicePatch, ...] = ()
    shared_variables: dict[str, str | None] = {}
    shared_sealed: tuple[str, ...] = ()


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """`above` over `below`, object by object; null stays, since it means removal. BadInput when it nests too deep."""
    return _merged(below, above, 0)


def _merged(below: dict[str, Any], above: dict[str, Any], depth: int) -> dict[str, Any]:
    if depth > DEPTH_MAX:
        raise BadInput("patch: nested too deep")
    result = dict(below)
    for name, value in above.items():
        old = result.get(name)
        result[name] = _merged(old, value, depth + 1) if isinstance(old, dict) and isinstance(value, dict) else value
    return result
